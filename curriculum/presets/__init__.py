"""Settings by name: `--config NAME` reads the file `NAME.yaml` of this folder.

The first line of a file is a comment that says what its settings are for.
"""
