"""What the contenders of `learners.py` have in common: sizes of networks and batches,
the batch itself, and the products of matrices in an update, counted by hand."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from curriculum.learning import engine

OBS = 11  # numbers of an observation
ACTIONS = 3  # discrete actions, or numbers of a box action
GAMMA = 0.99
FRAMES = (4, 84, 84)  # an image observation
PIXEL_ROWS = 32  # transitions of a batch of images


class Sizes(NamedTuple):
    """What ours and all peers are set to."""

    hidden: tuple[int, ...]
    rows: int  # transitions of a batch
    learning_rate: float
    grad_clip: float  # 0: none


SIZES = {
    # what a learner has if nothing is set
    "default": Sizes((128, 128), 128, 1e-3, 10.0),
    # what papers use for locomotion, without a limit to gradients
    "wide": Sizes((256, 256), 256, 3e-4, 0.0),
}


@dataclass
class Options:
    """The flags of `learners.py`."""

    sizes: str
    work: list[str]
    engine: list[engine.Engine]
    rounds: int
    seconds: float
    threads: int
    precision: str
    device: str
    clock: str
    json: Path | None


class Contender(NamedTuple):
    """Something that is timed."""

    update: Callable[[], object]
    counts: int  # updates that one call counts as


Build = Callable[[Options], Contender]


class Columns(NamedTuple):
    """A batch of one seed, in the form that peers take."""

    obs: torch.Tensor
    action: torch.Tensor  # [B] int64 or [B, A]
    reward: torch.Tensor
    terminal: torch.Tensor
    next_obs: torch.Tensor


def columns(
    device: str, box: bool, rows: int, pixels: bool = False, seed: int = 0
) -> Columns:
    """Draw random transitions, a tenth of which end their episode."""
    rng = np.random.default_rng(seed)
    if pixels:
        obs, next_obs = rng.integers(256, size=(2, rows, *FRAMES), dtype=np.uint8)
    else:
        obs, next_obs = rng.normal(size=(2, rows, OBS)).astype(np.float32)
    if box:
        action = rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32)
    else:
        action = rng.integers(ACTIONS, size=rows)
    reward = rng.normal(size=rows).astype(np.float32)
    terminal = (rng.random(rows) < 0.1).astype(np.float32)
    arrays = (obs, action, reward, terminal, next_obs)
    return Columns(*(torch.as_tensor(array, device=device) for array in arrays))


class Net(NamedTuple):
    """FLOP of the products in one network's passes over a row."""

    widths: tuple[int, ...]

    @property
    def forward(self) -> float:
        return 2 * sum(i * o for i, o in itertools.pairwise(self.widths))

    @property
    def through(self) -> float:
        """Forward, and the gradient with respect to the input."""
        return 2 * self.forward

    @property
    def train(self) -> float:
        """Forward, and the gradient with respect to all weights."""
        return 3 * self.forward - 2 * self.widths[0] * self.widths[1]


class Flop:
    """FLOP of an update's products, by the size of networks and batches."""

    def __init__(self, sizes: Sizes):
        hidden = sizes.hidden
        self.hidden = hidden
        self.rows = sizes.rows
        self.q = Net((OBS, *hidden, ACTIONS))
        self.deterministic = Net((OBS, *hidden, ACTIONS))
        self.value = Net((OBS, *hidden, 1))
        self.critic = Net((OBS + ACTIONS, *hidden, 1))
        self.gaussian = Net((OBS, *hidden, 2 * ACTIONS))
        self.encoder = Net((OBS + ACTIONS, *hidden, 4 * ACTIONS))
        self.decoder = Net((OBS + 2 * ACTIONS, *hidden, ACTIONS))

    @property
    def bc(self) -> float:
        return self.rows * self.deterministic.train

    @property
    def bc_box(self) -> float:
        return self.rows * self.gaussian.train

    @property
    def dqn(self) -> float:
        return self.rows * (self.q.train + self.q.forward)

    @property
    def double_dqn(self) -> float:
        """Also that of discrete CQL."""
        return self.dqn + self.rows * self.q.forward

    def iql(self, box: bool) -> float:
        """A discrete critic is a row of values."""
        critic = self.critic if box else self.q
        policy = self.gaussian if box else self.deterministic
        critics = 2 * critic.train + 2 * critic.forward
        return self.rows * (
            critics + self.value.train + self.value.forward + policy.train
        )

    @property
    def awac(self) -> float:
        critics = 2 * self.critic.train + 6 * self.critic.forward
        return self.rows * (critics + self.gaussian.train + self.gaussian.forward)

    @property
    def td3bc(self) -> float:
        critics = 2 * self.critic.train + 2 * self.critic.forward
        # every other update moves the policy
        policy = (self.deterministic.train + self.critic.through) / 2
        return self.rows * (critics + self.deterministic.forward + policy)

    def cql(self, samples: int) -> float:
        """Box CQL with so many uniform actions, and as many of the policy, for each
        state."""
        values = 2 * (1 + 2 * samples) * self.critic.train
        actor = self.gaussian.train + 2 * self.critic.through
        targets = 2 * self.gaussian.forward + 2 * self.critic.forward
        return self.rows * (values + targets + actor)

    def bcq(self, samples: int) -> float:
        """Box BCQ with so many generated actions for each next state."""
        vae = self.encoder.train + self.decoder.train
        vae += 2 * self.decoder.widths[0] * self.decoder.widths[1]
        # the perturbation has the inputs of the critic
        perturbation = self.critic.forward
        one_action = self.decoder.forward + perturbation + 2 * self.critic.forward
        critics = 2 * self.critic.train
        actor = self.decoder.forward + self.critic.train + self.critic.through
        return self.rows * (vae + samples * one_action + critics + actor)

    def edac(self, critics: int) -> float:
        """EDAC with action gradients written out: a product for each layer, and two
        more for their derivative."""
        slopes = 3 * critics * 2 * self.hidden[0] * (self.hidden[1] + ACTIONS)
        actor = self.gaussian.train + self.gaussian.forward
        actor += critics * self.critic.through
        values = critics * (self.critic.train + self.critic.forward)
        return self.rows * (values + slopes + actor)


# the three convolutions of the Nature network, for one image
CONVOLUTION = 2 * (400 * 32 * 256 + 81 * 64 * 512 + 49 * 64 * 576)
PIXELS = CONVOLUTION + 2 * (3136 * 512 + 512 * ACTIONS)
# the gradient with respect to the image is not needed
PIXELS_TRAIN = 3 * PIXELS - 2 * 400 * 32 * 256
