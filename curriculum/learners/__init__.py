"""Offline learners: one file each, the file name is the flag."""
