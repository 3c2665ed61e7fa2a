"""What the parts of the trainer hand to one another: shapes, protocols and seeded
random streams.

Letters: P seeds, E environment rows per seed, N rows (P * E), B batch, K critics, O
observation, A action.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

SOURCES = (
    "expert",
    "planner",
    "learner",
    "random",
    "dataset",
)  # who chose an action; the index is what the buffer stores
# nested: arrays and tensors go to safetensors, everything else to JSON
State = dict[str, Any]


class Spec(NamedTuple):
    """What a learner must know of a world."""

    obs_shape: tuple[int, ...]
    obs_dtype: str
    obs_low: np.ndarray  # [*O], -inf where unbounded
    obs_high: np.ndarray  # [*O], inf where unbounded
    actions: int  # number of discrete actions, 0 where actions are a box
    action_size: int = 0  # length of a box action, which lies in [-1, 1]
    # pictures that an observation [frames, height, width] stacks, oldest first; 0: it
    # is no stack
    frames: int = 0


class Batch(NamedTuple):
    """Everything a learner ever sees."""

    obs: Tensor  # [P, B, *O] float32 (uint8 for pixels)
    action: Tensor  # [P, B] int64, or [P, B, A] float32 in [-1, 1]
    reward: Tensor  # [P, B] float32: n-step sum, bonus added
    # [P, B] float32: gamma**n, 0 only where the episode truly terminated
    discount: Tensor
    next_obs: Tensor  # [P, B, *O], n steps later
    # [P, B] float32: discounted return of the episode from here on, -inf while unknown
    mc_return: Tensor | None = None

    def backup(self, value: Tensor) -> Tensor:
        """Reward plus discounted `value` of the next state, of shape [P, K, B] or [P,
        K, B, quantiles]."""
        reward, discount = (
            x.unsqueeze(1) if value.dim() == 3 else x[:, None, :, None]
            for x in self[2:4]
        )
        return reward + discount * value


class Record(NamedTuple):
    """Everything the outside ever sees of a training run."""

    # baseline, start, collect, update, time, evaluate, compress, maps or final
    kind: str
    step: int  # environment steps of one seed
    values: dict[str, np.ndarray]  # tag -> [P], in kind "maps" [P, ...]


class Planner(Protocol):
    """Also an expert, a human, a random walk: whoever may act in the learner's
    place."""

    # "observation", or "state": the simulator's true state, a privilege every report
    # names
    needs: ClassVar[str]

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Prepare for `env` (its rows in order of `seeds`, equally many each) and
        return itself."""
        ...

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Choose an action for each observation [n, *O], made in the environment rows
        [n]."""
        ...


class Decay(Protocol):
    """How the planner withdraws. One that moves on evaluations also has `state()`,
    `load(state)` and `observe(scores)`, which takes the learner's scores [P, episodes]
    and gives the seeds whose best weights shall come back, [P] bool."""

    def rate(self, step: int, score: np.ndarray) -> np.ndarray:
        """Share of actions the planner takes, [P] in [0, 1].

        `step` counts environment steps of one seed; `score` [P] is 0 at random play, 1
        at the planner's return, nan before the first evaluation."""
        ...


class Gate(Protocol):
    """How a planning rate becomes "who acts now". One with memory also has `state()`
    and `load(state)`."""

    def planner_acts(
        self, rate: np.ndarray, time: np.ndarray, coin: np.ndarray
    ) -> np.ndarray:
        """Mask [P, E], true where the planner acts.

        `rate` [P]; `time` [P, E] steps since the episode began; `coin` [P, E] fresh and
        uniform in [0, 1)."""
        ...


class Start(Protocol):
    """What seeds the buffer before training."""

    size: int  # transitions per seed
    source: ClassVar[str]  # one of SOURCES

    def actor(self, planner: Planner, random: Planner) -> Planner:
        """Choose who plays while the buffer is seeded."""
        ...


class Bonus(Protocol):
    """An intrinsic reward, recomputed for every sampled batch."""

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str) -> Self: ...
    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The bonus [P, B], already scaled, and what to log, each [P]; learns from the
        batch on the way."""
        ...

    def state(self) -> State: ...
    def load(self, state: State) -> None: ...


class Deployable(NamedTuple):
    """A policy as it would be shipped."""

    # observations [n, *O] -> scores [n, actions], the largest acts, or box actions [n,
    # A]
    module: nn.Module
    # all that its file holds. Dense layers: "mean", "scale", "<i>.weight" [out, in] and
    # "<i>.bias", with "<i>.weight_scale" [out] beside an int8 weight, "<i>.eps" [1]
    # where LayerNorm follows, "tanh" [1] for box actions. Any other module: its
    # state_dict, and "torch" [1]
    arrays: dict[str, np.ndarray]


class Technique(Protocol):
    """A way to make a policy cheaper to deploy."""

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, Deployable]:
        """Variants of `policy` by name; `obs` [n, *O] are observations it acts on,
        `seed` owns all randomness.

        Raises `curriculum.shipping.layers.Unsupported` where it cannot take this kind
        of policy."""
        ...


Listener = Callable[[Record], None]


def stream(seed: int, name: str) -> np.random.Generator:
    """The random generator that one seed owns for one purpose; no two names share
    numbers."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def within(settings: object, low: float, high: float, *names: str) -> None:
    """Raise ValueError where a field of `settings` lies outside [low, high]."""
    for name in names:
        value = getattr(settings, name)
        if not low <= value <= high:
            bounds = (
                f"at least {low:g}"
                if high == float("inf")
                else f"between {low:g} and {high:g}"
            )
            raise ValueError(f"{name} must be {bounds}, got {value:g}")
