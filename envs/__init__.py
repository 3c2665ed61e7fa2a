"""Worlds: one file each, chosen by `--env <file name>`."""
