"""A policy file that is opened to be used: its contract names its world."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.envs._base.spec import spec_of
from curriculum.run.evaluation import Episodes, Scale, final_episodes, play_policies
from curriculum.run.opened import Which
from curriculum.setting import flags
from curriculum.setting.config import Config
from curriculum.setting.data_world import DataWorld
from curriculum.shipping.numpy_runner import require_numbers
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import Policy, load_policy
from curriculum.types import Spec, World


class FilePolicy:
    """The policy of a file: observations to actions."""

    def __init__(self, policy: Policy):
        self.policy = policy
        self.is_discrete = policy.contract["action"]["kind"] == "discrete"

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions [n] or [n, A] for observations [n, *O], box actions in [-1, 1]."""
        numbers = self.scores(obs)
        require_numbers(numbers)
        return numbers.argmax(-1) if self.is_discrete else numbers.clip(-1, 1)

    def scores(self, obs: np.ndarray) -> np.ndarray:
        """Scores [n, actions], of which the largest acts, or the numbers [n, A] of box
        actions."""
        return self.policy.scores(obs)


class OpenedFile:
    """One policy, of one seed.

    Its world is made when it is first asked for: an export does without."""

    finished = True  # whatever its run did, this policy does not change

    def __init__(self, path: Path):
        self.path = path
        self.file = load_policy(path)
        trained = self.file.contract.get("trained")
        about: dict[str, Any] = trained if isinstance(trained, dict) else {}
        seed = about.get("seed")
        step = about.get("step")
        # a file that does not say is of seed 0, and the last policy
        self.seeds = (seed if isinstance(seed, int) else 0,)
        self.step = step if isinstance(step, int) else 0
        which: Which = "best" if about.get("policy") == "best" else "last"
        self.policies = (which,)

    @cached_property
    def config(self) -> Config:
        """The world, and what suits it."""
        return self.config_with([])

    @cached_property
    def world(self) -> World:
        """The world that the contract names; ValueError where it cannot be made, or has
        other observations or actions."""
        world: World = self.config.plugged()["env"]
        require_fit(self.file, self.path, spec_of(world), name_of(world))
        return world

    @cached_property
    def spec(self) -> Spec:
        """Observations and actions of the world."""
        return spec_of(self.world)

    @property
    def final_episodes(self) -> range:
        """The final episodes of runs in this world by default."""
        return final_episodes(self.config.eval_episodes)

    def scale_of(self, episodes: Sequence[int]) -> Scale:
        """No scale: a file does not know what random play and planners return."""
        return Scale(math.nan, math.nan)

    def config_with(self, words: Sequence[str]) -> Config:
        """The world, and words of a command line such as --planner."""
        return flags.read(list(words), world=self._named_world()).config

    def _named_world(self) -> DataWorld:
        about = self.file.contract.get("world")
        if not isinstance(about, dict):
            about = {}
        name = about.get("name")
        settings = about.get("settings")
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise ValueError(
                f"{self.path} does not name its world, so it cannot be played; export "
                "the policy from its run again"
            )
        return DataWorld(name, settings, str(self.path))

    def policy(self, seed: int, which: Which) -> FilePolicy:
        """The policy; ValueError where it is that of another seed."""
        if seed not in self.seeds:
            raise ValueError(f"no seed {seed}; {self.path} is of seed {self.seeds[0]}")
        return FilePolicy(self.file)

    def play(
        self, episodes: Sequence[int], which: Which, epsilon: float = 0.0
    ) -> Episodes:
        """Let the policy play episodes, [1, N]; a share `epsilon` of its actions is
        random."""
        acts = [self.policy(self.seeds[0], which).act]
        return play_policies(acts, self.world, episodes, self.seeds, epsilon)

    def program(self, seed: int, which: Which) -> Program:
        """What the policy computes."""
        return Program(self.file.operations, self.file.arrays)

    def contract(self, seed: int, which: Which) -> dict[str, Any]:
        """What the file says of the policy."""
        return self.file.contract

    def about(self) -> dict[str, Any]:
        """What a report says of it, as JSON holds it."""
        return {"file": str(self.path), "contract": self.file.contract}


def require_fit(policy: Policy, path: Path, spec: Spec, world: str) -> None:
    """Raise ValueError where a policy file has other observations or actions than a
    world."""
    observation = policy.contract["observation"]
    trained = (tuple(observation["shape"]), observation["dtype"])
    if trained != (spec.obs_shape, spec.obs_dtype):
        raise ValueError(
            f"{path} takes observations of shape {trained[0]} ({trained[1]}), those of "
            f"{world} have {spec.obs_shape} ({spec.obs_dtype})"
        )
    action = policy.contract["action"]
    own = Spec(*spec[:4], actions=action.get("n", 0))
    if not own.actions:
        own = own._replace(action_size=math.prod(action["shape"]))
    if (own.actions, own.action_size) != (spec.actions, spec.action_size):
        raise ValueError(
            f"{path} has {described_actions(own)}, {world} has "
            f"{described_actions(spec)}"
        )


def described_actions(spec: Spec) -> str:
    """The actions of a world, in words."""
    if spec.actions:
        return f"{spec.actions} discrete actions"
    return f"box actions of {spec.action_size} numbers"
