"""Hybrid online-offline reinforcement learning with a planner in the loop."""
