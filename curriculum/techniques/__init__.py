"""Compression techniques: one file each, the file name is the flag."""
