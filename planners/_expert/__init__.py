"""Experts trained with Stable-Baselines3: training, storage and reading."""
