"""What a run is made of: plug-ins, their flags, and the configuration."""
