"""Listeners report on a run: one file each, the file name is the flag."""
