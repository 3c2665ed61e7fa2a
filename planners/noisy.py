"""Any other planner, some of whose actions are random ones instead: for data of every
quality between the two."""

import json
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from curriculum.setting import plugins
from curriculum.types import Spec, State, stream, within

# what settings of a type take
NUMBERS: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), bool: (bool,)}


@dataclass(kw_only=True)
class Noisy:
    """The other planner is asked for every action, so its own randomness is the same at
    every `epsilon`."""

    # the other one: a name, module:Class or a path to a file
    planner: str = "shortest_path"
    # of the other one, such as simulations=32 horizon=20
    settings: tuple[str, ...] = ()
    epsilon: float = 0.3  # share of actions that are random: 0 none, 1 all

    def __post_init__(self):
        within(self, 0, 1, "epsilon")

    @property
    def needs(self) -> str:
        return self._other().needs

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Set the other planner up, and give every seed its generator."""
        self.other = self._other().setup(env, spec, seeds)
        self.spec, self.rows_each = spec, env.count // len(seeds)
        self.generators = [stream(seed, "noisy planner") for seed in seeds]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The other planner's actions, a share of `epsilon` replaced."""
        drawn = np.empty((len(rows), 1 + (self.spec.action_size or 1)))
        for seed, generator in enumerate(self.generators):
            own = rows // self.rows_each == seed
            drawn[own] = generator.random(drawn[own].shape)
        coin, random = drawn[:, 0], 2 * drawn[:, 1:] - 1
        if self.spec.actions:
            random = (drawn[:, 1] * self.spec.actions).astype(np.int64)
        action = np.array(self.other.act(obs, rows))  # a copy, whoever owns the answer
        action[coin < self.epsilon] = random[coin < self.epsilon]
        return action

    def state(self) -> State:
        """The generators, and the other planner's memory where it has one."""
        memory = {"other": self.other.state()} if hasattr(self.other, "state") else {}
        return {
            "generators": [
                generator.bit_generator.state for generator in self.generators
            ],
            **memory,
        }

    def load(self, state: State) -> None:
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
        if "other" in state:
            self.other.load(state["other"])

    def _other(self) -> Any:
        kinds = {
            field.name: field.type
            for field in plugins.describe("planner", self.planner).fields
        }
        return plugins.make(
            "planner",
            self.planner,
            **dict(_setting(text, kinds) for text in self.settings),
        )


def _setting(text: str, kinds: dict[str, Any]) -> tuple[str, Any]:
    """Name and value of "name=value": JSON, or else text."""
    name, equals, given = text.partition("=")
    if not equals:
        raise ValueError(f"settings of a planner look like name=value, got {text!r}")
    if name not in kinds:
        raise plugins.unknown("setting", name, list(kinds))
    try:
        value = given if kinds[name] is str else json.loads(given)
    except json.JSONDecodeError:
        value = given
    if type(value) not in NUMBERS.get(kinds[name], (type(value),)):
        raise ValueError(
            f"the setting {name} is of type {kinds[name].__name__}, got {given!r}"
        )
    return name, tuple(value) if isinstance(value, list) else value
