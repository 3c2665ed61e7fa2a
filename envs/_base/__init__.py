"""Parts of all worlds: native rows, random streams, action bounds, registration."""
