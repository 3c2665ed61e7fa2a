"""How a data set is stored: one file for each format, the file name is the flag."""
