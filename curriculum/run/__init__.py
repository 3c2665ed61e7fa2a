"""A training run: the loop, who acts, evaluation, checkpoints, and the run's folder."""
