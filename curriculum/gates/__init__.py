"""How a planning rate becomes who acts now: one file each, the file name is the
flag."""
