"""How the planning rate falls: one file each, the file name is the flag."""
