"""A training run: the loop, its parts, checkpoints, and the run's folder."""
