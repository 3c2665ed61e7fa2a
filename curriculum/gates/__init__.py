"""How a planning rate becomes a choice of who acts: one file each, the file name is the
flag."""
