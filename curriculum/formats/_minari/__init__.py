"""Parts of the format of Minari."""
