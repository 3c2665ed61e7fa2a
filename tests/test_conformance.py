"""Every plug-in that exists inherits from its protocol and keeps its promises."""

import inspect
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from curriculum import contract
from curriculum.setting import plugins
from curriculum.setting.adoption import PROTOCOLS
from curriculum.trust import trusting

FAMILIES = [family for family in plugins.PACKAGES if family != "learner"]
ALL = [(family, name) for family in FAMILIES for name in plugins.names(family)]
CHECKS: dict[str, Any] = {
    "decay": contract.check_decay,
    "gate": contract.check_gate,
    "start": contract.check_start,
    "bonus": contract.check_bonus,
}
NEEDS_FILES = {"dataset"}  # checked by its own tests
CHECKED = [
    (family, name)
    for family in CHECKS
    for name in plugins.names(family)
    if name not in NEEDS_FILES
]
SMALL = {"hidden": (8,), "batch_size": 8}
QUICK = {"distil": {"updates": 20}, "prune": {"updates": 20}}
SETTINGS: dict[str, dict[str, Any]] = {"gym": {"id": "CartPole-v1"}}
TOO_SLOW = {"atari"}  # checked by its own tests
UNPLAYED = {"recorded"}  # has no rows


@pytest.mark.parametrize(("family", "name"), ALL)
def test_a_plugin_inherits_from_its_protocol(family: str, name: str):
    members = PROTOCOLS[family]
    protocol = getattr(import_module(members.module), members.protocol)
    plugin = plugins.find(family, name)
    assert protocol in plugin.__mro__
    for member in members.required:
        assert getattr(plugin, member) is not getattr(protocol, member)


@pytest.mark.parametrize("family", plugins.PACKAGES)
def test_settings_are_given_by_name(family: str):
    for name in plugins.names(family):
        plugin = plugins.find(family, name)
        assert is_dataclass(plugin), name
        assert all(field.kw_only for field in fields(plugin)), name


@pytest.mark.parametrize(("family", "name"), ALL)
def test_methods_take_the_arguments_of_their_protocol(family: str, name: str):
    members = PROTOCOLS[family]
    protocol = getattr(import_module(members.module), members.protocol)
    plugin = plugins.find(family, name)
    for member in (*members.required, *members.optional):
        declared = getattr(protocol, member)
        if not inspect.isfunction(declared):
            continue
        expected = inspect.signature(declared).parameters
        found = inspect.signature(getattr(plugin, member)).parameters
        assert list(found) == list(expected), member
        for argument in expected.values():
            if argument.default is not argument.empty:
                assert found[argument.name].default == argument.default, member


@pytest.mark.parametrize(("family", "name"), CHECKED)
def test_a_plugin_keeps_its_contract(family: str, name: str):
    report = str(CHECKS[family](name))
    assert report.startswith(f"{family} {name} keeps its contract; ")


@pytest.mark.parametrize("name", plugins.names("learner"))
def test_a_learner_keeps_its_contract(name: str):
    learner = plugins.make("learner", name, **SMALL)
    for kind in learner.kinds:
        world = {"discrete": "gridworld", "box": "pendulum"}[kind]
        report = contract.check_learner(learner, world, updates=4)
        assert str(report).startswith(f"learner {name} keeps its contract; networks ")


@pytest.mark.parametrize("name", plugins.names("technique"))
def test_a_technique_keeps_its_contract(name: str):
    technique = plugins.make("technique", name, **QUICK.get(name, {}))
    report = contract.check_technique(technique)
    assert report.variants


@pytest.mark.parametrize("name", sorted({*plugins.names("env")} - TOO_SLOW - UNPLAYED))
def test_a_world_keeps_its_contract(name: str):
    world = plugins.make("env", name, **SETTINGS.get(name, {}))
    report = contract.check_world(world, rows_per_seed=2, steps=24)
    assert "keeps its contract" in str(report)


@pytest.mark.parametrize(
    ("planner", "world"),
    [
        ("random", "gridworld"),
        ("constant", "pendulum"),
        ("shortest_path", "pointmass"),
        ("swing_up", "pendulum"),
        ("noisy", "cartpole"),
    ],
)
def test_a_planner_keeps_its_contract(planner: str, world: str):
    settings = {"planner": "random"} if planner == "noisy" else {}
    plugin = plugins.make("planner", planner, **settings)
    assert contract.check_planner(plugin, world, steps=8).planner == planner


def test_the_slow_planner_of_the_benchmarks_keeps_its_contract():
    file = Path(__file__).parents[1] / "benchmarks/plugins/slow.py"
    with trusting():
        report = contract.check_planner(
            plugins.make("planner", str(file), ms=0.0), "gridworld", steps=8
        )
    assert report.planner
