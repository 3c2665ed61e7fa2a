"""What the replay buffer is filled with before training: one file each, the file name
is the flag."""
