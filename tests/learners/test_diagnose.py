"""Diagnostics: finite numbers of every seed, computed without touching the learner."""

from typing import Any

import numpy as np
import pytest
import torch

from curriculum.learning.noise import Noise
from curriculum.learning.policies import Gaussian
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

SEEDS = (0, 1, 2)
ROWS = 16
# for those learners that have such fields; other numbers than that of seeds
LIGHT = {"critics": 5, "samples": 4}
CASES = [
    (name, kind)
    for name in plugins.names("learner")
    for kind in plugins.find("learner", name).kinds
]


def make(name: str, kind: str) -> Any:
    edge = np.full(4, np.inf, np.float32)
    actions = 3 if kind == "discrete" else 0
    spec = Spec((4,), "float32", -edge, edge, actions, 0 if actions else 2)
    fields = plugins.find("learner", name).__dataclass_fields__
    light = {field: value for field, value in LIGHT.items() if field in fields}
    return plugins.make("learner", name, hidden=(8,), **light).setup(spec, SEEDS)


def random_batch(kind: str) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = (len(SEEDS), ROWS)
    obs, next_obs = torch.randn(2, *shape, 4, generator=generator)
    reward, mc_return = torch.randn(2, *shape, generator=generator)
    mc_return[:, 0] = -torch.inf  # an episode that is not over
    if kind == "discrete":
        action = torch.randint(3, shape, generator=generator)
    else:
        action = torch.rand(*shape, 2, generator=generator) * 2 - 1
    discount = torch.full(shape, 0.9)
    return Batch(
        obs,
        action,
        reward,
        discount,
        next_obs,
        mc_return=mc_return,
        label=action.flip(-1) if kind == "box" else (action + 1) % 3,
        has_label=(mc_return > 0).float(),
        action_window=torch.stack([action.roll(-t, 1) for t in range(5)], 2),
        window_taken=torch.ones(*shape, 5),
    )


def leaves(state: Any, path: str = "") -> dict[str, Any]:
    """Entries of a nested state by their path."""
    if not isinstance(state, dict | list | tuple):
        return {path: state}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    found: dict[str, Any] = {}
    for name, value in items:
        found |= leaves(value, f"{path}/{name}")
    return found


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_learner_reports_finite_numbers_of_each_seed(name, kind):
    learner = make(name, kind)
    values = learner.diagnostics(random_batch(kind))
    assert len(values) >= 4
    for key, value in values.items():
        assert value.shape == (len(SEEDS),), key
        assert value.isfinite().all(), key
        assert not value.requires_grad, key


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_diagnosing_leaves_the_state_as_it_is(name, kind):
    learner = make(name, kind)
    before = leaves(learner.state())
    learner.diagnostics(random_batch(kind))
    after = leaves(learner.state())
    assert before.keys() == after.keys()
    for path, value in before.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.nan_to_num(7), after[path].nan_to_num(7)), path
        else:
            np.testing.assert_array_equal(value, after[path], err_msg=str(path))


COMMON = {"td_error", "q_data", "q_policy", "q_gap", "target_lag", "cloning_error"}
POLICY = {"policy_entropy", "log_prob_data"}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_learners_report_the_same_figures_by_the_same_names(name, kind):
    learner = make(name, kind)
    values = learner.diagnostics(random_batch(kind))
    if "q" in learner.nets:
        assert values.keys() >= COMMON
        gap = values["q_policy"] - values["q_data"]
        torch.testing.assert_close(values["q_gap"], gap)
    deterministic = name in ("td3bc", "bcq") and kind == "box"
    if {"policy", "imitator"} & learner.nets.keys() and not deterministic:
        assert values.keys() >= POLICY
    if name in ("cql", "calql"):
        assert "conservative_penalty" in values
    if name in ("iql", "awac"):
        assert values.keys() >= {"value", "advantage"}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_parts_of_a_batch_average_to_the_whole(name, kind):
    learner = make(name, kind)
    first = torch.arange(ROWS).expand(len(SEEDS), ROWS) < ROWS // 4
    values = learner.diagnostics(random_batch(kind), {"a": first, "b": ~first})
    assert "cloning_error_a" in values
    for key in ("td_error", "q_data", "advantage", "cloning_error", "log_prob_data"):
        if key in values:
            whole = 0.25 * values[f"{key}_a"] + 0.75 * values[f"{key}_b"]
            torch.testing.assert_close(whole, values[key])


def test_the_entropy_of_a_normal_policy_is_exact():
    outputs = torch.tensor([[[0.3, -2.0, 0.0, 1.0]]])  # deviations 1 and e
    policy = Gaussian(outputs, Noise((0,)))
    # (1 + ln 2 pi) / 2 = 1.418939 for each number, plus the logarithm of its deviation
    assert policy.entropy().item() == pytest.approx(3.837877)
