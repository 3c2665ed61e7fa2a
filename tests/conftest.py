"""What all tests share: one thread, so that times and results do not hang on what else
the machine does, and the usual meaning of Ctrl-C."""

import os
import signal

# a job in the background is started with SIGINT ignored
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pytest
import torch

from curriculum import files

# kernels of worlds take seconds to compile and are kept by the state of their sources
os.environ.setdefault("NUMBA_CACHE_DIR", str(files.cache_folder()))
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled updates out of the user's cache."""
    os.environ["CURRICULUM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
