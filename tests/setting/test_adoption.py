"""Classes that do not inherit from a protocol are completed with its defaults."""

import copy
import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from curriculum.setting import plugins
from curriculum.setting.adoption import DYNAMICS, PROTOCOLS, adopt, adopt_instance
from curriculum.setting.config import Config
from curriculum.types import Planner


class Still:
    """Takes action 0."""

    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return np.zeros(len(rows), int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    action: int = 0

    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return np.full(len(rows), self.action)


class Thorough(Planner):
    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return np.zeros(len(rows), int)


@pytest.mark.parametrize("members", [*PROTOCOLS.values(), DYNAMICS])
def test_the_table_names_members_that_the_protocol_has(members):
    protocol = getattr(import_module(members.module), members.protocol)
    for name in (*members.required, *members.optional):
        assert hasattr(protocol, name)


def test_a_planner_of_setup_and_act_gets_all_other_members():
    planner: Any = adopt("planner", Still)()
    assert (planner.needs, planner.state()) == ("observation", {})
    planner.load({})
    assert isinstance(planner, Still)
    assert adopt("planner", Still) is type(planner)


def test_a_completed_class_keeps_its_name():
    completed = adopt("planner", Still)
    assert (completed.__name__, completed.__doc__) == ("Still", "Takes action 0.")
    assert plugins.name_of("planner", completed()) == f"{__name__}:Still"
    assert copy.deepcopy(completed()).needs == "observation"


@pytest.mark.parametrize("planner", [Still(), Frozen(action=1)])
def test_a_completed_instance_remains_the_same_object(planner):
    equal = copy.copy(planner)
    assert adopt_instance("planner", planner) is planner
    assert planner.needs == "observation"
    if isinstance(planner, Frozen):
        assert planner == adopt_instance("planner", equal)


def test_a_class_that_inherits_is_left_alone():
    assert adopt("planner", Thorough) is Thorough


def test_instances_given_to_a_configuration_are_completed():
    config = Config(planner=Still())
    assert config.plugged()["planner"].needs == "observation"


class NoAct(Planner):
    def setup(self, rows, spec, seeds):
        return self


class Half(Still):
    def state(self):
        return {}


class OldDecay:
    def rate(self, step, score):
        return np.ones(len(score))


class OldGate:
    def planner_acts(self, rate, time, coin):
        return coin < rate[:, None]


class OldStart:
    size = 10
    source = "random"

    def actor(self, planner, random):
        return random


REFUSED = [
    ("planner", NoAct, "planner NoAct has no act; see curriculum.types.Planner"),
    ("planner", object, "planner object has no setup; see curriculum.types.Planner"),
    ("planner", Half, "planner Half must define both state and load, or neither"),
    ("env", Still, "env Still has no observation_space; see curriculum.types.World"),
    (
        "learner",
        Still,
        "learner Still must inherit from curriculum.learning.learner.Learner",
    ),
    (
        "decay",
        OldDecay,
        "decay OldDecay must define rate(step), not rate(step, score) (scores now "
        "arrive by observe(scores)); see curriculum.types.Decay",
    ),
    (
        "gate",
        OldGate,
        "gate OldGate must define planner_acts(moment), not planner_acts(rate, time, "
        "coin) (read moment.rate, moment.age and moment.coin); see",
    ),
    ("start", OldStart, "start OldStart has no fill (it replaces actor: call"),
]


@pytest.mark.parametrize(("family", "plugin", "message"), REFUSED)
def test_what_a_class_lacks_is_named_with_its_protocol(family, plugin, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        adopt(family, plugin)
