"""Worlds: one file each, chosen by `--env <file name>`. Importing this package
registers the native ones with Gymnasium."""

import sys

from curriculum.envs._base import registration
from curriculum.envs._base.native import Dynamics

__all__ = ["Dynamics"]

if __name__ == "envs":  # imported by its old name, from the folder that holds it
    from curriculum import _renamed

    sys.modules["envs"] = _renamed.alias("envs", "curriculum.envs")
else:
    registration.register()
