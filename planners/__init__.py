"""Planners and experts: one file each, chosen by `--planner <file name>`."""

import sys

if __name__ == "planners":  # imported by its old name, from the folder that holds it
    from curriculum import _renamed

    sys.modules["planners"] = _renamed.alias("planners", "curriculum.planners")
