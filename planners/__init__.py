"""Planners and experts: one file each, chosen by `--planner <file name>`."""
