"""Hybrid online-offline reinforcement learning with a planner in the loop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from curriculum import _commands, _renamed

if TYPE_CHECKING:
    from curriculum.shipping.standalone import Policy

_renamed.install()
if sys.argv[:1] == ["-m"]:  # Python is looking for the module that `-m` names
    _commands.refuse_others(sys.orig_argv)


def load_policy(path: str | Path) -> Policy:
    """Read and check a policy file, such as a run's `seed0/policy-best.cur`; needs
    numpy alone. ValueError says in one sentence what is wrong with it.

        policy = curriculum.load_policy("policy-best.cur")
        action = policy.act(observation)
    """
    from curriculum.shipping import standalone

    return standalone.load_policy(path)
