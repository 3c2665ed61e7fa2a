"""The replay buffer: what is stored, how it is drawn, and the batches it hands out."""
