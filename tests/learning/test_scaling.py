"""How observations are scaled: feature by feature, by bounds that say something or by
all data so far, and never blown up."""

from typing import Any

import numpy as np
import pytest
import torch

from curriculum.learners.bc import BC
from curriculum.learners.dqn import DQN
from curriculum.learning.normalizer import Normalize, Normalizer
from curriculum.shipping.artefact import deployable, load, save
from curriculum.shipping.int8 import quantized
from curriculum.types import Batch, Spec

LARGEST = float(np.finfo(np.float32).max)


def spec_of(low: Any, high: Any, actions: int = 2) -> Spec:
    lowest = np.array(low, np.float32)
    highest = np.array(high, np.float32)
    return Spec((len(lowest),), "float32", lowest, highest, actions)


def bounded(*bounds: float, seeds: int = 1) -> Normalizer:
    """A normaliser of features in [-bound, bound]."""
    high = np.array(bounds)
    return Normalizer().setup(spec_of(-high, high), seeds)


def seen(normalizer: Normalizer, *obs: float) -> list[float]:
    """One observation as the networks of the first seed see it."""
    given = torch.tensor([[obs]], dtype=torch.float32)
    seeds = len(normalizer.mean)
    return normalizer.normalize(given.expand(seeds, 1, -1))[0, 0].tolist()


def uniform(count: int, features: int = 1, width: float = 1.0) -> np.ndarray:
    """Observations [n, O] in [-width, width]."""
    drawn = np.random.default_rng(0).uniform(-width, width, (count, features))
    return drawn.astype(np.float32)


def ends(low: float, high: float, count: int = 1_000) -> np.ndarray:
    """Half of the observations at each end, [n, 1]."""
    return np.array([low, high] * (count // 2), np.float32)[:, None]


# --- bounds or data ---


@pytest.mark.parametrize("bound", [1_000, 1e6, LARGEST, np.inf])
def test_bounds_that_the_data_hardly_use_give_way_to_the_data(bound):
    normalizer = bounded(bound)
    # mean 2, deviation 1
    normalizer.fit([ends(1, 3)])
    assert seen(normalizer, 3) == pytest.approx([1], rel=1e-3)


@pytest.mark.parametrize(
    # a twentieth of the width of 20 is 1
    ("highest", "expected"),
    [(9.98, -1), (10, 0.9)],
)
def test_bounds_are_useful_from_a_twentieth_of_their_width_on(highest, expected):
    normalizer = bounded(10)
    normalizer.fit([ends(9, highest)])
    assert seen(normalizer, 9) == pytest.approx([expected], rel=1e-3)


def test_bounds_stay_once_the_data_have_used_them():
    normalizer = bounded(10)
    normalizer.fit([ends(-5, 5)])
    normalizer.fit([ends(7, 7.1)])
    assert seen(normalizer, 7) == pytest.approx([0.7])


def test_few_observations_do_not_make_bounds_useless():
    normalizer = bounded(10)
    normalizer.fit([ends(1, 1.5, count=498)])
    assert seen(normalizer, 1) == pytest.approx([0.1])
    normalizer.fit([ends(1, 1.5, count=2)])
    assert seen(normalizer, 1) == pytest.approx([-1], rel=1e-2)


def test_each_feature_is_decided_on_its_own():
    normalizer = bounded(4, np.inf, 1_000)
    normalizer.fit([uniform(1_000, 3)])
    by_bounds, unbounded, too_wide = seen(normalizer, 1, 1, 1)
    assert by_bounds == 0.25
    # the deviation of a uniform number in [-1, 1] is the root of 1/3
    assert unbounded == pytest.approx(3**0.5, rel=0.1)
    assert too_wide == pytest.approx(3**0.5, rel=0.1)


def test_each_seed_is_decided_by_its_own_data_alone_and_among_others():
    data = [uniform(600), uniform(600, width=500), uniform(600, width=0.2)]
    among = bounded(1_000, seeds=3)
    among.fit(data)
    for seed, own in enumerate(data):
        alone = bounded(1_000)
        alone.fit([own])
        assert torch.equal(alone.mean[0], among.mean[seed])
        assert torch.equal(alone.scale[0], among.scale[seed])
    assert among.scale[1].item() == pytest.approx(1 / 1_000)  # uses its bounds


def test_bounds_of_one_number_are_harmless():
    normalizer = Normalizer().setup(spec_of([5], [5]), 1)
    assert seen(normalizer, 5) == [0]
    normalizer.fit([np.full((100, 1), 5.0)])
    assert seen(normalizer, 5.1) == pytest.approx([0.1])
    normalizer.fit([ends(4, 6, count=100)])
    assert abs(seen(normalizer, 6)[0]) < 2


# --- features that hardly vary ---


@pytest.mark.parametrize(
    # a constant is centred; a later difference of 2 % is small
    ("constant", "later", "expected"),
    [(5, 5.1, 0.02), (0, 0.1, 0.1), (-0.001, 0.1, 0.101), (1_000, 1_020, 0.02)],
)
def test_a_constant_feature_does_not_explode_when_it_changes(constant, later, expected):
    normalizer = bounded(np.inf)
    normalizer.fit([np.full((1_000, 1), constant)])
    assert seen(normalizer, constant) == pytest.approx([0], abs=1e-6)
    assert seen(normalizer, later) == pytest.approx([expected], rel=1e-3)


def test_the_deviation_is_at_least_a_hundredth_of_the_magnitude():
    normalizer = bounded(np.inf)
    normalizer.fit([ends(4.999, 5)])  # mean 4.9995, the least deviation is 0.05
    assert seen(normalizer, 5.0995) == pytest.approx([2], rel=1e-3)
    wide = bounded(np.inf)
    wide.fit([ends(4.8, 5)])  # deviation 0.1
    assert seen(wide, 5.1) == pytest.approx([2], rel=1e-3)
    negative = bounded(np.inf)
    negative.fit([ends(-5, -4.999)])
    assert seen(negative, -4.8995) == pytest.approx([2], rel=1e-3)


@pytest.mark.parametrize("unit", [1e-45, 1e-6, 1e6, 1e37])
def test_units_of_any_size_give_finite_numbers(unit):
    normalizer = bounded(np.inf)
    normalizer.fit([ends(-1, 1) * np.float32(unit)])
    assert np.isfinite(
        seen(
            normalizer,
            unit,
        )
    ).all()
    assert seen(normalizer, 0) == [0]


def test_far_outliers_are_clipped():
    normalizer = bounded(np.inf, 1)
    normalizer.fit([np.repeat(ends(-1, 1), 2, axis=1)])
    assert seen(normalizer, 9, 0.5) == pytest.approx([9, 0.5], rel=1e-3)
    assert seen(normalizer, 11, 0) == [10, 0]
    assert seen(normalizer, -1e30, 0) == [-10, 0]


# --- data as they come ---


def test_the_scale_follows_all_data_when_they_have_doubled():
    normalizer = bounded(np.inf)
    narrow = ends(0.9, 1.1)
    wide = uniform(448, width=10)
    normalizer.fit([narrow])
    changed = []
    before = normalizer.mean.clone()
    for count in range(8, 449, 8):
        normalizer.add(wide[None, count - 8 : count])
        if not torch.equal(normalizer.mean, before):
            changed.append(count)
            before = normalizer.mean.clone()
            everything = np.concatenate([narrow, wide[:count]])
            mean = everything.mean()
            deviation = everything.std(ddof=1)
            assert normalizer.mean.item() == pytest.approx(mean, rel=1e-5)
            assert normalizer.scale.item() == pytest.approx(1 / deviation, rel=1e-5)
    # 64, then 128 and 256 more
    assert changed == [64, 192, 448]


def test_without_first_data_the_scale_comes_with_the_first_64_observations():
    normalizer = bounded(np.inf)
    normalizer.refresh()
    assert seen(normalizer, 3) == [3]
    normalizer.add(ends(100, 200, count=62)[None])
    assert seen(normalizer, 3) == [3]
    normalizer.add(ends(100, 200, count=2)[None])
    assert seen(normalizer, 200) == pytest.approx([1], rel=0.01)


def test_the_first_observations_of_all_set_the_scale_at_once():
    normalizer = bounded(np.inf)
    normalizer.add(ends(100, 200, count=8)[None])
    assert seen(normalizer, 150) == [0]


def test_a_single_observation_says_nothing():
    normalizer = bounded(np.inf)
    normalizer.fit([np.array([[7.0]])])
    assert seen(normalizer, 7) == [7]


def test_a_constant_feature_is_scaled_by_data_from_when_it_varies():
    normalizer = bounded(1_000)
    normalizer.fit([np.full((1_000, 1), 5.0)])
    assert seen(normalizer, 5) == pytest.approx([0.005])
    normalizer.fit([ends(4, 6)])
    # mean 5, variance 1/2
    assert seen(normalizer, 6) == pytest.approx([2**0.5], rel=1e-2)


def test_one_seeds_bad_numbers_leave_its_scale_and_the_other_seeds_alone():
    normalizer = bounded(np.inf, seeds=2)
    normalizer.fit([ends(1, 3)] * 2)
    bad = ends(1, 3, count=64)
    bad[7] = np.nan
    normalizer.add(np.stack([bad, ends(1, 3, count=64)]))
    assert normalizer.mean.flatten().tolist() == [2, 2]
    torch.testing.assert_close(
        normalizer.scale.flatten(), torch.ones(2), rtol=1e-2, atol=0
    )


def test_observations_of_absent_seeds_are_not_counted():
    normalizer = bounded(np.inf, seeds=2)
    both = np.stack([ends(1, 3), ends(1, 3)])
    normalizer.add(both, np.array([True, False]))
    assert normalizer.mean.flatten().tolist() == [2, 0]


def test_a_loaded_scale_goes_on_exactly():
    obs = np.random.default_rng(0).normal(3, 2, (40, 2, 8, 3)).astype(np.float32)
    learner = BC(hidden=(4,)).setup(
        spec_of([-np.inf, -1_000, -5], [np.inf, 1e3, 5]), (0, 1)
    )
    for chunk in obs[:20]:
        learner.normalizer.add(chunk)
    state = learner.state()
    for chunk in obs[20:]:
        learner.normalizer.add(chunk)
    again = BC(hidden=(4,)).setup(
        spec_of([-np.inf, -1_000, -5], [np.inf, 1e3, 5]), (0, 1)
    )
    again.load(state)
    for chunk in obs[20:]:
        again.normalizer.add(chunk)
    assert torch.equal(again.normalizer.mean, learner.normalizer.mean)
    assert torch.equal(again.normalizer.scale, learner.normalizer.scale)


def test_old_weights_come_back_with_the_scale_they_were_trained_with():
    learner = BC(hidden=(4,)).setup(spec_of([-np.inf], [np.inf]), (0, 1))
    learner.normalizer.fit([ends(1, 3)] * 2)
    best = learner.snapshot()
    learner.normalizer.fit([ends(-100, 100)] * 2)
    learner.restore(best, np.array([True, False]))
    assert learner.normalizer.mean[0].item() == 2
    assert learner.normalizer.mean[1].item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("bounds", "data", "expected"),
    [
        ((1, 1), uniform(600, 2), "2 features scaled: 2 by bounds"),
        (
            (1, 1_000, np.inf, np.inf),
            np.hstack([uniform(600, 3), np.full((600, 1), 3.0)]),
            "4 features scaled: 1 by bounds, 2 by data, 1 constant",
        ),
        (
            (1, np.inf),
            np.empty((0, 2)),
            "2 features scaled: 1 by bounds, 1 by data once there are some",
        ),
    ],
)
def test_what_was_decided_is_said_in_one_line(bounds, data, expected):
    normalizer = bounded(*bounds)
    normalizer.fit([data])
    assert normalizer.describe() == expected


def test_nothing_is_said_of_observations_that_are_left_alone():
    high = np.ones(2)
    off = Normalizer(normalize_obs=False).setup(spec_of(-high, high), 1)
    off.fit([uniform(100, 2)])
    assert off.describe() == ""


# --- what learning and shipping make of it ---


@pytest.mark.parametrize("bound", [1, 1_000, LARGEST, np.inf])
def test_a_clone_learns_behind_any_declared_bounds(bound):
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (800, 2)).astype(np.float32)
    right = (obs[:, 0] > obs[:, 1]).astype(np.int64)
    learner = BC(hidden=(32,)).setup(spec_of([-bound] * 2, [bound] * 2), (0,))
    learner.normalizer.fit([obs])
    zeros = torch.zeros(1, 128)
    for _ in range(300):
        drawn = rng.integers(800, size=128)
        given = torch.from_numpy(obs[drawn])[None]
        action = torch.from_numpy(right[drawn])[None]
        learner.update(Batch(given, action, zeros, zeros, given))
    assert (learner.act(obs[None])[0] == right).mean() > 0.95


def test_a_file_clips_as_training_does(tmp_path):
    learner = DQN(hidden=(8,)).setup(spec_of([-np.inf, -1], [np.inf, 1]), (0,))
    learner.normalizer.fit([np.repeat(ends(-1, 1), 2, axis=1)])
    obs = np.array([[0.5, 0.5], [12, 0], [1e6, 1], [-1e6, -1]], np.float32)
    with torch.inference_mode():
        given = learner.normalizer.normalize(torch.from_numpy(obs)[None])
        q = learner.net.q(given)[0, 0].numpy()
        exported = learner.export(0)(torch.from_numpy(obs)).numpy()
    np.testing.assert_allclose(exported, q, atol=1e-5)
    policy = deployable(learner.export(0))
    assert policy.arrays["limit"].tolist() == [10]
    save(policy, tmp_path / "p.safetensors")
    np.testing.assert_allclose(load(tmp_path / "p.safetensors")(obs), q, atol=1e-4)
    rounded = quantized(policy)
    save(rounded, tmp_path / "q.safetensors")
    with torch.inference_mode():
        expected = rounded.module(torch.from_numpy(obs)).numpy()
    forward = load(tmp_path / "q.safetensors")
    np.testing.assert_allclose(forward(obs), expected, atol=1e-4)
    assert np.abs(expected).max() < 100  # clipped, or it would be a million


def test_a_file_of_a_policy_within_bounds_has_no_limit(tmp_path):
    learner = DQN(hidden=(8,)).setup(spec_of([-1], [1]), (0,))
    learner.normalizer.fit([uniform(600)])
    policy = deployable(learner.export(0))
    assert "limit" not in policy.arrays


def test_a_limit_must_be_positive(tmp_path):
    layers = [Normalize(torch.zeros(2), torch.ones(2), 10.0), torch.nn.Linear(2, 2)]
    policy = deployable(torch.nn.Sequential(*layers))
    policy.arrays["limit"][:] = -1
    save(policy, tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match="'limit' should be positive, it is -1"):
        load(tmp_path / "p.safetensors")
