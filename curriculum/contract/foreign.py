"""Checks of a run's plug-ins from outside, before it begins."""

from collections.abc import Callable

import torch

from curriculum.contract.bonus import check_bonus
from curriculum.contract.decay import check_decay
from curriculum.contract.fit import check_fit
from curriculum.contract.gate import check_gate
from curriculum.contract.learner import check_learner
from curriculum.contract.planner import check_planner
from curriculum.contract.resources import check_resources
from curriculum.contract.start import check_start
from curriculum.contract.technique import check_technique
from curriculum.contract.world import check_world
from curriculum.setting import plugins, techniques
from curriculum.setting.config import Config


def check_foreign(config: Config) -> None:
    """Check every plug-in that is not built in, by few calls, whether planner and
    learner fit the world, and whether the data of the start are intact; raises
    ContractError or another ValueError.

    Planners may be slow: one is asked for about 20 actions."""
    check_resources(config)
    torch.set_num_threads(config.threads)
    chosen = config.plugged()
    env = chosen["env"]
    checks: dict[str, Callable[[], object]] = {
        "env": lambda: check_world(env, rows_per_seed=2, steps=20),
        "learner": lambda: check_learner(chosen["learner"], env, updates=2),
        "planner": lambda: check_planner(
            chosen["planner"], env, rows_per_seed=1, steps=4
        ),
        "decay": lambda: check_decay(chosen["decay"], config.steps),
        "gate": lambda: check_gate(chosen["gate"], steps=20),
        "start": lambda: check_start(chosen["start"]),
        "bonus": lambda: check_bonus(chosen["bonus"], env, batches=2),
    }
    for family, check in checks.items():
        if chosen[family] is not None and _is_foreign(chosen[family]):
            check()
    for choice in config.techniques:
        for part in techniques.parts(choice):
            technique = plugins.make("technique", part)
            if _is_foreign(technique):
                check_technique(technique, env)
    check_fit(config)
    chosen["start"].verify()


def _is_foreign(plugin: object) -> bool:
    return not type(plugin).__module__.startswith("curriculum.")
