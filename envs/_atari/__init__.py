"""Parts of the Atari world."""
