"""Parts of the pointmass mazes."""
