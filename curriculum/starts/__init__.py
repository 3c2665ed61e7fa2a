"""What seeds the replay buffer: one file each, the file name is the flag."""
