"""What all tests share: one thread, so that times and results do not hang on what else
the machine does, and the usual meaning of Ctrl-C."""

import os
import signal

# a job in the background is started with SIGINT ignored
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import torch

torch.set_num_threads(1)
