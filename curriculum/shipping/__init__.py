"""Policies outside training: exported files, and their cost in deployment."""
