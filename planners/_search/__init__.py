"""Parts of the planners that search in copies of a world."""
