"""Native code does what torch does, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learning import native
from curriculum.learning.engine import Native
from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    bool(native.obstacle()), reason="native code needs llvmlite"
)

KINDS = [
    (name, box)
    for name in plugins.names("learner")
    for box in (False, True)
    if ("box" if box else "discrete") in plugins.make("learner", name).kinds
]


def make(name: str, box: bool, seeds: tuple[int, ...] = (0, 1), **settings) -> Learner:
    edge = np.full(4, np.inf, np.float32)
    spec = Spec((4,), "float32", -edge, edge, 0 if box else 3, 2 if box else 0)
    learner = plugins.make("learner", name, hidden=(16, 16), **settings)
    return learner.setup(spec, seeds)


def batches(box: bool, count: int, seeds: tuple[int, ...] = (0, 1)) -> list[Batch]:
    """Batches of which seed k has the same part whichever others there are."""
    drawn = []
    for number in range(count):
        parts = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(1000 * seed + number)
            obs, next_obs = torch.randn(2, 12, 4, generator=generator)
            reward, returns = torch.randn(2, 12, generator=generator)
            uniform = torch.rand(12, 2, generator=generator) * 2 - 1
            choice = torch.randint(3, (12,), generator=generator)
            discount = 0.9 * (torch.rand(12, generator=generator) < 0.8)
            action = uniform if box else choice
            parts.append((obs, action, reward, discount, next_obs, returns))
        drawn.append(Batch(*map(torch.stack, zip(*parts, strict=True))))
    return drawn


def assert_equal_weights(one: Learner, other: Learner, tolerance: float) -> None:
    for name, mine in one.weights.members.items():
        theirs = other.weights.members[name]
        torch.testing.assert_close(
            mine.vector, theirs.vector, atol=tolerance, rtol=tolerance, msg=name
        )


@pytest.mark.filterwarnings("error:updates run eager")
@pytest.mark.parametrize(("name", "box"), KINDS)
def test_every_learner_learns_the_same_natively(name: str, box: bool):
    settings = {"schedule": "linear", "schedule_updates": 10, "grad_clip": 1.0}
    written, made = make(name, box, **settings), make(name, box, **settings)
    update = Native(made)
    for number, batch in enumerate(batches(box, 2 * written.cycle)):
        written.update(batch)
        update(batch)
        assert made.updates == number + 1
        for network, loss in written.last_losses.items():
            found = made.last_losses[network]
            torch.testing.assert_close(
                found, loss, atol=1e-6, rtol=1e-6, equal_nan=True, msg=network
            )
    # Adam's mean is a tenth of the gradient
    assert_equal_weights(written, made, 1e-6)
    states = [learner.head.noise.state() for learner in (written, made)]
    assert torch.equal(states[0]["generators"], states[1]["generators"])
