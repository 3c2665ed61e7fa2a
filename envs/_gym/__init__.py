"""Parts of the worlds that are Gymnasium environments."""
