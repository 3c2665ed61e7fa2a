"""The display of phases: bars on a terminal, plain lines elsewhere."""
