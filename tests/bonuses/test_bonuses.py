"""The novelty bonus: what is new earns more, it fades on schedule, and it never touches
the world's own reward."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.bonuses._novelty.deviation import Deviation
from curriculum.bonuses.counts import Counts
from curriculum.bonuses.ensemble import Ensemble
from curriculum.bonuses.rnd import RND
from curriculum.contract import check_bonus
from curriculum.envs.botevade import BotEvade
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pointmass import Pointmass
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

SEEDS = (0, 1, 2)
UNBOUNDED = np.full(4, np.inf, np.float32)
every_bonus = pytest.mark.parametrize("name", plugins.names("bonus"))


@dataclass(kw_only=True)
class _Plane(Pointmass):
    """A world whose first two numbers of four tell the cell, from -2 to 2."""

    def cell_of(self, obs: np.ndarray) -> np.ndarray:
        return self.cell((obs[:, :2].clip(-2, 1.99) + 2) / 4 * self.cells)


def ready(
    bonus: Any, seeds: tuple[int, ...] = SEEDS, bound: np.ndarray = UNBOUNDED
) -> Any:
    bonus.use_world(_Plane(maze="hard"))
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
    batch = random_batch((0,), rows=len(states))
    action = torch.zeros_like(batch.action)
    return batch._replace(obs=next_obs, action=action, next_obs=next_obs)


def pay(bonus: Any, batch: Batch, step: int = 0) -> Tensor:
    """The bonus of a batch that was collected just now."""
    bonus.visit(batch.next_obs.numpy(), np.ones(len(batch.next_obs), bool))
    return bonus.reward(batch, step)[0]


def give(bonus: Any, batches: range, seeds: tuple[int, ...] = SEEDS) -> list[Tensor]:
    return [pay(bonus, random_batch(seeds, number)) for number in batches]


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
    for _ in range(300):
        pay(bonus, often)
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
        give(ready(plugins.make("bonus", name), seeds), range(60), seeds)
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


@every_bonus
def test_a_seed_without_data_is_paid_nothing_and_decides_nothing(name):
    """Its part of a batch is zeros, on which every deviation would be tiny."""
    bonus = ready(plugins.make("bonus", name))
    for number in range(20):
        batch = empty_seed(random_batch(number=number), 1)
        reward, values = bonus.reward(batch, 0)
        assert (reward[1] == 0).all()
        assert values["bonus_mean"][1] == 0
    late = ready(plugins.make("bonus", name), (1,))
    [among] = give(bonus, range(20, 21))
    [alone] = give(late, range(20, 21), (1,))
    torch.testing.assert_close(among[1], alone[0], atol=1e-4, rtol=1e-4)


@every_bonus
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"schedule": "constant"}, 2.0),
        ({"schedule": "linear", "duration": 400}, 1.5),
        ({"schedule": "exponential", "schedule_settings": ("half_life=50",)}, 0.5),
    ],
)
def test_the_weight_follows_its_schedule(name, schedule, expected):
    bonus = ready(plugins.make("bonus", name, coef=2.0, **schedule))
    _, values = bonus.reward(random_batch(), 100)
    assert values["coef"].tolist() == pytest.approx([expected] * 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"schedule": "performance"},
            "moves on evaluations, which a bonus",
        ),
        ({"schedule": "exponental"}, "no decay 'exponental'; there are"),
        ({"schedule": "linear", "schedule_settings": ("final=0",)}, "has no schedule_"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RND(**settings)


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


def test_a_unit_with_a_memory_forgets_errors_that_have_become_small():
    all_so_far = Deviation(1, "cpu")
    recent = Deviation(1, "cpu", memory=10)
    for size in [100.0] * 50 + [1.0] * 200:
        errors = torch.tensor([[0.0, 2 * size]])  # of deviation `size`
        for unit in (all_so_far, recent):
            unit.add(errors, torch.ones(1))
    # of 50 pairs 0, 200 and 200 pairs 0, 2
    assert all_so_far.deviation().item() == pytest.approx(59.2, rel=0.01)
    assert recent.deviation().item() == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("init", "low", "high"),
    [("uniform", 0.0, 1.0), ("normal", -5.0, 5.0), ("orthogonal", -1.5, 1.5)],
)
def test_target_and_predictor_begin_as_asked_in_the_sizes_asked(init, low, high):
    alone, among = (
        ready(
            RND(
                target_init=init,
                width=24,
                layers=2,
                predictor_width=16,
                predictor_layers=1,
            ),
            seeds,
        ).networks.nets
        for seeds in ((1,), (0, 1))
    )
    shapes = [tuple(block.shape[2:]) for block in alone["target"].body_blocks[::2]]
    assert shapes == [(4, 24), (24, 24), (24, 32)]
    shapes = [tuple(block.shape[2:]) for block in alone["predictor"].body_blocks[::2]]
    assert shapes == [(4, 16), (16, 32)]
    square = alone["target"].body_blocks[2][0, 0]  # [24, 24]
    assert torch.equal(square, among["target"].body_blocks[2][1, 0])
    assert low <= square.min() < 0.2 * high
    assert 0.2 * high < square.max() <= high
    if init == "orthogonal":  # times the gain of ReLU
        product = square @ square.T
        torch.testing.assert_close(product, 2 * torch.eye(24), atol=1e-5, rtol=0)


def test_layer_norm_makes_the_features_of_all_states_equally_large():
    networks = ready(RND(output_norm="layer"), (0,)).networks
    with torch.no_grad():
        networks.nets["predictor"].weights.vector.zero_()  # features 0 of every state
        errors = networks.prediction_error(torch.randn(1, 50, 4) * 5)
    torch.testing.assert_close(errors, torch.ones(1, 50), atol=1e-3, rtol=0)


def test_counts_pay_the_inverse_root_of_the_visits_of_a_cell():
    world = Pointmass(maze="hard")
    bonus = Counts(coef=3.0, schedule="constant")
    bonus.use_world(world)
    space = world.observation_space
    bonus.setup(Spec((2,), "float32", space.low, space.high, 5), (0, 1))
    often, once = np.array([[2.5, 2.5], [7.5, 9.5]], np.float32) / 22
    for _ in range(4):
        bonus.visit(np.stack([often, once])[:, None], np.array([True, False]))
    bonus.visit(np.stack([once, once])[:, None], np.array([True, True]))
    batch = random_batch((0, 1), rows=2)
    seen = torch.tensor(np.stack([often, once])).expand(2, 2, 2)
    reward, values = bonus.reward(batch._replace(next_obs=seen), 0)
    # the second seed was never where the first was, nor counted at first
    assert reward.tolist() == [[1.5, 3.0], [3.0, 3.0]]
    assert values["coverage"].tolist() == pytest.approx([2 / 416, 1 / 416])


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (BotEvade(), "whose observations tell the cell, BotEvade is none"),
        (Gridworld(observation="image"), "do not tell where it is"),
    ],
)
def test_counts_refuse_worlds_that_do_not_tell_the_cell(world, message):
    with pytest.raises(ValueError, match=message):
        check_bonus("counts", world)


@pytest.mark.parametrize(
    "world", [Pointmass(maze="medium"), Gridworld(), Gridworld(observation="vector")]
)
def test_an_observation_tells_the_cell_of_its_state(world):
    states = world.states()
    cells = world.cell_of(world.observe(states))
    np.testing.assert_array_equal(cells, world.cell(states))


def test_an_ensemble_agrees_on_chance_that_an_error_never_stops_to_find_new():
    """Results that are pure chance stay unpredictable, and are no news in the end."""
    rng = np.random.default_rng(0)

    def batch() -> Batch:
        noise = torch.as_tensor(rng.normal(size=(1, 64, 4)), dtype=torch.float32)
        found = random_batch((0,), rows=64)
        return found._replace(obs=torch.ones(1, 64, 4), next_obs=noise)

    models = ready(Ensemble(schedule="constant", learning_rate=1e-2), (0,))
    losses, bonuses = [], []
    for _ in range(200):
        reward, values = models.reward(batch(), 0)
        bonuses.append(reward.mean().item())
        losses.append(values["model_loss"].item())
    assert np.mean(losses[-50:]) > 0.2 * np.mean(losses[:10])
    assert np.mean(bonuses[-50:]) < 0.1 * np.mean(bonuses[:10])
