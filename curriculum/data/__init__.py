"""Data sets on disk: what a run is trained from, and what `collect` writes."""
