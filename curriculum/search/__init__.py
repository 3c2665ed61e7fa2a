"""Searches over flags: what is tried, which trials go on, and what is remembered."""
