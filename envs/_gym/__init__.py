"""Parts of the worlds that come from Gymnasium."""
