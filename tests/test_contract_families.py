"""Broken decays, gates, starts, worlds, learners, bonuses and techniques are named."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from curriculum import contract, train
from curriculum.contract import ContractError
from curriculum.envs._base.native import NativeRows
from curriculum.envs.gridworld import Gridworld
from curriculum.learning.learner import Learner
from curriculum.shipping import compact


class Above:
    def rate(self, step):
        return 1.2


class Clock:
    """Its rate falls with every call."""

    calls = 0

    def rate(self, step):
        self.calls += 1
        return 1 / self.calls


class Raising:
    def rate(self, step):
        return 1 / 0


class Deaf:
    def rate(self, step):
        return 1.0

    def observe(self, scores):
        return np.zeros(len(scores), bool)


class Shared(Deaf):
    """All seeds share their scores, and it forgets them."""

    listens = True

    def __init__(self):
        self.mean = 0.0

    def rate(self, step):
        return float(np.clip(self.mean, 0, 1))

    def observe(self, scores):
        self.mean = scores.mean()
        return np.zeros(len(scores), bool)


class Unready(Deaf):
    """Its rate is wrong until the first evaluation."""

    listens = True
    ready = False

    def rate(self, step):
        return 1.0 if self.ready else 1.5

    def observe(self, scores):
        self.ready = True
        return super().observe(scores)


class Counts:
    def planner_acts(self, moment):
        return (moment.coin < moment.rate[:, None]).astype(int)


class Eager:
    def planner_acts(self, moment):
        return moment.coin < moment.rate[:, None] + 0.5


class Lazy:
    def planner_acts(self, moment):
        return moment.coin < moment.rate[:, None] / 2


class Curious:
    """It looks at what the learner would do: one action for each row."""

    def planner_acts(self, moment):
        assert (moment.rate <= 1).all()
        action = moment.learner.act(moment.obs)
        assert action.shape == moment.coin.shape
        return moment.coin < moment.rate[:, None]


class Thief:
    def planner_acts(self, moment):
        moment.coin[:] = 0
        return moment.coin < moment.rate[:, None]


class Greedy:
    size = 10

    def fill(self, collector, buffer):
        collector.play_random(11)


class Split:
    size = 10

    def fill(self, collector, buffer):
        collector.play_random(2.5)


class Undeclared:
    size = 10

    def fill(self, collector, buffer):
        collector.play_planner(10)


class Leaky(Gridworld):
    def step(self, state, action, rng):
        state, reward, terminated = super().step(state, action, rng)
        return state, reward * np.nan, terminated


class Unbounded(Gridworld):
    action_space = gym.spaces.Box(-np.inf, 1, (2,))  # type: ignore[assignment]


class Shifted(Gridworld):
    action_space = gym.spaces.Discrete(3, start=1)


class Stale(Gridworld):
    def rows(self, generators, rows_per_seed=1):
        return StaleRows(self, generators, rows_per_seed)


class StaleRows(NativeRows):
    def reset(self):
        return 0 * super().reset()


class Timeless(Gridworld):
    def __post_init__(self):
        self.max_steps = -1


@dataclass(kw_only=True)
class Quiet(Learner):
    """One network, one loss."""

    hidden: tuple[int, ...] = (8,)

    def build(self):
        return {"q": self.head.critic()}

    def losses(self, batch):
        q = self.head.values(self.net.q, batch.obs).of(batch.action)
        return {"q": q.square().mean((-1, -2))}


class Misnamed(Quiet):
    def losses(self, batch):
        return {"critic": super().losses(batch)["q"]}


class Mixed(Quiet):
    """One loss for all seeds."""

    def losses(self, batch):
        return {"q": super().losses(batch)["q"].mean()}


class Wishful(Quiet):
    needs = ("goals",)


class Forgetful(Quiet):
    def load(self, state):
        pass


class Twisted(Quiet):
    def export(self, seed):
        policy: Any = super().export(seed)
        with torch.no_grad():
            policy[-1].weight.neg_()
            policy[-1].bias.neg_()
        return policy


class Flat:
    def setup(self, spec, seeds, device):
        return self

    def reward(self, batch, step):
        return batch.reward.mean(-1), {}


class Nothing:
    def compress(self, policy, obs, seed):
        return {}


class Cropped:
    def compress(self, policy, obs, seed):
        smaller = nn.Linear(obs.shape[-1], 1)
        return {"cropped": smaller}


class Unfaithful:
    """Its file holds other weights than its module."""

    def compress(self, policy, obs, seed):
        variant = compact.replaced(policy, lambda _, layer: compact.int8(layer))
        for _, layer in compact.layers(variant):
            layer.weight.data /= 2
        return {"halved": variant}


BROKEN: list[tuple[Any, Any, str]] = [
    (contract.check_decay, Above(), "rate must lie between 0 and 1, got 1.2 at step 0"),
    (contract.check_decay, Clock(), "rate must not change unless observe is called"),
    (contract.check_decay, Raising(), "(test_contract_families.py, line "),
    (contract.check_decay, Deaf(), "a decay with observe must declare listens = True"),
    (contract.check_decay, Shared(), "a seed alone must have the same rates"),
    (contract.check_decay, Unready(), "between 0 and 1, got 1.5 at step 0"),
    (contract.check_gate, Counts(), "planner_acts must return a mask of shape (3, 4)"),
    (contract.check_gate, Eager(), "must not act at a planning rate of 0"),
    (contract.check_gate, Lazy(), "must act at a planning rate of 1"),
    (contract.check_gate, Thief(), "planner_acts must not change the moment"),
    (contract.check_start, Greedy(), "fill must play at most 10 transitions"),
    (contract.check_start, Split(), "a whole number of transitions, got 2.5"),
    (contract.check_start, Undeclared(), "asks_planner must be True exactly if"),
    (contract.check_world, Leaky(), "reward must be finite"),
    (contract.check_world, Unbounded(), "bounds of a box action must be finite"),
    (contract.check_world, Shifted(), "actions must start at 0, got 1"),
    (contract.check_world, Stale(), "rows.obs must be current"),
    (contract.check_world, Timeless(), "max_steps must be at least 0, got -1"),
    (contract.check_learner, Misnamed(), "got 'critic'; networks are: q"),
    (contract.check_learner, Mixed(), "one for each seed, got ()"),
    (contract.check_learner, Wishful(), "needs names 'goals'"),
    (contract.check_learner, Forgetful(), "must continue exactly after load"),
    (contract.check_learner, Twisted(), "the exported policy must act like act"),
    (contract.check_bonus, Flat(), "reward must have shape (2, 16), got (2,)"),
    (contract.check_technique, Nothing(), "must return at least one variant"),
    (
        contract.check_technique,
        Cropped(),
        "must return finite numbers of shape (16, 3)",
    ),
    (
        contract.check_technique,
        Unfaithful(),
        "the file of variant halved must act like its module",
    ),
]


def test_a_gate_may_ask_the_learner():
    curious: Any = Curious()
    assert contract.check_gate(curious).share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("check", "plugin", "sentence"),
    BROKEN,
    ids=[type(plugin).__name__ for _, plugin, _ in BROKEN],
)
def test_a_broken_promise_is_named(check: Any, plugin: Any, sentence: str):
    with pytest.raises(ContractError, match=re.escape(sentence)) as caught:
        check(plugin)
    assert len(caught.value.broken) == 1
    assert type(plugin).__name__ in str(caught.value)


def test_a_learner_that_keeps_its_promises_passes():
    report = contract.check_learner(Quiet(), seeds=(3,), updates=2)
    assert (report.networks, report.diagnostics) == (("q",), ())


def test_a_learner_is_checked_in_two_halves_at_least():
    with pytest.raises(ValueError, match="updates must be at least 2, got 1"):
        contract.check_learner(Quiet(), updates=1)


def test_a_broken_plugin_from_outside_ends_a_run_before_its_folder_exists(
    capsys: pytest.CaptureFixture, tmp_path: Path
):
    path = tmp_path / "above.py"
    path.write_text("class Above:\n    def rate(self, step):\n        return 2\n")
    with pytest.raises(SystemExit):
        train.main(["--decay", str(path), "--runs-dir", str(tmp_path / "runs")])
    message = capsys.readouterr().err
    assert "rate must lie between 0 and 1, got 2 at step 0" in message
    assert "Traceback" not in message
    assert not (tmp_path / "runs").exists()
