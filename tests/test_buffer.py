"""The replay buffer against windows worked out by hand, a slow reference model, and the laws it samples by."""

import tracemalloc
from collections import Counter, deque
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from curriculum import checkpoint
from curriculum.buffer import SOURCE, Buffer, Transition, estimate_bytes
from curriculum.config import Config
from curriculum.types import SOURCES, Batch, Spec

SPEC = Spec((1,), "float32", np.full(1, -np.inf), np.full(1, np.inf), actions=3)
EVERY_SOURCE = dict.fromkeys(SOURCES, 1.0)
ENDS = ("", "terminated", "truncated", "both")


def buffer_of(seeds: tuple[int, ...] = (0,), rows: int = 1, spec: Spec = SPEC, **fields) -> Buffer:
    return Buffer(**fields).setup(spec, seeds, rows)


def step_of(obs, reward=0.0, end="", source="learner", rate=0.0, next_obs=None) -> Transition:
    """A transition in which everything not given is alike in all rows; `obs` [P, E] numbers the transitions."""
    obs = np.asarray(obs, np.float32)
    reward, end, source, rate = (np.broadcast_to(np.asarray(x), obs.shape) for x in (reward, end, source, rate))
    terminated, truncated = np.isin(end, ("terminated", "both")), np.isin(end, ("truncated", "both"))
    action, source = obs.astype(np.int64) % 3, np.array([[SOURCE[name] for name in row] for row in source])
    following = obs + 0.5 if next_obs is None else np.asarray(next_obs, np.float32)
    return Transition(obs[..., None], action, reward, terminated, truncated, following[..., None], source, rate)


def numbers(batch: Batch, seed: int = 0) -> np.ndarray:
    """Which transitions a batch holds, [B]."""
    return batch.obs[seed, :, 0].numpy().astype(int)


def windows(batch: Batch, seed: int = 0) -> dict[int, tuple[float, float, float]]:
    """Number of a sampled transition -> its reward, discount and next observation, the same wherever it was drawn."""
    values = torch.stack([batch.reward, batch.discount, batch.next_obs[..., 0]], -1)[seed].tolist()
    found: dict[int, tuple[float, float, float]] = {}
    for number, value in zip(numbers(batch, seed).tolist(), values, strict=True):
        assert found.setdefault(number, tuple(value)) == tuple(value)
    return found


# n-step windows


# One row, observations 0 to 4 and then 4.5 or what is stated as the last one, rewards 1, 2, 4, 8, 16, discount 1/2.
@pytest.mark.parametrize(
    ("n_step", "ends", "expected"),
    [
        (1, {}, {0: (1, 0.5, 1), 1: (2, 0.5, 2), 2: (4, 0.5, 3), 3: (8, 0.5, 4), 4: (16, 0.5, 5)}),
        (1, {1: "terminated"}, {0: (1, 0.5, 1), 1: (2, 0, 1.5), 2: (4, 0.5, 3), 3: (8, 0.5, 4), 4: (16, 0.5, 5)}),
        (1, {1: "truncated"}, {0: (1, 0.5, 1), 1: (2, 0.5, 1.5), 2: (4, 0.5, 3), 3: (8, 0.5, 4), 4: (16, 0.5, 5)}),
        (2, {}, {0: (2, 0.25, 2), 1: (4, 0.25, 3), 2: (8, 0.25, 4), 3: (16, 0.25, 5), 4: (16, 0.5, 5)}),
        (3, {}, {0: (3, 0.125, 3), 1: (6, 0.125, 4), 2: (12, 0.125, 5), 3: (16, 0.25, 5), 4: (16, 0.5, 5)}),
        (
            3,
            {2: "terminated"},
            {0: (3, 0, 2.5), 1: (4, 0, 2.5), 2: (4, 0, 2.5), 3: (16, 0.25, 5), 4: (16, 0.5, 5)},
        ),
        (
            3,
            {2: "truncated"},
            {0: (3, 0.125, 2.5), 1: (4, 0.25, 2.5), 2: (4, 0.5, 2.5), 3: (16, 0.25, 5), 4: (16, 0.5, 5)},
        ),
        (3, {2: "both"}, {0: (3, 0, 2.5), 1: (4, 0, 2.5), 2: (4, 0, 2.5), 3: (16, 0.25, 5), 4: (16, 0.5, 5)}),
        (
            3,
            {0: "truncated", 3: "terminated"},
            {0: (1, 0.5, 0.5), 1: (6, 0, 3.5), 2: (8, 0, 3.5), 3: (8, 0, 3.5), 4: (16, 0.5, 5)},
        ),
        (
            3,
            {0: "terminated", 3: "truncated"},
            {0: (1, 0, 0.5), 1: (6, 0.125, 3.5), 2: (8, 0.25, 3.5), 3: (8, 0.5, 3.5), 4: (16, 0.5, 5)},
        ),
        (
            9,
            {4: "terminated"},
            {0: (5, 0, 4.5), 1: (8, 0, 4.5), 2: (12, 0, 4.5), 3: (16, 0, 4.5), 4: (16, 0, 4.5)},
        ),
        (
            9,
            {4: "truncated"},
            {0: (5, 1 / 32, 4.5), 1: (8, 1 / 16, 4.5), 2: (12, 0.125, 4.5), 3: (16, 0.25, 4.5), 4: (16, 0.5, 4.5)},
        ),
    ],
)
def test_a_window_ends_where_its_episode_does_and_only_a_true_end_is_worth_nothing(n_step, ends, expected):
    buffer = buffer_of()
    for t in range(5):
        end = ends.get(t, "")
        buffer.add(step_of([[t]], 2.0**t, end, next_obs=[[t + 0.5 if end else t + 1]]))
    assert windows(buffer.sample(300, 0.5, n_step)) == expected


def test_the_window_of_a_running_episode_grows_as_it_goes_on():
    buffer = buffer_of()
    for reward, expected in ((1, (1, 0.5, 0.5)), (2, (2, 0.25, 1.5)), (4, (3, 0.125, 2.5)), (8, (3, 0.125, 2.5))):
        buffer.add(step_of([[buffer.added[0]]], reward))
        assert windows(buffer.sample(100, 0.5, 3))[0] == expected


def test_rows_and_seeds_that_are_stored_together_keep_apart():
    buffer = buffer_of((4, 9), rows=2)
    ends = [[["", "truncated"], ["", ""]], [["terminated", ""], ["", "terminated"]], [["", ""], ["", ""]]]
    for t, end in enumerate(ends):
        number = 10 * t + np.array([[0, 1], [100, 101]])
        buffer.add(step_of(number, [[1 + t, 3 + t], [5 + t, 7 + t]], end))
    batch = buffer.sample(300, 0.5, 3)
    assert windows(batch, 0) == {
        0: (2, 0, 10.5),  # 1 + 2 / 2, terminated
        10: (2, 0, 10.5),
        20: (3, 0.5, 20.5),
        1: (3, 0.5, 1.5),  # truncated at once
        11: (6.5, 0.25, 21.5),  # 4 + 5 / 2, still running
        21: (5, 0.5, 21.5),
    }
    assert windows(batch, 1) == {
        100: (9.75, 0.125, 120.5),  # 5 + 6 / 2 + 7 / 4
        110: (9.5, 0.25, 120.5),
        120: (7, 0.5, 120.5),
        101: (11, 0, 111.5),
        111: (8, 0, 111.5),
        121: (9, 0.5, 121.5),
    }


def test_a_step_that_is_not_stored_breaks_the_window():
    buffer = buffer_of()
    sources = ["planner", "planner", "learner", "planner", "planner"]
    for t, source in enumerate(sources):
        step = step_of([[t]], 2.0**t, "terminated" if t == 4 else "", source)
        buffer.add(step, keep=step.source == SOURCE["planner"])
    assert buffer.size.tolist() == [4]
    assert windows(buffer.sample(200, 0.5, 3)) == {
        0: (2, 0.25, 1.5),
        1: (2, 0.5, 1.5),
        3: (16, 0, 4.5),
        4: (16, 0, 4.5),
    }


def test_an_end_that_is_not_stored_still_ends_the_window():
    buffer = buffer_of()
    for t, end in enumerate(["", "terminated", "", ""]):
        buffer.add(step_of([[t]], 1, end), keep=np.array([[t != 1]]))
    assert windows(buffer.sample(100, 0.5, 3)) == {0: (1, 0.5, 0.5), 2: (1.5, 0.25, 3.5), 3: (1, 0.5, 3.5)}


def test_a_batch_keeps_what_was_stored_beside_the_observation():
    spec = Spec((2, 2), "uint8", np.zeros((2, 2)), np.full((2, 2), 255.0), actions=0, action_size=2)
    buffer = buffer_of(rows=2, spec=spec)
    zero, no = np.zeros((1, 2)), np.zeros((1, 2), bool)
    obs, action = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2), np.array([[[0.25, -1], [1, 0.5]]], np.float32)
    buffer.add(Transition(obs, action, zero, no, no, obs + 100, zero.astype(int), zero + 0.3))
    batch = buffer.sample(40, 0.9)
    assert [tuple(x.shape) for x in batch] == [(1, 40, 2, 2), (1, 40, 2), (1, 40), (1, 40), (1, 40, 2, 2)]
    assert [x.dtype for x in batch] == [torch.uint8, torch.float32, torch.float32, torch.float32, torch.uint8]
    row = (batch.obs[0, :, 0, 0] == 4).long()
    assert set(row.tolist()) == {0, 1}
    assert torch.equal(batch.obs[0], torch.from_numpy(obs[0])[row])
    assert torch.equal(batch.next_obs[0], torch.from_numpy(obs[0] + 100)[row])
    assert torch.equal(batch.action[0], torch.from_numpy(action[0])[row])
    assert buffer.columns["planning_rate"][0, :2].tolist() == pytest.approx([0.3, 0.3])
    assert buffer_of().sample(1, 0.9).action.dtype == torch.int64


def test_every_episode_of_every_row_has_a_number_of_its_own():
    buffer = buffer_of(rows=2)
    for t, end in enumerate([["", ""], ["truncated", ""], ["", "terminated"], ["", ""]]):
        buffer.add(step_of([[2 * t, 2 * t + 1]], 0, [end]))
    episode = buffer.columns["episode"][0, :8].reshape(4, 2).T.tolist()  # per row
    (a, b, c, d), (e, f, g, h) = episode
    assert (a, c, e, g) == (b, d, f, f)
    assert len({a, c, e, h}) == 4


def test_the_newest_observations_come_first():
    buffer = buffer_of((0, 1), capacity=4)
    for t in range(6):
        buffer.add(step_of([[t], [100 + t]]), keep=np.array([[True], [t < 2]]))
    first, second = (obs[:, 0].tolist() for obs in buffer.recent_obs(3))
    assert first == [5, 4, 3]
    assert second == [101, 100]


# the ring against a slow model


class Kept(NamedTuple):
    number: int
    row: int
    time: int
    reward: float
    terminated: bool
    over: bool
    source: int


class Reference:
    """One seed's buffer as a list, its windows looked up by row and time."""

    def __init__(self, capacity: int):
        self.held: deque[Kept] = deque(maxlen=capacity)

    def add(self, time: int, step: Transition, p: int, keep: np.ndarray) -> None:
        for e in np.flatnonzero(keep[p]):
            terminated, truncated = bool(step.terminated[p, e]), bool(step.truncated[p, e])
            number, reward = int(step.obs[p, e, 0]), float(step.reward[p, e])
            self.held.append(Kept(number, int(e), time, reward, terminated, terminated or truncated, step.source[p, e]))

    def windows(self, n_step: int) -> dict[int, tuple[float, float, float]]:
        at = {(kept.row, kept.time): kept for kept in self.held}
        return {kept.number: self._window(at, kept, n_step) for kept in self.held}

    @staticmethod
    def _window(at: dict[tuple[int, int], Kept], kept: Kept, n_step: int) -> tuple[float, float, float]:
        taken = [kept]
        while len(taken) < n_step and not taken[-1].over and (kept.row, taken[-1].time + 1) in at:
            taken.append(at[kept.row, taken[-1].time + 1])
        reward = sum(each.reward / 2**k for k, each in enumerate(taken))
        return reward, 0.0 if taken[-1].terminated else 1 / 2 ** len(taken), taken[-1].number + 0.5


@pytest.mark.parametrize(
    ("capacity", "rows", "store"), [(6, 3, "some"), (17, 3, "some"), (16, 4, "all"), (9, 2, "planner")]
)
def test_the_ring_holds_what_a_list_would_hold(capacity, rows, store):
    seeds, rng = (0, 1), np.random.default_rng(capacity)
    shape = (len(seeds), rows)
    uniform = buffer_of(seeds, rows, capacity=capacity)
    sourced = buffer_of(seeds, rows, capacity=capacity, sampling="fixed", shares=EVERY_SOURCE)
    models = [Reference(capacity) for _ in seeds]
    for t in range(1_500):
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        end = rng.choice(ENDS, shape, p=[0.76, 0.1, 0.1, 0.04])
        favourite = SOURCES[t // 40 % 5]  # so that sources fill the ring, vanish from it and come back
        source = np.where(rng.random(shape) < 0.8, favourite, rng.choice(SOURCES, shape))
        step = step_of(number, rng.integers(-4, 5, shape), end, source)
        keep = {"all": np.ones(shape, bool), "planner": source == "planner"}.get(store, rng.random(shape) < 0.8)
        for buffer in (uniform, sourced):
            buffer.add(step, None if store == "all" else keep)
        for p, model in enumerate(models):
            model.add(t, step, p, keep)
        if t % 13 == 0 and uniform.size.min():
            n_step = int(rng.choice([1, 2, 3, 7]))
            batches = [buffer.sample(500, 0.5, n_step) for buffer in (uniform, sourced)]
            for p, model in enumerate(models):
                expected = model.windows(n_step)
                assert uniform.size[p] == len(expected)
                held = Counter(kept.source for kept in model.held)
                for buffer, batch in zip((uniform, sourced), batches, strict=True):
                    assert windows(batch, p) == expected
                    assert buffer.count[p].tolist() == [held[s] for s in range(5)]
                    assert (batch.action[p].numpy() == numbers(batch, p) % 3).all()
    assert uniform.added.min() > 10 * capacity


# sampling laws


def filled(*held: dict[str, int], **fields) -> Buffer:
    """One row per seed, holding so many transitions of each source; numbered source by source in thousands."""
    buffer = buffer_of(tuple(range(len(held))), **fields)
    sources = [[s for s, name in enumerate(SOURCES) for _ in range(each.get(name, 0))] for each in held]
    for t in range(max(map(len, sources))):
        keep = np.array([[t < len(each)] for each in sources])
        source = np.array([[each[t] if t < len(each) else 0] for each in sources])
        buffer.add(step_of(1_000 * source + t, source=np.array(SOURCES)[source]), keep)
    return buffer


@pytest.mark.parametrize(
    ("settings", "held", "progress", "expected"),
    [
        ({}, {"expert": 60, "learner": 30, "planner": 10}, 0.5, {"expert": 0.6, "learner": 0.3, "planner": 0.1}),
        (
            {"sampling": "fixed", "shares": {"planner": 1, "learner": 3}},
            {"expert": 60, "learner": 10, "planner": 30},
            0.5,
            {"learner": 0.75, "planner": 0.25},
        ),
        (
            {"sampling": "fixed", "shares": {"expert": 0.2, "dataset": 0.5, "random": 0.3}},  # no data set is held
            {"expert": 5, "learner": 90, "random": 5},
            0.5,
            {"expert": 0.4, "random": 0.6},
        ),
        (
            {"sampling": "fixed", "shares": {"dataset": 1}},  # nothing that is wanted is held: as held
            {"expert": 75, "learner": 25},
            0.5,
            {"expert": 0.75, "learner": 0.25},
        ),
        (
            {"sampling": "symmetric"},
            {"expert": 90, "learner": 30, "planner": 10},
            0.1,
            {"expert": 0.5, "learner": 0.375, "planner": 0.125},
        ),
        (
            {"sampling": "symmetric"},
            {"expert": 30, "random": 10, "dataset": 60, "planner": 5},
            0.9,
            {"expert": 0.15, "random": 0.05, "dataset": 0.3, "planner": 0.5},
        ),
        ({"sampling": "symmetric"}, {"random": 10, "dataset": 30}, 0.5, {"random": 0.25, "dataset": 0.75}),
        ({"sampling": "symmetric"}, {"learner": 10, "planner": 30}, 0.5, {"learner": 0.25, "planner": 0.75}),
        ({"sampling": "annealed"}, {"expert": 10, "learner": 90}, 0.0, {"expert": 1.0}),
        (
            {"sampling": "annealed"},
            {"expert": 10, "learner": 60, "planner": 20},
            0.6,
            {"expert": 0.4, "learner": 0.45, "planner": 0.15},
        ),
        ({"sampling": "annealed"}, {"expert": 80, "learner": 20}, 1.0, {"learner": 1.0}),
        ({"sampling": "annealed"}, {"learner": 20}, 0.0, {"learner": 1.0}),
        ({"sampling": "annealed"}, {"expert": 20, "random": 60}, 1.0, {"expert": 0.25, "random": 0.75}),
    ],
)
def test_a_batch_has_the_shares_that_its_law_states(settings, held, progress, expected):
    drawn = 20_000
    buffer = filled(held, {"learner": 7}, **settings)
    batch = buffer.sample(drawn, 0.9, progress=progress)
    found = np.bincount(numbers(batch) // 1_000, minlength=5) / drawn
    wanted = np.array([expected.get(name, 0.0) for name in SOURCES])
    assert (abs(found - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / drawn)).all()
    np.testing.assert_array_equal(buffer.read_shares(), [found, np.eye(5)[SOURCE["learner"]]])


@pytest.mark.parametrize("settings", [{}, {"sampling": "fixed", "shares": {"expert": 1, "learner": 1}}])
def test_within_a_source_every_transition_is_as_likely(settings):
    buffer = filled({"expert": 8, "learner": 12}, capacity=16, **settings)  # the ring went round
    found = np.bincount(numbers(buffer.sample(32_000, 0.9)) % 1_000, minlength=20)
    chance = np.array([0] * 4 + [1 / 8 if settings else 1 / 16] * 4 + [1 / 24 if settings else 1 / 16] * 12)
    assert (abs(found - 32_000 * chance) <= 4.5 * np.sqrt(32_000 * chance)).all()


def test_rounding_never_draws_what_is_not_wanted():
    buffer = filled({"random": 1}, sampling="fixed", shares={"expert": 1, "planner": 4, "learner": 1})
    for number, source in enumerate(("expert", "planner", "learner")):
        buffer.add(step_of([[number]], source=source))
    assert 1 / 6 + 4 / 6 + 1 / 6 < 1  # so a coin may fall between the last share and 1
    coin = SimpleNamespace(random=lambda shape: np.full(shape, np.nextafter(1.0, 0.0)))
    buffer.generators = [coin]  # type: ignore[list-item]
    assert set(numbers(buffer.sample(5, 0.9)).tolist()) <= {0, 1, 2}


def test_shares_are_read_once_and_span_all_batches_since():
    buffer = filled({"expert": 10, "learner": 10})
    assert np.isnan(buffer.read_shares()).all()
    total = Counter(s for _ in range(3) for s in (numbers(buffer.sample(50, 0.9)) // 1_000).tolist())
    np.testing.assert_array_equal(buffer.read_shares(), [[total[s] / 150 for s in range(5)]])
    assert np.isnan(buffer.read_shares()).all()


def test_every_batch_is_drawn_anew():
    buffer = filled({"learner": 900}, {"learner": 900})
    first, second = buffer.sample(50, 0.9), buffer.sample(50, 0.9)
    assert len({tuple(numbers(batch, p)) for batch in (first, second) for p in (0, 1)}) == 4


LAWS = [
    {"sampling": "uniform"},
    {"sampling": "fixed", "shares": {"planner": 0.7, "learner": 0.1, "random": 0.2}},
    {"sampling": "symmetric"},
    {"sampling": "annealed"},
]


def play(buffers: list[tuple[Buffer, slice]], steps: range, shape: tuple[int, int]) -> None:
    """Add the same steps to every (buffer, seeds it holds)."""
    for t in steps:
        rng = np.random.default_rng(t)
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        step = step_of(number, rng.random(shape), rng.choice(ENDS, shape, p=[0.7, 0.1, 0.1, 0.1]))
        step = step._replace(source=rng.integers(5, size=shape))
        keep = rng.random(shape) < [[0.9], [0.6], [0.3]][: shape[0]]
        for buffer, seeds in buffers:
            buffer.add(Transition(*(x[seeds] for x in step)), keep[seeds])


def assert_same(a: Batch, b: Batch) -> None:
    for name, x, y in zip(Batch._fields, a, b, strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law["sampling"])
def test_a_seed_alone_samples_as_among_others(law):
    seeds = (3, 0, 8)
    together = buffer_of(seeds, 2, capacity=40, **law)
    alone = [buffer_of((seed,), 2, capacity=40, **law) for seed in seeds]
    pairs = [(together, slice(None)), *((one, slice(p, p + 1)) for p, one in enumerate(alone))]
    for first in range(20, 120, 20):
        play(pairs, range(first, first + 20), (3, 2))
        batch = together.sample(33, 0.97, 3, progress=first / 120)
        for p, one in enumerate(alone):
            assert_same(one.sample(33, 0.97, 3, progress=first / 120), Batch(*(x[p : p + 1] for x in batch)))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law["sampling"])
@pytest.mark.parametrize("steps", [8, 19, 20, 90])  # part of the ring, exactly full, just gone round, several times
def test_a_buffer_resumes_exactly(law, steps, tmp_path):
    seeds = (5, 6)
    buffer, other = (buffer_of(seeds, 2, capacity=37, **law) for _ in range(2))
    play([(buffer, slice(None))], range(steps), (2, 2))
    buffer.sample(9, 0.9)
    other.load(checkpoint.read(checkpoint.write(tmp_path / "step", {"buffer": buffer.state()}))["buffer"])
    np.testing.assert_array_equal(buffer.read_shares(), other.read_shares())
    both = [(buffer, slice(None)), (other, slice(None))]
    for first in range(steps, steps + 120, 30):
        for n_step in (1, 4):
            assert_same(buffer.sample(50, 0.9, n_step, 0.3), other.sample(50, 0.9, n_step, 0.3))
        play(both, range(first, first + 30), (2, 2))
        np.testing.assert_array_equal(buffer.size, other.size)
        np.testing.assert_array_equal(buffer.count, other.count)
        np.testing.assert_array_equal(buffer.columns["episode"], other.columns["episode"])


# memory and settings


# Beside observations and action a transition has 4 bytes each of reward, planning rate, episode and successor, 1 each
# of terminated, truncated and source, and 4 in each of the five queues: 39.
@pytest.mark.parametrize(
    ("shape", "dtype", "actions", "size", "each"),
    [
        ((3,), "float32", 4, 0, 39 + 2 * 12 + 8),
        ((4, 5), "uint8", 2, 0, 39 + 2 * 20 + 8),
        ((2,), "float64", 0, 3, 39 + 44),
    ],
)
def test_the_memory_estimate_is_what_is_allocated(shape, dtype, actions, size, each):
    spec = Spec(shape, dtype, np.zeros(shape), np.ones(shape), actions, size)
    assert estimate_bytes(spec, seeds=2, capacity=9_000) == 18_000 * each
    tracemalloc.start()
    buffer = buffer_of((0, 1), 4, spec, capacity=9_000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert buffer.memory_bytes == 18_000 * each
    assert taken == pytest.approx(18_000 * each, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 0}, r"capacity must be at least 1, got 0"),
        ({"sampling": "newest"}, r"no sampling 'newest'; there are: uniform, fixed, symmetric, annealed"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_one_sentence(settings, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Buffer(**settings)


@pytest.mark.parametrize(
    ("sampling", "shares", "message"),
    [
        ("fixed", (), r"fixed sampling and shares go together: .*"),
        ("uniform", ("planner=1",), r"fixed sampling and shares go together: .*"),
        ("fixed", ("planer=1", "learner=1"), r"shares names planer; sources are: expert, planner, learner, .*"),
        ("fixed", ("planner=-1", "learner=2"), r"shares must be weights of at least 0.*, got planner=-1 learner=2"),
        ("fixed", ("planner=0",), r"shares must be weights of at least 0.*, got planner=0"),
        ("fixed", ("planner=1", "learner=nan"), r"shares must be weights of at least 0.*, got planner=1 learner=nan"),
        ("fixed", ("planner=inf",), r"shares must be weights of at least 0.*, got planner=inf"),
        *(
            ("fixed", ("learner=1", wrong), rf"shares look like planner=0.5 learner=0.5, got learner=1 {wrong}")
            for wrong in ("planner", "planner=", "planner=half", "planner:0.5")
        ),
    ],
)
def test_shares_that_make_no_sense_are_refused_in_one_sentence(sampling, shares, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Config(sampling=sampling, shares=shares)


def test_shares_are_weights_by_source():
    assert Config(sampling="fixed", shares=("planner=0.5", "learner=2")).source_shares() == {
        "planner": 0.5,
        "learner": 2,
    }
    assert Config().source_shares() == {}


def test_a_ring_shorter_than_two_steps_is_refused():
    assert buffer_of(rows=4, capacity=8).size.tolist() == [0]
    with pytest.raises(ValueError, match=r"^capacity must be at least two steps of all rows \(8\), got 7$"):
        buffer_of(rows=4, capacity=7)
