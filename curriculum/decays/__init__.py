"""How the planning rate falls over a run: one file each, the file name is the flag."""
