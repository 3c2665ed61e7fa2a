"""The replay buffer against windows worked out by hand, a slow reference model, and how
it samples."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from curriculum.replay.buffer import SOURCE, Buffer, estimate_bytes
from curriculum.replay.layout import WINDOWS, Transition
from curriculum.replay.sampling import COUNT_AFTER
from curriculum.run import checkpoint
from curriculum.setting.config import Config
from curriculum.types import SOURCES, Batch, Spec

SPEC = Spec((1,), "float32", np.full(1, -np.inf), np.full(1, np.inf), actions=3)
EVERY_SOURCE = dict.fromkeys(SOURCES, 1.0)
ENDS = ("", "terminated", "truncated", "both")


def buffer_of(
    seeds: tuple[int, ...] = (0,),
    rows: int = 1,
    spec: Spec = SPEC,
    returns: float | None = None,
    chunks: bool = False,
    **fields,
) -> Buffer:
    needs: tuple[str, ...] = () if returns is None else ("mc_return",)
    if chunks:
        needs += WINDOWS
    discount = 1.0 if returns is None else returns
    return Buffer(**fields).setup(spec, seeds, rows, "cpu", needs, discount)


def copied(batches: list[Batch]) -> list[Batch]:
    """Batches that the next call does not fill anew."""
    return [each(batch, lambda x: x.clone()) for batch in batches]


def each(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """A batch of which every tensor is changed."""
    return Batch(*(x if x is None else change(x) for x in batch))  # type: ignore[arg-type]


def returns_of(batch: Batch) -> torch.Tensor:
    assert batch.mc_return is not None
    return batch.mc_return


def windows_of(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The actions of windows, and which of them were taken."""
    assert batch.action_window is not None
    assert batch.window_taken is not None
    return batch.action_window, batch.window_taken


def draw(buffer: Buffer, *settings, **named) -> Batch:
    (batch,) = copied(buffer.sample(*settings, **named))
    return batch


def seed_of(batch: Batch, p: int) -> Batch:
    return each(batch, lambda x: x[p : p + 1])


def step_of(
    obs, reward=0.0, end="", source="learner", rate=0.0, next_obs=None
) -> Transition:
    """A transition in which everything not given is alike in all rows; `obs` [P, E]
    numbers the transitions."""
    obs = np.asarray(obs, np.float32)
    reward, end, source, rate = (
        np.broadcast_to(np.asarray(x), obs.shape) for x in (reward, end, source, rate)
    )
    terminated, truncated = (
        np.isin(end, ("terminated", "both")),
        np.isin(end, ("truncated", "both")),
    )
    action, source = (
        obs.astype(np.int64) % 3,
        np.array([[SOURCE[name] for name in row] for row in source]),
    )
    following = obs + 0.5 if next_obs is None else np.asarray(next_obs, np.float32)
    return Transition(
        obs[..., None],
        action,
        reward,
        terminated,
        truncated,
        following[..., None],
        source,
        rate,
    )


def part_of(step: Transition, seeds: int | slice) -> Transition:
    """The step of some seeds."""
    fields: Any = (x if x is None else x[seeds] for x in step)
    return Transition(*fields)


def numbers(batch: Batch, seed: int = 0) -> np.ndarray:
    """Which transitions a batch holds, [B]."""
    return batch.obs[seed, :, 0].numpy().astype(int)


def windows(batch: Batch, seed: int = 0) -> dict[int, tuple[float, float, float]]:
    """Number of a sampled transition -> its reward, discount and next observation, the
    same wherever it was drawn."""
    values = torch.stack([batch.reward, batch.discount, batch.next_obs[..., 0]], -1)[
        seed
    ].tolist()
    found: dict[int, tuple[float, float, float]] = {}
    for number, value in zip(numbers(batch, seed).tolist(), values, strict=True):
        assert found.setdefault(number, tuple(value)) == tuple(value)
    return found


# n-step windows


# One row, observations 0 to 4 and then 4.5 or what is stated as the last one, rewards
# 1, 2, 4, 8, 16, discount 1/2.
@pytest.mark.parametrize(
    ("n_step", "ends", "expected"),
    [
        (
            1,
            {},
            {
                0: (1, 0.5, 1),
                1: (2, 0.5, 2),
                2: (4, 0.5, 3),
                3: (8, 0.5, 4),
                4: (16, 0.5, 5),
            },
        ),
        (
            1,
            {1: "terminated"},
            {
                0: (1, 0.5, 1),
                1: (2, 0, 1.5),
                2: (4, 0.5, 3),
                3: (8, 0.5, 4),
                4: (16, 0.5, 5),
            },
        ),
        (
            1,
            {1: "truncated"},
            {
                0: (1, 0.5, 1),
                1: (2, 0.5, 1.5),
                2: (4, 0.5, 3),
                3: (8, 0.5, 4),
                4: (16, 0.5, 5),
            },
        ),
        (
            2,
            {},
            {
                0: (2, 0.25, 2),
                1: (4, 0.25, 3),
                2: (8, 0.25, 4),
                3: (16, 0.25, 5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {},
            {
                0: (3, 0.125, 3),
                1: (6, 0.125, 4),
                2: (12, 0.125, 5),
                3: (16, 0.25, 5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {2: "terminated"},
            {
                0: (3, 0, 2.5),
                1: (4, 0, 2.5),
                2: (4, 0, 2.5),
                3: (16, 0.25, 5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {2: "truncated"},
            {
                0: (3, 0.125, 2.5),
                1: (4, 0.25, 2.5),
                2: (4, 0.5, 2.5),
                3: (16, 0.25, 5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {2: "both"},
            {
                0: (3, 0, 2.5),
                1: (4, 0, 2.5),
                2: (4, 0, 2.5),
                3: (16, 0.25, 5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {0: "truncated", 3: "terminated"},
            {
                0: (1, 0.5, 0.5),
                1: (6, 0, 3.5),
                2: (8, 0, 3.5),
                3: (8, 0, 3.5),
                4: (16, 0.5, 5),
            },
        ),
        (
            3,
            {0: "terminated", 3: "truncated"},
            {
                0: (1, 0, 0.5),
                1: (6, 0.125, 3.5),
                2: (8, 0.25, 3.5),
                3: (8, 0.5, 3.5),
                4: (16, 0.5, 5),
            },
        ),
        (
            9,
            {4: "terminated"},
            {
                0: (5, 0, 4.5),
                1: (8, 0, 4.5),
                2: (12, 0, 4.5),
                3: (16, 0, 4.5),
                4: (16, 0, 4.5),
            },
        ),
        (
            9,
            {4: "truncated"},
            {
                0: (5, 1 / 32, 4.5),
                1: (8, 1 / 16, 4.5),
                2: (12, 0.125, 4.5),
                3: (16, 0.25, 4.5),
                4: (16, 0.5, 4.5),
            },
        ),
    ],
)
def test_a_window_ends_where_its_episode_does_and_only_a_true_end_is_worth_nothing(
    n_step, ends, expected
):
    buffer = buffer_of()
    for t in range(5):
        end = ends.get(t, "")
        buffer.add(step_of([[t]], 2.0**t, end, next_obs=[[t + 0.5 if end else t + 1]]))
    assert windows(draw(buffer, 300, 0.5, n_step)) == expected


# The same chain; actions are numbers of transitions modulo 3.
@pytest.mark.parametrize(
    ("n_step", "ends", "expected"),
    [
        (1, {1: "terminated"}, {0: [0], 1: [1], 2: [2], 3: [0], 4: [1]}),
        (3, {}, {0: [0, 1, 2], 1: [1, 2, 0], 2: [2, 0, 1], 3: [0, 1], 4: [1]}),
        (
            3,
            {2: "terminated"},
            {0: [0, 1, 2], 1: [1, 2], 2: [2], 3: [0, 1], 4: [1]},
        ),
        (3, {0: "truncated"}, {0: [0], 1: [1, 2, 0], 2: [2, 0, 1], 3: [0, 1], 4: [1]}),
        (9, {1: "both"}, {0: [0, 1], 1: [1], 2: [2, 0, 1], 3: [0, 1], 4: [1]}),
    ],
)
@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_a_window_holds_the_actions_of_one_episode(n_step, ends, expected, kind):
    spec = SPEC if kind == "discrete" else SPEC._replace(actions=0, action_size=2)
    buffer = buffer_of(spec=spec, chunks=True)
    for t in range(5):
        step = step_of([[t]], end=ends.get(t, ""))
        if kind == "box":
            step = step._replace(action=np.stack([step.action, -step.action], -1))
        buffer.add(step)
    batch = draw(buffer, 100, 0.5, n_step)
    window, taken = windows_of(batch)
    for n, number in enumerate(numbers(batch)):
        actions = expected[number]
        missing = n_step - len(actions)
        assert taken[0, n].tolist() == [1] * len(actions) + [0] * missing
        padded = np.array(actions + [0] * missing)
        wanted = padded if kind == "discrete" else np.stack([padded, -padded], -1)
        np.testing.assert_array_equal(window[0, n], wanted)
        np.testing.assert_array_equal(batch.action[0, n], wanted[0])


def test_the_window_of_a_running_episode_grows_as_it_goes_on():
    buffer = buffer_of()
    for reward, expected in (
        (1, (1, 0.5, 0.5)),
        (2, (2, 0.25, 1.5)),
        (4, (3, 0.125, 2.5)),
        (8, (3, 0.125, 2.5)),
    ):
        buffer.add(step_of([[buffer.ring.added[0]]], reward))
        assert windows(draw(buffer, 100, 0.5, 3))[0] == expected


def test_rows_and_seeds_that_are_stored_together_keep_apart():
    buffer = buffer_of((4, 9), rows=2)
    ends = [
        [["", "truncated"], ["", ""]],
        [["terminated", ""], ["", "terminated"]],
        [["", ""], ["", ""]],
    ]
    for t, end in enumerate(ends):
        number = 10 * t + np.array([[0, 1], [100, 101]])
        buffer.add(step_of(number, [[1 + t, 3 + t], [5 + t, 7 + t]], end))
    batch = draw(buffer, 300, 0.5, 3)
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
    assert windows(draw(buffer, 200, 0.5, 3)) == {
        0: (2, 0.25, 1.5),
        1: (2, 0.5, 1.5),
        3: (16, 0, 4.5),
        4: (16, 0, 4.5),
    }


def test_an_end_that_is_not_stored_still_ends_the_window():
    buffer = buffer_of()
    for t, end in enumerate(["", "terminated", "", ""]):
        buffer.add(step_of([[t]], 1, end), keep=np.array([[t != 1]]))
    assert windows(draw(buffer, 100, 0.5, 3)) == {
        0: (1, 0.5, 0.5),
        2: (1.5, 0.25, 3.5),
        3: (1, 0.5, 3.5),
    }


def test_a_batch_keeps_what_was_stored_beside_the_observation():
    spec = Spec(
        (2, 2),
        "uint8",
        np.zeros((2, 2)),
        np.full((2, 2), 255.0),
        actions=0,
        action_size=2,
    )
    buffer = buffer_of(rows=2, spec=spec)
    zero, no = np.zeros((1, 2)), np.zeros((1, 2), bool)
    obs, action = (
        np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2),
        np.array([[[0.25, -1], [1, 0.5]]], np.float32),
    )
    buffer.add(
        Transition(obs, action, zero, no, no, obs + 100, zero.astype(int), zero + 0.3)
    )
    batch = draw(buffer, 40, 0.9)
    required = (batch.obs, batch.action, batch.reward, batch.discount, batch.next_obs)
    assert [tuple(x.shape) for x in required] == [
        (1, 40, 2, 2),
        (1, 40, 2),
        (1, 40),
        (1, 40),
        (1, 40, 2, 2),
    ]
    assert {x.dtype for x in required} == {torch.float32}
    assert batch.mc_return is None
    row = (batch.obs[0, :, 0, 0] == 4).long()
    assert set(row.tolist()) == {0, 1}
    assert torch.equal(batch.obs[0], torch.from_numpy(obs[0])[row])
    assert torch.equal(batch.next_obs[0], torch.from_numpy(obs[0] + 100)[row])
    assert torch.equal(batch.action[0], torch.from_numpy(action[0])[row])
    planning_rate = buffer.sources.planning_rate[0, :2]
    assert planning_rate.tolist() == pytest.approx([0.3, 0.3])
    assert draw(buffer_of(), 1, 0.9).action.dtype == torch.int64


def test_every_episode_of_every_row_has_a_number_of_its_own():
    buffer = buffer_of(rows=2)
    for t, end in enumerate(
        [["", ""], ["truncated", ""], ["", "terminated"], ["", ""]]
    ):
        buffer.add(step_of([[2 * t, 2 * t + 1]], 0, [end]))
    episode = buffer.episodes.columns.episode[0, :8].reshape(4, 2).T.tolist()  # per row
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


def test_observations_that_differ_are_spread_over_all_that_is_held():
    buffer = buffer_of((0, 1), capacity=30)
    for t in range(45):
        buffer.add(step_of([[t // 2 % 10], [7]]), keep=np.array([[True], [t < 3]]))
    everything, one = buffer.distinct_obs(99)
    assert sorted(everything[:, 0].tolist()) == list(range(10))
    assert one.tolist() == [[7]]
    some = buffer.distinct_obs(4)[0][:, 0].tolist()
    assert len(set(some)) == len(some) == 4


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
    """One seed's history as a list, of which the last `size` are held; looked up by row
    and time."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.stored: list[Kept] = []
        # row -> episodes so far -> time and reward
        self.steps: dict[int, list[list[tuple[int, float]]]] = {}

    def add(
        self, time: int, number: np.ndarray, step: Transition, keep: np.ndarray
    ) -> None:
        """One step of all rows; everything is [E]."""
        for e, reward in enumerate(step.reward.tolist()):
            terminated, over = (
                bool(step.terminated[e]),
                bool(step.terminated[e] | step.truncated[e]),
            )
            if keep[e]:
                self.stored.append(
                    Kept(
                        int(number[e]),
                        e,
                        time,
                        reward,
                        terminated,
                        over,
                        int(step.source[e]),
                    )
                )
            episodes = self.steps.setdefault(e, [[]])
            episodes[-1].append((time, reward))
            if over:
                episodes.append([])

    def held(self, size: int) -> list[Kept]:
        return self.stored[len(self.stored) - size :]

    def windows(
        self, size: int, n_step: int
    ) -> dict[int, tuple[float, float, list[int]]]:
        """Number -> reward, discount and the numbers of the transitions, the discount
        of one step being 1/2."""
        at, found = {(kept.row, kept.time): kept for kept in self.held(size)}, {}
        for first in self.held(size):
            taken = [first]
            while (
                len(taken) < n_step
                and not taken[-1].over
                and (first.row, taken[-1].time + 1) in at
            ):
                taken.append(at[first.row, taken[-1].time + 1])
            reward = sum(each.reward / 2**k for k, each in enumerate(taken))
            found[first.number] = (
                reward,
                0.0 if taken[-1].terminated else 1 / 2 ** len(taken),
                [kept.number for kept in taken],
            )
        return found

    def returns(self, size: int) -> dict[int, float]:
        """Number -> return discounted by 1/2 to the end of the episode."""
        at, found = {(kept.row, kept.time): kept for kept in self.held(size)}, {}
        for first in self.held(size):
            each, total, factor = first, first.reward, 0.5
            while not each.over and (each.row, each.time + 1) in at:
                each = at[each.row, each.time + 1]
                total, factor = total + factor * each.reward, factor / 2
            found[first.number] = total if each.over else -np.inf
        return found

    def episodes(self, size: int) -> list[float]:
        """Returns of the episodes that are over and held from their first step on."""
        at = {(kept.row, kept.time) for kept in self.held(size)}
        return sorted(
            sum(reward for _, reward in steps)
            for row, episodes in self.steps.items()
            for steps in episodes[:-1]
            if all((row, time) in at for time, _ in steps)
        )


def assert_drawn(
    batch: Batch, p: int, number: np.ndarray, model: Reference, size: int, n_step: int
) -> None:
    """Reward, discount and return of everything drawn are what the model says of
    transition `number` [B]."""
    windows, returns = model.windows(size, n_step), model.returns(size)
    expected = np.array([[*windows[n][:2], returns[n]] for n in number.tolist()])
    found = torch.stack([batch.reward[p], batch.discount[p], returns_of(batch)[p]], -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# Continuous actions hold what discrete ones count: the transition's number, in parts
# that float32 holds exactly.
@pytest.mark.parametrize(
    ("capacity", "rows", "store", "seeds", "actions"),
    [
        (6, 3, "some", (0, 1), 1 << 24),
        pytest.param(17, 3, "some", (0, 1, 2), 0, marks=pytest.mark.slow),
        pytest.param(16, 4, "all", (0,), 0, marks=pytest.mark.slow),
        (16, 4, "all", (0, 1), 1 << 24),
        pytest.param(9, 2, "planner", (0,), 1 << 24, marks=pytest.mark.slow),
        pytest.param(130, 3, "most", (4, 5, 6), 1 << 24, marks=pytest.mark.slow),
    ],
)
def test_the_ring_holds_what_a_list_would_hold(capacity, rows, store, seeds, actions):
    rng, shape = np.random.default_rng(capacity), (len(seeds), rows)
    spec = SPEC._replace(actions=actions, action_size=0 if actions else 2)
    samplings: list[dict[str, Any]] = [
        {},
        {"sampling": "fixed", "shares": EVERY_SOURCE},
    ]
    buffers = [
        buffer_of(seeds, rows, spec, 0.5, chunks=True, capacity=capacity, **sampling)
        for sampling in samplings
    ]
    models = [Reference(capacity) for _ in seeds]
    steps = 1_000 if capacity < 100 else 700
    for t in range(steps):
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        end = rng.choice(
            ENDS,
            shape,
            p=[0.76, 0.1, 0.1, 0.04] if capacity < 100 else [0.94, 0.02, 0.02, 0.02],
        )
        # so that sources fill the ring, vanish from it and come back
        favourite = SOURCES[t // 40 % 5]
        source = np.where(
            rng.random(shape) < 0.8, favourite, rng.choice(SOURCES, shape)
        )
        step = step_of(number, rng.integers(-4, 5, shape), end, source)
        step = step._replace(
            action=number if actions else np.stack([number, -number], -1)
        )
        share = {"some": 0.8, "most": 0.98}.get(store, 1.0)
        keep = source == "planner" if store == "planner" else rng.random(shape) < share
        for buffer in buffers:
            buffer.add(step, None if store == "all" else keep)
        for p, model in enumerate(models):
            model.add(t, number[p], part_of(step, p), keep[p])
        if t % (13 if capacity < 100 else 60) == 0 and buffers[0].size.min():
            n_step = int(rng.choice([1, 2, 3, 7]))
            batches = [
                draw(buffer, 500 if capacity < 100 else 1_500, 0.5, n_step)
                for buffer in buffers
            ]
            for p, model in enumerate(models):
                size = min(len(model.stored), capacity)
                assert all(buffer.size[p] == size for buffer in buffers)
                expected = model.windows(size, n_step)
                counted = Counter(kept.source for kept in model.held(size))
                for buffer, batch in zip(buffers, batches, strict=True):
                    drawn = numbers(batch, p)
                    assert set(drawn.tolist()) <= set(expected)
                    assert capacity > 100 or set(drawn.tolist()) == set(expected)
                    assert_drawn(batch, p, drawn, model, size, n_step)
                    chunks = [expected[n][2] for n in drawn.tolist()]
                    after = [chunk[-1] + 0.5 for chunk in chunks]
                    np.testing.assert_array_equal(batch.next_obs[p, :, 0], after)
                    np.testing.assert_array_equal(
                        batch.action[p],
                        drawn if actions else np.stack([drawn, -drawn], -1),
                    )
                    padded = [c + [0] * (n_step - len(c)) for c in chunks]
                    window = np.array(padded)
                    np.testing.assert_array_equal(
                        windows_of(batch)[0][p],
                        window if actions else np.stack([window, -window], -1),
                    )
                    np.testing.assert_array_equal(
                        windows_of(batch)[1][p].sum(-1), [len(c) for c in chunks]
                    )
                    assert buffer.count[p].tolist() == [counted[s] for s in range(5)]
                    np.testing.assert_array_equal(
                        np.sort(buffer.episode_returns()[p]), model.episodes(size)
                    )
    assert buffers[0].ring.added.min() > min(10, steps // capacity) * capacity


# what a return is, and an episode


def test_a_return_is_known_once_its_episode_is_over_and_stored_to_its_end():
    buffer = buffer_of(rows=2, returns=0.5)
    unknown = -np.inf
    ends = [
        ["", ""],
        ["", ""],
        ["", "truncated"],
        ["terminated", ""],
        ["", ""],
        ["", "terminated"],
    ]
    # Row 0 earns 1, 2, 4, 8 and then 16, 32; row 1 earns ten times that, and its step 4
    # is not stored.
    stages = {
        1: {0: unknown, 1: unknown, 2: unknown, 3: unknown},
        2: {0: unknown, 1: 10 + 10 + 10, 2: unknown, 3: 20 + 20, 4: unknown, 5: 40},
        3: {
            0: 1 + 1 + 1 + 1,
            1: 30,
            2: 2 + 2 + 2,
            3: 40,
            4: 4 + 4,
            5: 40,
            6: 8,
            7: unknown,
        },
        5: {
            0: 4,
            2: 6,
            4: 8,
            6: 8,
            8: unknown,
            10: unknown,
            1: 30,
            3: 40,
            5: 40,
            7: unknown,
            11: 320,
        },
    }
    for t, end in enumerate(ends):
        keep = np.array([[True, t != 4]])
        buffer.add(step_of([[2 * t, 2 * t + 1]], [[2**t, 10 * 2**t]], [end]), keep)
        if t in stages:
            # neither the discount nor the windows of a batch change its returns
            batch = draw(buffer, 300, 0.9, 2)
            assert (
                dict(
                    zip(
                        numbers(batch).tolist(),
                        returns_of(batch)[0].tolist(),
                        strict=True,
                    )
                )
                == stages[t]
            )
    assert [sorted(returns.tolist()) for returns in buffer.episode_returns()] == [
        [15, 70]
    ]


def test_an_end_that_is_not_stored_leaves_the_return_unknown():
    buffer = buffer_of(returns=0.5)
    for t, end in enumerate(["", "terminated", "terminated"]):
        buffer.add(step_of([[t]], 1, end), keep=np.array([[t != 1]]))
    batch = draw(buffer, 50, 0.9)
    assert dict(
        zip(numbers(batch).tolist(), returns_of(batch)[0].tolist(), strict=True)
    ) == {0: -np.inf, 2: 1}
    assert buffer.episode_returns()[0].tolist() == [1]


def test_a_seed_that_holds_no_episode_has_no_returns():
    buffer = buffer_of((0, 1))
    buffer.add(step_of([[0], [1]]), keep=np.array([[True], [False]]))
    assert [returns.tolist() for returns in buffer.episode_returns()] == [[], []]


# the discount that rows state is an implementation's; what a batch states is asked for


def test_every_call_may_ask_for_another_discount(tmp_path):
    buffer, other = buffer_of(), buffer_of()
    for t, asked in enumerate([0.9, 0.5, 0.0, 1.0, 0.25, 0.25]):
        buffer.add(step_of([[t]], end="terminated" if t == 2 else ""))
        found = windows(draw(buffer, 100, asked))
        assert {n: discount for n, (_, discount, _) in found.items()} == {
            n: 0.0 if n == 2 else pytest.approx(asked) for n in range(t + 1)
        }
    other.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "step", {"buffer": buffer.state()})
        )["buffer"]
    )
    for again in (1.0, 0.75):
        assert windows(draw(other, 100, again)) == windows(draw(buffer, 100, again))


# stacked frames


class Screens:
    """Rows of a world whose observations stack `depth` frames; an episode's first
    stack is of one of three kinds."""

    def __init__(self, depth: int, shape: tuple[int, int], rng: np.random.Generator):
        self.depth, self.rng = depth, rng
        self.stack = np.stack(
            [[self.begin() for _ in range(shape[1])] for _ in range(shape[0])]
        )

    def frame(self) -> np.ndarray:
        return self.rng.integers(
            0, 256 if self.rng.random() < 0.7 else 2, (1, 2, 3), np.uint8
        )

    def begin(self) -> np.ndarray:
        frames = [self.frame() for _ in range(self.depth)]
        kind = self.rng.integers(3)
        if kind < 2:
            frames[:-1] = [frames[-1] if kind else np.zeros((1, 2, 3), np.uint8)] * (
                self.depth - 1
            )
        return np.concatenate(frames)

    def step(self, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        obs, next_obs = self.stack.copy(), self.stack.copy()
        for p, e in np.ndindex(over.shape):
            next_obs[p, e] = np.concatenate([obs[p, e, 1:], self.frame()])
            self.stack[p, e] = self.begin() if over[p, e] else next_obs[p, e]
        return obs, next_obs


def screen_spec(depth: int) -> Spec:
    return Spec(
        (depth, 2, 3),
        "uint8",
        np.zeros(1),
        np.full(1, 255),
        actions=1 << 24,
        frames=depth,
    )


@pytest.mark.parametrize(
    ("depth", "capacity", "rows", "seeds", "store", "ends", "run_out"),
    [
        pytest.param(4, 60, 1, (0,), 1.0, 0.02, False, marks=pytest.mark.slow),
        (4, 60, 3, (0, 1, 2), 1.0, 0.03, False),
        pytest.param(4, 12, 6, (5,), 1.0, 0.6, False, marks=pytest.mark.slow),
        # so many beginnings that there are too few frames for all transitions
        (4, 90, 2, (0, 1), 0.8, 0.3, True),
        pytest.param(3, 150, 1, (0, 1), 1.0, 0.6, True, marks=pytest.mark.slow),
        pytest.param(1, 20, 2, (0, 1), 0.9, 0.1, True, marks=pytest.mark.slow),
    ],
)
def test_stacks_come_back_as_they_were_and_never_with_an_evicted_frame(
    depth, capacity, rows, seeds, store, ends, run_out
):
    rng, shape = np.random.default_rng(capacity + depth), (len(seeds), rows)
    screens = Screens(depth, shape, rng)
    samplings: list[dict[str, Any]] = [
        {},
        {"sampling": "fixed", "shares": EVERY_SOURCE},
    ]
    buffers = [
        buffer_of(seeds, rows, screen_spec(depth), 0.5, capacity=capacity, **sampling)
        for sampling in samplings
    ]
    models, short = [Reference(capacity) for _ in seeds], 0
    shown: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for t in range(700):
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        end = rng.choice(
            ["", "terminated", "truncated"], shape, p=[1 - ends, ends / 2, ends / 2]
        )
        obs, next_obs = screens.step(end != "")
        shown |= {n: (obs[at], next_obs[at]) for at, n in np.ndenumerate(number)}
        step = step_of(number, rng.integers(-4, 5, shape), end)._replace(
            obs=obs, action=number, next_obs=next_obs
        )
        step = step._replace(source=rng.integers(0, 5, shape))
        keep = rng.random(shape) < store
        for buffer in buffers:
            buffer.add(step, keep)
        for p, model in enumerate(models):
            model.add(t, number[p], part_of(step, p), keep[p])
        if t % 23 == 0 and buffers[0].size.min():
            n_step = int(rng.choice([1, 3]))
            batches = [draw(buffer, 300, 0.5, n_step) for buffer in buffers]
            for p, model in enumerate(models):
                size = int(buffers[0].size[p])
                assert size <= min(capacity, len(model.stored))
                short += size < min(capacity, len(model.stored))
                expected = model.windows(size, n_step)
                counted = Counter(kept.source for kept in model.held(size))
                for buffer, batch in zip(buffers, batches, strict=True):
                    drawn = batch.action[p].numpy()
                    assert batch.obs.dtype == batch.next_obs.dtype == torch.uint8
                    assert set(drawn.tolist()) <= set(expected)
                    assert_drawn(batch, p, drawn, model, size, n_step)
                    np.testing.assert_array_equal(
                        batch.obs[p], [shown[n][0] for n in drawn.tolist()]
                    )
                    np.testing.assert_array_equal(
                        batch.next_obs[p],
                        [shown[expected[n][2][-1]][1] for n in drawn.tolist()],
                    )
                    assert buffer.size[p] == size
                    assert buffer.count[p].tolist() == [counted[s] for s in range(5)]
                newest = [shown[kept.number][0] for kept in model.held(size)][:-6:-1]
                np.testing.assert_array_equal(buffers[0].recent_obs(5)[p], newest)
                distinct = {obs.tobytes() for obs in buffers[0].distinct_obs(40)[p]}
                assert len(distinct) == len(buffers[0].distinct_obs(40)[p])
                assert distinct <= {
                    shown[kept.number][0].tobytes() for kept in model.held(size)
                }
    assert (short > 0) == run_out


@pytest.mark.parametrize(
    ("rows", "capacity"),
    [
        (1, 100),
        pytest.param(1, 1_000, marks=pytest.mark.slow),
        (5, 100),
        pytest.param(7, 333, marks=pytest.mark.slow),
    ],
)
def test_episodes_of_fifty_steps_fill_the_ring_whatever_their_first_frames(
    rows, capacity
):
    # rows begin their episodes at different times
    rng, first = np.random.default_rng(0), np.arange(rows) * 3
    buffer = buffer_of((0,), rows, screen_spec(4), capacity=capacity)
    world = Screens(4, (1, rows), rng)
    world.begin = lambda: rng.integers(0, 256, (4, 2, 3), np.uint8)  # type: ignore[method-assign]
    for t in range(3 * capacity // rows + 60):
        over = ((t + first) % 50 == 49)[None]
        obs, next_obs = world.step(over)
        step = step_of(np.zeros((1, rows)), end=np.where(over, "truncated", ""))
        buffer.add(step._replace(obs=obs, next_obs=next_obs))
        assert buffer.size[0] == min(capacity, (t + 1) * rows)


def test_a_frame_is_stored_once():
    buffer = buffer_of((0,), 1, screen_spec(4))
    frames = buffer.frames
    assert frames
    images = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    # an episode that begins with the same frame four times
    still, seen = np.repeat(images[:1], 4, 0), []
    for t in range(6):
        obs = np.concatenate([still, images[1:]])[t : t + 5][None, None]
        step = step_of([[t]], end="terminated" if t == 2 else "")._replace(
            obs=obs[:, :, :4], next_obs=obs[:, :, 1:]
        )
        buffer.add(step, keep=np.array([[t != 4]]))
        seen.append(int(frames.added[0]))
    # 2 and then 1 each; a new episode of 4 different ones and 1; nothing; again 4 and 1
    # since the chain is broken
    assert seen == [2, 3, 4, 9, 9, 14]


def test_observations_that_stack_nothing_are_refused():
    buffer = buffer_of((0,), 1, screen_spec(4))
    obs = np.arange(24, dtype=np.uint8).reshape(1, 1, 4, 2, 3)
    with pytest.raises(
        ValueError, match=r"^observations must stack 4 consecutive frames"
    ):
        buffer.add(step_of([[0]])._replace(obs=obs, next_obs=obs))


# sampling


def filled(*held: dict[str, int], **fields) -> Buffer:
    """One row per seed, holding so many transitions of each source; numbered source by
    source in thousands."""
    buffer = buffer_of(tuple(range(len(held))), **fields)
    sources = [
        [s for s, name in enumerate(SOURCES) for _ in range(each.get(name, 0))]
        for each in held
    ]
    for t in range(max(map(len, sources))):
        keep = np.array([[t < len(each)] for each in sources])
        source = np.array([[each[t] if t < len(each) else 0] for each in sources])
        buffer.add(step_of(1_000 * source + t, source=np.array(SOURCES)[source]), keep)
    return buffer


@pytest.mark.parametrize(
    ("settings", "held", "progress", "expected"),
    [
        (
            {},
            {"expert": 60, "learner": 30, "planner": 10},
            0.5,
            {"expert": 0.6, "learner": 0.3, "planner": 0.1},
        ),
        (
            {"sampling": "fixed", "shares": {"planner": 1, "learner": 3}},
            {"expert": 60, "learner": 10, "planner": 30},
            0.5,
            {"learner": 0.75, "planner": 0.25},
        ),
        (
            # no data set is held
            {
                "sampling": "fixed",
                "shares": {"expert": 0.2, "dataset": 0.5, "random": 0.3},
            },
            {"expert": 5, "learner": 90, "random": 5},
            0.5,
            {"expert": 0.4, "random": 0.6},
        ),
        (
            # nothing that is wanted is held: as held
            {"sampling": "fixed", "shares": {"dataset": 1}},
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
        (
            {"sampling": "symmetric"},
            {"random": 10, "dataset": 30},
            0.5,
            {"random": 0.25, "dataset": 0.75},
        ),
        (
            {"sampling": "symmetric"},
            {"learner": 10, "planner": 30},
            0.5,
            {"learner": 0.25, "planner": 0.75},
        ),
        ({"sampling": "annealed"}, {"expert": 10, "learner": 90}, 0.0, {"expert": 1.0}),
        (
            {"sampling": "annealed"},
            {"expert": 10, "learner": 60, "planner": 20},
            0.6,
            {"expert": 0.4, "learner": 0.45, "planner": 0.15},
        ),
        (
            {"sampling": "annealed"},
            {"expert": 80, "learner": 20},
            1.0,
            {"learner": 1.0},
        ),
        ({"sampling": "annealed"}, {"learner": 20}, 0.0, {"learner": 1.0}),
        (
            {"sampling": "annealed"},
            {"expert": 20, "random": 60},
            1.0,
            {"expert": 0.25, "random": 0.75},
        ),
    ],
)
def test_a_batch_has_the_shares_that_its_law_states(settings, held, progress, expected):
    drawn = 20_000
    buffer = filled(held, {"learner": 7}, **settings)
    batch = draw(buffer, drawn, 0.9, progress=progress)
    found = np.bincount(numbers(batch) // 1_000, minlength=5) / drawn
    wanted = np.array([expected.get(name, 0.0) for name in SOURCES])
    assert (abs(found - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / drawn)).all()
    np.testing.assert_array_equal(
        buffer.read_shares(), [found, np.eye(5)[SOURCE["learner"]]]
    )


@pytest.mark.parametrize(
    "settings", [{}, {"sampling": "fixed", "shares": {"expert": 1, "learner": 1}}]
)
def test_within_a_source_every_transition_is_as_likely(settings):
    # the ring went round
    buffer = filled({"expert": 8, "learner": 12}, capacity=16, **settings)
    found = np.bincount(numbers(draw(buffer, 32_000, 0.9)) % 1_000, minlength=20)
    chance = np.array(
        [0] * 4
        + [1 / 8 if settings else 1 / 16] * 4
        + [1 / 24 if settings else 1 / 16] * 12
    )
    assert (abs(found - 32_000 * chance) <= 4.5 * np.sqrt(32_000 * chance)).all()


def test_rounding_never_draws_what_is_not_wanted():
    buffer = filled(
        {"random": 1},
        sampling="fixed",
        shares={"expert": 1, "planner": 4, "learner": 1},
    )
    for number, source in enumerate(("expert", "planner", "learner")):
        buffer.add(step_of([[number]], source=source))
    assert 1 / 6 + 4 / 6 + 1 / 6 < 1  # so a coin may fall between the last share and 1
    coin = SimpleNamespace(random=lambda out: out.fill(np.nextafter(1.0, 0.0)))
    buffer.sampler.generators = [coin]  # type: ignore[list-item]
    assert set(numbers(draw(buffer, 5, 0.9)).tolist()) <= {0, 1, 2}


def test_shares_are_read_once_and_span_all_batches_since():
    buffer = filled({"expert": 10, "learner": 10})
    assert np.isnan(buffer.read_shares()).all()
    total = Counter(
        s for _ in range(3) for s in (numbers(draw(buffer, 50, 0.9)) // 1_000).tolist()
    )
    np.testing.assert_array_equal(
        buffer.read_shares(), [[total[s] / 150 for s in range(5)]]
    )
    assert np.isnan(buffer.read_shares()).all()


def test_shares_tell_what_was_sampled_although_it_was_overwritten_since():
    buffer, total = buffer_of(capacity=8), Counter[int]()
    rng = np.random.default_rng(0)
    for t in range(200):
        source = rng.integers(5)
        buffer.add(step_of([[t * 10 + source]], source=SOURCES[source]))
        for _ in range(rng.integers(3)):
            total.update((numbers(draw(buffer, 7, 0.9)) % 10).tolist())
    expected = [[total[s] / total.total() for s in range(5)]]
    np.testing.assert_array_equal(buffer.read_shares(), expected)


def test_shares_of_many_batches_are_counted_before_memory_fills_with_them():
    buffer = filled({"expert": 3, "learner": 1}, {"random": 2})
    for _ in range(5):
        buffer.sample(COUNT_AFTER // 4, 0.9)
    assert len(buffer.sampler.uncounted) <= 2
    shares = buffer.read_shares()
    assert shares[0, [SOURCE["expert"], SOURCE["learner"]]] == pytest.approx(
        [0.75, 0.25], abs=0.02
    )
    assert shares[1].tolist() == [0, 0, 0, 1, 0]


def test_a_seed_that_holds_nothing_gets_zeros_and_no_shares():
    buffer = buffer_of((0, 1), capacity=5)
    for t in range(7):
        buffer.add(step_of([[t + 1], [99]], 1.0), keep=np.array([[True], [False]]))
        batch = draw(buffer, 20, 0.9)
        assert all((x[1] == 0).all() for x in batch if x is not None)
        assert (batch.obs[0] > 0).all()
    buffer.add(step_of([[9], [99]], 1.0))
    shares = buffer.read_shares()
    assert shares[0, SOURCE["learner"]] == 1
    assert np.isnan(shares[1]).all()
    assert (draw(buffer, 20, 0.9).obs[1] == 99).all()


def test_every_batch_is_drawn_anew():
    buffer = filled({"learner": 900}, {"learner": 900})
    first, second = draw(buffer, 50, 0.9), draw(buffer, 50, 0.9)
    assert (
        len({tuple(numbers(batch, p)) for batch in (first, second) for p in (0, 1)})
        == 4
    )


SAMPLINGS = [
    {"sampling": "uniform"},
    {"sampling": "fixed", "shares": {"planner": 0.7, "learner": 0.1, "random": 0.2}},
    {"sampling": "symmetric"},
    {"sampling": "annealed"},
]


def play(
    buffers: list[tuple[Buffer, slice]], steps: range, shape: tuple[int, int]
) -> None:
    """Add the same steps to every (buffer, seeds it holds)."""
    for t in steps:
        rng = np.random.default_rng(t)
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        step = step_of(
            number, rng.random(shape), rng.choice(ENDS, shape, p=[0.7, 0.1, 0.1, 0.1])
        )
        step = step._replace(source=rng.integers(5, size=shape))
        keep = rng.random(shape) < [[0.9], [0.6], [0.3]][: shape[0]]
        for buffer, seeds in buffers:
            buffer.add(part_of(step, seeds), keep[seeds])


def assert_same(a: Batch, b: Batch) -> None:
    for name, x, y in zip(Batch._fields, a, b, strict=True):
        if x is None or y is None:
            assert x is y, name
        else:
            assert x.dtype == y.dtype, name
            assert torch.equal(x, y), name


@pytest.mark.parametrize(
    "sampling", SAMPLINGS, ids=lambda sampling: sampling["sampling"]
)
def test_a_seed_alone_samples_as_among_others(sampling):
    seeds = (3, 0, 8)
    together = buffer_of(seeds, 2, chunks=True, capacity=40, **sampling)
    alone = [
        buffer_of((seed,), 2, chunks=True, capacity=40, **sampling) for seed in seeds
    ]
    pairs = [
        (together, slice(None)),
        *((one, slice(p, p + 1)) for p, one in enumerate(alone)),
    ]
    for first in range(20, 120, 20):
        play(pairs, range(first, first + 20), (3, 2))
        batch = draw(together, 33, 0.97, 3, progress=first / 120)
        for p, one in enumerate(alone):
            assert_same(draw(one, 33, 0.97, 3, progress=first / 120), seed_of(batch, p))


def screens_played(
    buffers: list[tuple[Buffer, slice]],
    shape: tuple[int, int],
    steps: int,
    seed: int = 0,
) -> None:
    """Add the same steps of a world of frames to every (buffer, seeds it holds)."""
    rng = np.random.default_rng(seed)
    world = Screens(4, shape, rng)
    for t in range(steps):
        end = rng.choice(ENDS, shape, p=[0.7, 0.1, 0.1, 0.1])
        obs, next_obs = world.step(end != "")
        number = t * np.prod(shape) + np.arange(np.prod(shape)).reshape(shape)
        step = step_of(number, rng.random(shape), end)._replace(
            obs=obs, action=number, next_obs=next_obs
        )
        step, keep = (
            step._replace(source=rng.integers(5, size=shape)),
            rng.random(shape) < 0.9,
        )
        for buffer, seeds in buffers:
            buffer.add(part_of(step, seeds), keep[seeds])


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(
    "sampling", SAMPLINGS, ids=lambda sampling: sampling["sampling"]
)
def test_batches_drawn_at_once_are_those_drawn_one_by_one(sampling, n_step, pixels):
    seeds, spec = (3, 1, 7), screen_spec(4) if pixels else SPEC
    single, whole = (
        buffer_of(seeds, 2, spec, 0.9, chunks=True, capacity=40, **sampling)
        for _ in range(2)
    )
    both = [(single, slice(None)), (whole, slice(None))]
    screens_played(both, (3, 2), 50) if pixels else play(both, range(50), (3, 2))
    for n in (1, 4, 2):
        one_by_one = [draw(single, 11, 0.9, n_step, 0.3) for _ in range(n)]
        at_once = copied(whole.sample(11, 0.9, n_step, 0.3, batches=n))
        assert len(at_once) == n
        for a, b in zip(one_by_one, at_once, strict=True):
            assert_same(a, b)
    np.testing.assert_array_equal(single.read_shares(), whole.read_shares())


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_device_that_gathers_by_itself_gathers_the_same(n_step, pixels):
    spec = screen_spec(4) if pixels else SPEC
    here = buffer_of((3, 1), 2, spec, 0.9, chunks=True, capacity=40)
    # goes the way of a GPU
    there = Buffer(capacity=40).setup(
        spec, (3, 1), 2, "cpu:0", ("mc_return", *WINDOWS), 0.9
    )
    both = [(here, slice(None)), (there, slice(None))]
    screens_played(both, (2, 2), 50) if pixels else play(both, range(50), (2, 2))
    for a, b in zip(
        copied(here.sample(9, 0.9, n_step, batches=2)),
        there.sample(9, 0.9, n_step, batches=2),
        strict=True,
    ):
        assert_same(a, b)


def test_a_seed_alone_sees_the_frames_that_it_sees_among_others():
    seeds = (3, 0, 8)
    together = buffer_of(seeds, 2, screen_spec(4), 0.9, capacity=40)
    alone = [buffer_of((seed,), 2, screen_spec(4), 0.9, capacity=40) for seed in seeds]
    pairs = [
        (together, slice(None)),
        *((one, slice(p, p + 1)) for p, one in enumerate(alone)),
    ]
    screens_played(pairs, (3, 2), 90)
    for n_step in (1, 3):
        batch = draw(together, 33, 0.97, n_step)
        for p, one in enumerate(alone):
            assert_same(draw(one, 33, 0.97, n_step), seed_of(batch, p))


@pytest.mark.parametrize("steps", [3, 40, 250])
def test_a_buffer_of_frames_resumes_exactly(steps, tmp_path):
    buffer, other = (
        buffer_of((5, 6), 1, screen_spec(4), 0.9, capacity=90, sampling="symmetric")
        for _ in range(2)
    )
    screens_played([(buffer, slice(None))], (2, 1), steps)
    other.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "step", {"buffer": buffer.state()})
        )["buffer"]
    )
    for more in range(9):
        for n_step in (1, 3):
            assert_same(
                draw(buffer, 50, 0.9, n_step, 0.3), draw(other, 50, 0.9, n_step, 0.3)
            )
        for a, b in zip(buffer.episode_returns(), other.episode_returns(), strict=True):
            np.testing.assert_array_equal(a, b)
        screens_played(
            [(buffer, slice(None)), (other, slice(None))], (2, 1), 4, seed=more + 1
        )
        np.testing.assert_array_equal(buffer.size, other.size)


@pytest.mark.parametrize(
    "sampling", SAMPLINGS, ids=lambda sampling: sampling["sampling"]
)
# part of the ring, exactly full, just gone round, several times
@pytest.mark.parametrize("steps", [8, 19, 20, 90])
def test_a_buffer_resumes_exactly(sampling, steps, tmp_path):
    seeds = (5, 6)
    buffer, other = (buffer_of(seeds, 2, capacity=37, **sampling) for _ in range(2))
    play([(buffer, slice(None))], range(steps), (2, 2))
    draw(buffer, 9, 0.9)
    other.load(
        checkpoint.read(
            checkpoint.write(tmp_path / "step", {"buffer": buffer.state()})
        )["buffer"]
    )
    np.testing.assert_array_equal(buffer.read_shares(), other.read_shares())
    both = [(buffer, slice(None)), (other, slice(None))]
    for first in range(steps, steps + 120, 30):
        for n_step in (1, 4):
            assert_same(
                draw(buffer, 50, 0.9, n_step, 0.3), draw(other, 50, 0.9, n_step, 0.3)
            )
        play(both, range(first, first + 30), (2, 2))
        np.testing.assert_array_equal(buffer.size, other.size)
        np.testing.assert_array_equal(buffer.count, other.count)
        for mine, theirs in zip(
            buffer.episodes.columns, other.episodes.columns, strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


# memory and settings


def allocated(part: Any, seen: dict[int, int]) -> int:
    """Bytes of all arrays and tensors that an object holds, each memory once: `seen` is
    address -> bytes."""
    if isinstance(part, torch.Tensor):
        seen[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
    elif isinstance(part, np.ndarray):
        while isinstance(part.base, np.ndarray):
            part = part.base
        seen[part.ctypes.data] = part.nbytes
    else:
        for inner in (
            part.values()
            if isinstance(part, dict)
            else part
            if isinstance(part, tuple)
            else vars(part).values()
            if hasattr(part, "__dict__")
            else ()
        ):
            allocated(inner, seen)
    return sum(seen.values())


# Bytes of a transition beside its observations and action:
#   4 each of reward (twice), discount, planning rate, episode, time, successor and way
#     back
#   1 each of terminated, truncated and source: 35 in all
#   4 in each of five queues if sampling is not uniform
#   4 of the return
# Frames: 9,000, four more for each twentieth transition and 25 for each row.
#   8 bytes beside the pixels of each, and 40 more for each transition
@pytest.mark.parametrize(
    ("spec", "settings", "returns", "each", "frames"),
    [
        (Spec((3,), "float32", np.zeros(3), np.ones(3), 4), {}, None, 35 + 24 + 4, 0),
        (
            Spec((4, 5), "uint8", np.zeros(1), np.ones(1), 2),
            {"sampling": "symmetric"},
            0.9,
            35 + 160 + 4 + 20 + 4,
            0,
        ),
        (
            Spec((2,), "float64", np.zeros(2), np.ones(2), 0, 3),
            {"sampling": "annealed"},
            None,
            35 + 16 + 12 + 20,
            0,
        ),
        (
            Spec((4, 6, 5), "uint8", np.zeros(1), np.ones(1), 7, frames=4),
            {},
            0.9,
            35 + 4 + 4 + 40,
            9_820 * 38,
        ),
    ],
)
def test_the_memory_estimate_is_what_is_allocated(
    spec, settings, returns, each, frames
):
    expected = 2 * (9_000 * each + frames)
    sampling = settings.get("sampling", "uniform")
    needs = () if returns is None else ("mc_return",)
    assert estimate_bytes(spec, 2, 9_000, 4, sampling, needs) == expected
    buffer = buffer_of((0, 1), 4, spec, returns, capacity=9_000, **settings)
    assert buffer.memory_bytes == expected
    assert allocated(buffer, {}) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("seeds", [1, 5])
def test_frames_of_atari_take_a_tenth_more_than_their_pixels_at_most(seeds):
    spec = Spec((4, 84, 84), "uint8", np.zeros(1), np.ones(1), 18, frames=4)
    pixels = seeds * 100_000 * 84 * 84
    found = estimate_bytes(spec, seeds, 100_000, 8)
    assert pixels < found <= 1.1 * pixels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": 0}, r"capacity must be at least 1, got 0"),
        (
            {"sampling": "newest"},
            r"no sampling 'newest'; there are: uniform, fixed, symmetric, annealed",
        ),
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
        (
            "fixed",
            ("planer=1", "learner=1"),
            r"shares names planer; sources are: expert, planner, learner, .*",
        ),
        (
            "fixed",
            ("planner=-1", "learner=2"),
            r"shares must be weights of at least 0.*, got planner=-1 learner=2",
        ),
        (
            "fixed",
            ("planner=0",),
            r"shares must be weights of at least 0.*, got planner=0",
        ),
        (
            "fixed",
            ("planner=1", "learner=nan"),
            r"shares must be weights of at least 0.*, got planner=1 learner=nan",
        ),
        (
            "fixed",
            ("planner=inf",),
            r"shares must be weights of at least 0.*, got planner=inf",
        ),
        *(
            (
                "fixed",
                ("learner=1", wrong),
                rf"shares look like planner=0.5 learner=0.5, got learner=1 {wrong}",
            )
            for wrong in ("planner", "planner=", "planner=half", "planner:0.5")
        ),
    ],
)
def test_shares_that_make_no_sense_are_refused_in_one_sentence(
    sampling, shares, message
):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Config(sampling=sampling, shares=shares)


def test_shares_are_weights_by_source():
    assert Config(
        sampling="fixed", shares=("planner=0.5", "learner=2")
    ).source_shares() == {
        "planner": 0.5,
        "learner": 2,
    }
    assert Config().source_shares() == {}


def test_a_ring_shorter_than_two_steps_is_refused():
    assert buffer_of(rows=4, capacity=8).size.tolist() == [0]
    with pytest.raises(
        ValueError,
        match=r"^capacity must be at least two steps of all rows \(8\), got 7$",
    ):
        buffer_of(rows=4, capacity=7)
