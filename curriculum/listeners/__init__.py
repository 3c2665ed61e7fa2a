"""Consumers of training records: one file each, the file name is the flag."""
