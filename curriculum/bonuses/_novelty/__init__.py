"""What bonuses share: their weight and its schedule, their unit, and empty buffers."""
