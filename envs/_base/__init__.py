"""What all worlds share: protocols, native rows, and registration with Gymnasium."""
