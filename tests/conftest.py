"""What all tests share: one thread, so that times and results do not hang on what else
the machine does."""

import os

os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import torch

torch.set_num_threads(1)
