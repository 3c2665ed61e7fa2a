"""The games of the miniature pixel world, and how their screens are drawn."""
