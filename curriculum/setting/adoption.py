"""Complete plug-ins from outside with the defaults of their protocol.

Built-in plug-ins inherit from their protocol. A class of a third party need not: a
planner may consist of `setup` and `act` alone. `adopt` gives it the protocol's optional
members, so that no other code has to ask which of them a plug-in has.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Members(NamedTuple):
    """The members of a protocol."""

    module: str  # where the protocol is defined
    protocol: str
    required: tuple[str, ...]
    optional: tuple[str, ...]  # have defaults


PROTOCOLS: Mapping[str, Members] = {
    "env": Members(
        "curriculum.types",
        "World",
        ("observation_space", "action_space", "rows"),
        ("defaults", "has_success", "frames", "fps", "title", "evaluated"),
    ),
    "planner": Members(
        "curriculum.types",
        "Planner",
        ("setup", "act"),
        (
            *("needs", "learns", "gives", "value_discount", "advised", "check_world"),
            *("learn_on", "interrupt", "visit", "observe", "listen"),
            *("simulator_seconds", "problems", "state", "load"),
        ),
    ),
    "decay": Members(
        "curriculum.types", "Decay", ("rate",), ("listens", "observe", "state", "load")
    ),
    "gate": Members(
        "curriculum.types",
        "Gate",
        ("planner_acts",),
        ("needs_critic", "accepts", "state", "load"),
    ),
    "start": Members(
        "curriculum.types", "Start", ("fill",), ("asks_planner", "data", "verify")
    ),
    "bonus": Members(
        "curriculum.types",
        "Bonus",
        ("setup", "reward"),
        ("use_world", "visit", "state", "load"),
    ),
    "technique": Members("curriculum.types", "Technique", ("compress",), ()),
    "format": Members(
        "curriculum.types",
        "Format",
        ("read", "write"),
        ("suffixes", "recognises", "metadata"),
    ),
    "listener": Members(
        "curriculum.types", "Listener", ("open", "__call__"), ("check", "close")
    ),
}
# a world of batched numpy dynamics, whose rows this package provides
DYNAMICS = Members(
    "curriculum.envs._base.native",
    "Dynamics",
    ("observation_space", "action_space", "begin", "step", "observe"),
    ("rows", *PROTOCOLS["env"].optional),
)
# what classes written for version 0.1 have to change
MIGRATION = {
    "rate": "scores now arrive by observe(scores)",
    "planner_acts": "read moment.rate, moment.age and moment.coin",
    "fill": "it replaces actor: call collector.play_planner(self.size) "
    "or collector.play_random(self.size)",
}


@cache
def adopt(family: str, plugin: type[Any]) -> type[Any]:
    """Complete a class with the defaults of its family's protocol.

    Returns the class itself where nothing is missing, else a subclass of the same name
    and module. ValueError says what a class lacks that has no default."""
    if family == "learner":
        return _checked_learner(plugin)
    members = _members(family, plugin)
    protocol: type = getattr(import_module(members.module), members.protocol)
    problem = _problem(plugin, protocol, members)
    if problem and family == "env" and is_gymnasium(plugin):
        name = f"{plugin.__module__}:{plugin.__qualname__}"
        raise ValueError(
            f"{plugin.__name__} is a Gymnasium environment and no world; "
            f"give Gym(id={name!r})"
        )
    if problem:
        where = f"{members.module}.{members.protocol}"
        raise ValueError(f"{family} {plugin.__name__} {problem}; see {where}")
    defaults = {
        name: _default(protocol, name)
        for name in members.optional
        if not hasattr(plugin, name)
    }
    return _subclass(plugin, defaults) if defaults else plugin


def _default(protocol: type, name: str) -> object:
    """The protocol's default for a member; the value of a property, so that instances
    can still set their own."""
    member = getattr(protocol, name)
    if isinstance(member, property):
        assert member.fget is not None
        return member.fget(protocol)
    return member


def adopt_instance(family: str, plugin: T) -> T:
    """Complete an instance as `adopt` does its class; it remains the same object."""
    given: type = type(plugin)
    completed = adopt(family, given)
    if completed is not given:
        # a frozen dataclass refuses plain assignment
        object.__setattr__(plugin, "__class__", completed)
    return plugin


def is_gymnasium(plugin: type) -> bool:
    """Whether a class is an environment of Gymnasium, which is not imported here."""
    gymnasium = sys.modules.get("gymnasium")
    return gymnasium is not None and issubclass(plugin, gymnasium.Env)


def _checked_learner(plugin: type[Any]) -> type[Any]:
    learner: type = import_module("curriculum.learning.learner").Learner
    if not issubclass(plugin, learner):
        raise ValueError(
            f"learner {plugin.__name__} must inherit from "
            f"{learner.__module__}.{learner.__name__}"
        )
    return plugin


def _members(family: str, plugin: type) -> Members:
    if family == "env" and not hasattr(plugin, "rows") and hasattr(plugin, "begin"):
        return DYNAMICS
    return PROTOCOLS[family]


def _subclass(plugin: type[Any], members: Mapping[str, object]) -> type[Any]:
    """A class that differs from `plugin` only by additional members."""
    space = {
        **members,
        "__module__": plugin.__module__,
        "__qualname__": plugin.__qualname__,
        "__doc__": plugin.__doc__,
        "__slots__": (),
    }
    metaclass: type = type(plugin)
    return metaclass(plugin.__name__, (plugin,), space)


def _problem(plugin: type, protocol: type, members: Members) -> str:
    """Why a class cannot serve, as the end of a sentence; empty if it can."""
    for name in members.required:
        hint = f" ({MIGRATION[name]})" if name in MIGRATION else ""
        if not _defines(plugin, protocol, name):
            return f"has no {name}{hint}"
        expected = getattr(protocol, name)
        given = getattr(plugin, name)
        if not inspect.isfunction(expected) or not inspect.isfunction(given):
            continue
        if not _accepts(given, expected):
            return (
                f"must define {name}({_arguments(expected)}), "
                f"not {name}({_arguments(given)}){hint}"
            )
    if "load" in members.optional:
        saves = _defines(plugin, protocol, "state")
        restores = _defines(plugin, protocol, "load")
        if saves != restores:
            return "must define both state and load, or neither"
    return ""


def _defines(plugin: type, protocol: type, name: str) -> bool:
    """Whether a class has a member that is not the protocol's own."""
    member = getattr(plugin, name, None)
    return member is not None and member is not getattr(protocol, name)


def _accepts(given: Callable, expected: Callable) -> bool:
    """Whether a method can be called with the arguments that a protocol passes."""
    passed = [
        parameter
        for parameter in inspect.signature(expected).parameters.values()
        if parameter.default is parameter.empty
    ]
    try:
        inspect.signature(given).bind(*passed)
    except TypeError:
        return False
    return True


def _arguments(method: Callable) -> str:
    return ", ".join(list(inspect.signature(method).parameters)[1:])
