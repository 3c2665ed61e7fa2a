"""Watching a run act, and taking over: a world, who acts in it, and what shows it."""
