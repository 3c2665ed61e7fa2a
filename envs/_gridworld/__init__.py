"""Parts of the gridworld."""
