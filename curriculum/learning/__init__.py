"""What all learners are built from: networks, heads, optimisation, and how updates are
executed."""
