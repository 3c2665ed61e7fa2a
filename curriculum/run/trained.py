"""What has been trained and can be used: a run, or the policy in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from curriculum.envs.recorded import Recorded
from curriculum.files import is_url
from curriculum.run.evaluation import Episodes, Scale
from curriculum.run.opened import OpenedRun, Which
from curriculum.run.opened_file import OpenedFile
from curriculum.setting.config import Config
from curriculum.shipping.operations import Program
from curriculum.shipping.policy_file import SUFFIX
from curriculum.types import Spec, World

MOST_EPISODES = 100_000


class Policy(Protocol):
    """Acts in the world that it was trained in."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions [n] or [n, A] for observations [n, *O], box actions in [-1, 1]."""
        ...

    def scores(self, obs: np.ndarray) -> np.ndarray:
        """Scores [n, actions], of which the largest acts, or the numbers [n, A] of box
        actions."""
        ...


class Trained(Protocol):
    """Policies of P seeds and the world that they were trained in.

    `config` is that of the run; of a file it has the world, and for everything else
    what suits it."""

    @property
    def path(self) -> Path:
        """Its folder, or its file."""
        ...

    @property
    def config(self) -> Config: ...

    @property
    def world(self) -> World: ...

    @property
    def spec(self) -> Spec: ...

    @property
    def seeds(self) -> tuple[int, ...]: ...

    @property
    def policies(self) -> tuple[Which, ...]:
        """The policies that there are of every seed."""
        ...

    @property
    def finished(self) -> bool:
        """Whether training has come to its end."""
        ...

    @property
    def step(self) -> int:
        """Environment steps of one seed."""
        ...

    @property
    def final_episodes(self) -> range:
        """The episodes of final evaluations."""
        ...

    def scale_of(self, episodes: Sequence[int]) -> Scale:
        """The scale of scores on these episodes."""
        ...

    def config_with(self, words: Sequence[str]) -> Config:
        """Its settings, after words of a command line such as --planner."""
        ...

    def policy(self, seed: int, which: Which) -> Policy: ...

    def play(
        self, episodes: Sequence[int], which: Which, epsilon: float = 0.0
    ) -> Episodes:
        """Let the policy of every seed play episodes alone, [P, N]; a share `epsilon`
        of its actions is random."""
        ...

    def program(self, seed: int, which: Which) -> Program:
        """What a policy computes; raises Unsupported where no policy file describes
        it."""
        ...

    def contract(self, seed: int, which: Which) -> dict[str, Any]:
        """What a policy file says of a policy."""
        ...

    def about(self) -> dict[str, Any]:
        """What a report says of it, as JSON holds it."""
        ...


def open_trained(path: Path) -> Trained:
    """Open a policy file, or the folder of a run."""
    if path.suffix == SUFFIX or path.is_file():
        return OpenedFile(path)
    return OpenedRun(path)


def is_trained(word: str) -> bool:
    """Whether a word is meant to name a run or a policy file."""
    path = Path(word)
    return is_url(word) or path.suffix == SUFFIX or path.is_dir()


def require_run(trained: Trained, flag: str) -> OpenedRun:
    """The run that a flag needs; ValueError for a policy file."""
    if isinstance(trained, OpenedRun):
        return trained
    raise ValueError(
        f"{flag} is for runs, and {trained.path} is a single policy; give the folder "
        "of its run"
    )


def is_playable(trained: Trained) -> bool:
    """Whether the world that it was trained in can be played."""
    return not isinstance(trained.world, Recorded)


def chosen(trained: Trained, given: Which | None, otherwise: Which) -> Which:
    """The policy that a flag chooses; if it chooses none `otherwise`, or the only one
    that there is."""
    if given is not None and given not in trained.policies:
        listed = ", ".join(trained.policies)
        raise ValueError(f"{trained.path} has no {given} policy; it has: {listed}")
    if given is not None:
        return given
    return otherwise if otherwise in trained.policies else trained.policies[0]


def episodes_of(trained: Trained, count: int | None, first: int | None) -> range:
    """The episodes that --episodes and --first-episode give; without numbers those of
    the final evaluation.

    ValueError where there are too few or too many, or no such seeds."""
    final = trained.final_episodes
    count = len(final) if count is None else count
    first = final.start if first is None else first
    if not 1 <= count <= MOST_EPISODES:
        raise ValueError(
            f"--episodes must be between 1 and {MOST_EPISODES:,}, got {count:,}"
        )
    if not 0 <= first <= 2**31:
        raise ValueError(
            f"--first-episode must be between 0 and {2**31:,}, got {first:,}"
        )
    return range(first, first + count)
