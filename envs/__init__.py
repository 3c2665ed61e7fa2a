"""Worlds: one file each, chosen by `--env <file name>`."""

import sys

if __name__ == "envs":  # imported by its old name, from the folder that holds it
    from curriculum import _renamed

    sys.modules["envs"] = _renamed.alias("envs", "curriculum.envs")
