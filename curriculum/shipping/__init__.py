"""Policies outside training: exported files, and what they cost when deployed."""
