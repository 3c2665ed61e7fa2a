"""Comparisons: which arms there are, training them side by side, and the report."""
