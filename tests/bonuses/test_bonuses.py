"""The novelty bonus: what is new earns more, it fades on schedule, and it never touches
the world's own reward."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.bonuses.rnd import RND
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

SEEDS = (0, 1, 2)
UNBOUNDED = np.full(4, np.inf, np.float32)
every_bonus = pytest.mark.parametrize("name", plugins.names("bonus"))


def ready(
    bonus: Any, seeds: tuple[int, ...] = SEEDS, bound: np.ndarray = UNBOUNDED
) -> Any:
    return bonus.setup(Spec((4,), "float32", -bound, bound, 3), seeds)


def random_batch(
    seeds: tuple[int, ...] = SEEDS, number: int = 0, rows: int = 16
) -> Batch:
    """Every seed's rows come from itself and the number of the batch."""
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng([seed, number])
        obs, next_obs = rng.normal(size=(2, rows, 4)).astype(np.float32)
        drawn.append(
            (obs, rng.integers(3, size=rows), rng.random(rows), np.ones(rows), next_obs)
        )
    return Batch(
        *(torch.as_tensor(np.stack(column)) for column in zip(*drawn, strict=True))
    )


def reach(*states: np.ndarray) -> Batch:
    """A batch for one seed whose rows lead to these states."""
    next_obs = torch.as_tensor(np.stack(states), dtype=torch.float32).unsqueeze(0)
    return random_batch((0,), rows=len(states))._replace(next_obs=next_obs)


def give(bonus: Any, batches: range, seeds: tuple[int, ...] = SEEDS) -> list[Tensor]:
    return [bonus.reward(random_batch(seeds, number), 0)[0] for number in batches]


@every_bonus
def test_states_seen_often_earn_less_and_less_beside_states_never_seen(name):
    rng = np.random.default_rng(0)
    seen, new = rng.uniform(-1, 1, (8, 4)), rng.uniform(-1, 1, (8, 4))
    bonus = ready(plugins.make("bonus", name), (0,), np.ones(4, np.float32))
    both, often = reach(*seen, *new), reach(*seen)

    def novelty() -> float:
        reward = bonus.reward(both, 0)[0][0]
        return float(reward[8:].mean() / reward[:8].mean())

    before = novelty()
    for _ in range(800):
        bonus.reward(often, 0)
    assert novelty() > 3 * before


@every_bonus
def test_the_bonus_comes_apart_from_the_worlds_reward_and_ignores_it(name):
    batch = random_batch()
    before = [column.clone() for column in batch[:5]]
    reward, log = ready(plugins.make("bonus", name)).reward(batch, 0)
    assert reward.shape == (3, 16)
    assert (reward >= 0).all()
    assert not reward.requires_grad
    assert all(value.shape == (3,) for value in log.values())
    assert all(
        torch.equal(mine, old) for mine, old in zip(batch[:5], before, strict=True)
    )
    richer = batch._replace(reward=batch.reward + 1000)
    assert torch.equal(ready(plugins.make("bonus", name)).reward(richer, 0)[0], reward)


@every_bonus
def test_a_seed_is_given_the_same_bonus_alone_and_among_others(name):
    alone, among = (
        give(ready(plugins.make("bonus", name), seeds), range(200), seeds)
        for seeds in ((3,), (0, 1, 2, 3, 4))
    )
    for mine, others in zip(alone, among, strict=True):
        torch.testing.assert_close(mine[0], others[3], atol=1e-5, rtol=1e-5)


@every_bonus
def test_loading_a_state_goes_on_as_if_never_interrupted(name):
    bonus = ready(plugins.make("bonus", name))
    give(bonus, range(20))
    state = bonus.state()
    uninterrupted = give(bonus, range(20, 40))
    for _ in range(2):  # the state serves twice: going on from it does not change it
        resumed = ready(plugins.make("bonus", name))
        resumed.load(state)
        for mine, theirs in zip(
            give(resumed, range(20, 40)), uninterrupted, strict=True
        ):
            assert torch.equal(mine, theirs)


def test_the_weight_falls_linearly_to_nothing():
    bonus = ready(RND(coef=2.0, duration=100))
    state, batch = bonus.state(), random_batch()
    for step, weight in {
        0: 2.0,
        25: 1.5,
        50: 1.0,
        99: 0.02,
        100: 0.0,
        250: 0.0,
    }.items():
        bonus.load(state)
        reward, log = bonus.reward(batch, step)
        assert log["coef"].tolist() == pytest.approx([weight] * 3)
        bonus.load(state)
        torch.testing.assert_close(reward, bonus.reward(batch, 0)[0] * weight / 2)


def test_the_bonus_is_counted_in_running_standard_deviations_of_each_seeds_error():
    bonus = ready(RND(coef=2.0), (0, 1))
    normalizer = SimpleNamespace(normalize=lambda obs: obs, unseen=np.zeros(2, bool))
    nothing = SimpleNamespace(
        normalizer=normalizer,
        step=lambda batch, learning_rate, present: {},
        finish_update=lambda losses: None,
        updates=1,
    )
    bonus.networks = nothing
    for error, expected in [
        # of 1, 3 the deviation is 1; of 2, 6 it is 2
        ([[1.0, 3.0], [2.0, 6.0]], [[2.0, 6.0], [2.0, 6.0]]),
        # of 1, 3, 5, 7 it is the root of 5; of 2, 6, 6, 2 still 2
        ([[5.0, 7.0], [6.0, 2.0]], [[4.472136, 6.260990], [6.0, 2.0]]),
    ]:
        nothing.prediction_error = lambda obs, error=error: torch.tensor(error)
        torch.testing.assert_close(
            bonus.reward(random_batch((0, 1), rows=2), 0)[0], torch.tensor(expected)
        )


def test_the_predictor_learns_and_its_target_never_moves():
    bonus = ready(RND())
    target, predictor = (
        bonus.networks.nets[name].weights.vector.clone()
        for name in ("target", "predictor")
    )
    give(bonus, range(5))
    assert torch.equal(bonus.networks.nets["target"].weights.vector, target)
    assert not torch.equal(bonus.networks.nets["predictor"].weights.vector, predictor)


def test_the_unit_of_unbounded_observations_does_not_matter():
    metres, batch = ready(RND()), random_batch()
    millimetres = ready(RND())
    expected = metres.reward(batch, 0)[0]
    torch.testing.assert_close(
        millimetres.reward(batch._replace(next_obs=batch.next_obs * 1000), 0)[0],
        expected,
        atol=1e-4,
        rtol=1e-4,
    )


def empty_seed(batch: Batch, seed: int) -> Batch:
    """A batch of which a seed gets zeros, as from an empty buffer."""
    columns = [column.clone() for column in batch[:5]]
    for column in columns:
        column[seed] = 0
    return Batch(*columns)


def test_a_seed_whose_buffer_is_empty_stays_new():
    bonus = ready(RND())
    predictor = bonus.networks.nets["predictor"].weights.blocks[0]
    before = predictor[1].clone()
    for number in range(20):
        reward = bonus.reward(empty_seed(random_batch(number=number), 1), 0)[0]
        assert reward.isfinite().all()
    assert torch.equal(predictor[1], before)
    assert bonus.errors.sums[:, 1].tolist() == [0, 0, 0]
    batch = random_batch(number=20)
    bonus.reward(batch, 0)
    mean = bonus.networks.normalizer.mean[1, 0]
    torch.testing.assert_close(mean, batch.next_obs[1].mean(0), atol=1e-5, rtol=0)
    assert not torch.equal(predictor[1], before)


def test_the_bonus_follows_observations_that_leave_the_first_ones():
    bonus = ready(RND(), (0,))
    give(bonus, range(1), (0,))
    for number in range(1, 200):
        batch = random_batch((0,), number)
        bonus.reward(batch._replace(next_obs=batch.next_obs * 50 + 100), 0)
    normalizer = bonus.networks.normalizer
    # 1 batch around 0, and many around 100 with a deviation of 50
    assert normalizer.mean.mean() == pytest.approx(100, rel=0.2)
    assert (1 / normalizer.scale).mean() == pytest.approx(50, rel=0.2)


def test_observations_are_clipped_to_five_deviations():
    bonus = ready(RND(), (0,))
    give(bonus, range(1), (0,))
    far = torch.full((1, 1, 4), 1e6)
    assert bonus.networks.normalizer.normalize(far).unique().tolist() == [5]
