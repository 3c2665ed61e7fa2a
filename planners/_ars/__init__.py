"""Augmented random search: linear policies and their training."""
