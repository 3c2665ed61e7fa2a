"""Hybrid online-offline reinforcement learning with a planner in the loop."""

import sys

from curriculum import _commands, _renamed

_renamed.install()
if sys.argv[:1] == ["-m"]:  # Python is looking for the module that `-m` names
    _commands.refuse_others(sys.orig_argv)
