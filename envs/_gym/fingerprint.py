"""Keys that tell the states of environments written in Python apart.

MiniGrid's own `hash` does not: it leaves out what the agent carries and what boxes
contain."""

import types
from enum import Enum
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import digest

# attributes that never change; P: the transition table of Gymnasium's toy-text worlds
SHARED = ("spec", "observation_space", "action_space", "P")
# MiniGrid objects that never change
SCENERY = ("wall", "floor", "goal", "lava")
# attributes that do not decide how an environment goes on: what its random numbers
# came from, and the counter of a time limit
IRRELEVANT = frozenset(
    (*SHARED, "_np_random", "_np_random_seed", "_elapsed_steps"),
)
# MiniGrid counts steps for its time limit and for the reward at the goal, which falls
IRRELEVANT_IN_GRIDS = IRRELEVANT | {"step_count"}
SIMPLE = {bool, int, float, complex, str, bytes, type(None)}
CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
CONSTANT = (gym.Space, np.random.Generator, np.random.RandomState)


def fingerprint(env: gym.Env, is_grid: bool) -> bytes:
    """A key of 16 bytes, computed from all attributes of an environment and of the
    objects that it consists of, as a deep copy finds them.

    Environments that count steps in an attribute of their own have different keys in
    every step: leave counting to a time limit."""
    description = _Description()
    if is_grid:
        description = _Description(IRRELEVANT_IN_GRIDS, SCENERY)
    description.add(env)
    return digest("\n".join(description.words).encode())


class _Description:
    """The words that describe an object and what it refers to."""

    def __init__(
        self,
        irrelevant: frozenset[str] = IRRELEVANT,
        scenery: tuple[str, ...] = (),
    ):
        self.irrelevant = irrelevant
        self.scenery = scenery
        self.words: list[str] = []
        self.numbers: dict[int, int] = {}  # id of an object -> when it was met
        self.kept: list[Any] = []  # objects that were made here, so that ids stay

    def add(self, value: Any) -> None:
        """Describe a value; an object that was described before by its number."""
        if type(value) in SIMPLE:  # most values are, and this is the quickest test
            self.words.append(repr(value))
        elif isinstance(value, np.generic):
            self.add(value.item())
        elif isinstance(value, Enum):
            self.words.append(repr(value))
        elif isinstance(value, tuple | list):
            self._add_all("sequence", value)
        elif isinstance(value, np.ndarray):
            self._add_array(value)
        elif isinstance(value, dict):
            self._add_items(value)
        elif isinstance(value, set | frozenset):
            self._add_all("set", sorted(value, key=repr))
        elif isinstance(value, CODE):
            self.words.append(value.__name__)
        elif isinstance(value, types.MethodType):
            self._add_all(value.__name__, [value.__self__])
        elif not isinstance(value, CONSTANT):
            self._add_object(value)

    def _add_all(self, title: str, values: Any) -> None:
        self.words.append(f"{title} {len(values)}")
        for value in values:
            self.add(value)

    def _add_array(self, array: np.ndarray) -> None:
        self.words.append(f"array {array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            self._add_all("objects", array.ravel().tolist())
        else:
            self.words.append(array.tobytes().hex())

    def _add_items(self, items: dict[Any, Any]) -> None:
        for name, value in items.items():
            if name not in self.irrelevant:
                self.words.append(repr(name))
                self.add(value)
        self.words.append("end")

    def _add_object(self, thing: Any) -> None:
        if self.scenery and getattr(thing, "type", None) in self.scenery:
            self.words.append(f"{thing.type} {thing.color}")
            return
        if id(thing) in self.numbers:
            self.words.append(f"object {self.numbers[id(thing)]}")
            return
        self.numbers[id(thing)] = len(self.numbers)
        self.words.append(type(thing).__qualname__)
        if hasattr(thing, "__dict__"):
            self._add_items(vars(thing))
        else:
            self._add_parts(thing)

    def _add_parts(self, thing: Any) -> None:
        """Describe an object without attributes by what a copy would be made from."""
        _, arguments, *rest = thing.__reduce_ex__(4)
        state, elements, items = (*rest, None, None, None)[:3]
        parts = [arguments, state, list(elements or ()), list(items or ())]
        self.kept.append(parts)
        self._add_all("parts", parts)
