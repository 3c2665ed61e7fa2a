"""Parts of the Atari worlds."""
