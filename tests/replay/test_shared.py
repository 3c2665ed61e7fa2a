"""Data that all seeds share: every window is that of its episode, one copy serves all
seeds, and mixes with what they collect as the laws of sampling say."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
import torch

from curriculum.replay.buffer import SOURCE, Buffer, estimate_bytes
from curriculum.replay.layout import WINDOWS, Transition
from curriculum.run import checkpoint
from curriculum.types import Batch, SharedData, Spec

SPEC = Spec((1,), "float32", np.full(1, -np.inf), np.full(1, np.inf), actions=3)
IMAGES = Spec(
    (2, 2, 4), "uint8", np.zeros((2, 2, 4)), np.full((2, 2, 4), 255), 3, frames=2
)
# length, terminated, truncated
ENDS = [(3, True, False), (1, False, True), (4, False, False), (2, True, True)]
SAMPLINGS: list[dict[str, Any]] = [
    {"sampling": "uniform"},
    {"sampling": "fixed", "shares": {"dataset": 0.3, "planner": 0.7}},
    {"sampling": "symmetric"},
    {"sampling": "annealed"},
]


def data_of(
    ends: Sequence[tuple[int, bool, bool]] = ENDS, spec: Spec = SPEC, **changes: Any
) -> SharedData:
    """Transition i has observation i and reward 2**i; the observation after the end of
    an episode is half more than its last. Images of row r are filled with r."""
    lengths, terminated, truncated = zip(*ends, strict=True)
    total = sum(lengths)
    if spec.frames:
        rows = np.arange(total + spec.frames * len(ends), dtype=np.uint8)
        obs = np.broadcast_to(rows[:, None, None], (len(rows), 2, 4)).copy()
    else:
        parts: list[list[float]] = []
        for last in np.cumsum(lengths):
            first = last - lengths[len(parts)]
            parts.append([*range(first, last), last - 0.5])
        obs = np.concatenate(parts, dtype=np.float64)[:, None]
    values: dict[str, Any] = {
        "name": "data",
        "spec": spec,
        "obs": obs,
        "action": np.arange(total) % 3,
        "reward": 2.0 ** np.arange(total),
        "length": np.array(lengths),
        "terminated": np.array(terminated),
        "truncated": np.array(truncated),
        "first_episode": 0,
        "checksums": {"obs": "a", "action": "b"},
    }
    return SharedData(**(values | changes))


def buffer_of(
    data: SharedData | None,
    seeds: tuple[int, ...] = (0,),
    needs: tuple[str, ...] = ("mc_return",),
    device: str = "cpu",
    spec: Spec = SPEC,
    **fields: Any,
) -> Buffer:
    buffer = Buffer(**({"capacity": 40} | fields))
    return buffer.setup(spec, seeds, 2, device, needs, 0.5, data)


def draw(buffer: Buffer, *settings: Any, **named: Any) -> Batch:
    (batch,) = buffer.sample(*settings, **named)
    return each(batch, lambda x: x.clone())


def each(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    return Batch(*(None if x is None else change(x) for x in batch))  # type: ignore[arg-type]


def collect(buffer: Buffer, seed: int, source: str = "learner", steps: int = 1) -> None:
    """Store steps of two rows for one seed, with observations from 100 on."""
    seeds = len(buffer.size)
    keep = np.zeros((seeds, 2), bool)
    keep[seed] = True
    for t in range(steps):
        number = 100.0 + 2 * t + np.arange(2)
        obs = np.broadcast_to(number[:, None], (seeds, 2, 1))
        if buffer.spec.frames:
            images = np.arange(200 + t, 203 + t, dtype=np.uint8)[:, None, None]
            stack = np.broadcast_to(images, (seeds, 2, 3, 2, 4))
            obs, after = stack[:, :, :-1], stack[:, :, 1:]
        else:
            after = obs + 2
        none = np.zeros((seeds, 2), bool)
        which = np.full((seeds, 2), SOURCE[source])
        step = Transition(obs, which % 3, which, none, none, after, which, none)
        buffer.add(step, keep)


def windows(batch: Batch) -> dict[int, tuple[float, ...]]:
    """Number of a transition -> reward, discount, next observation and return."""
    assert batch.mc_return is not None
    columns = (batch.reward, batch.discount, batch.next_obs[..., 0], batch.mc_return)
    values = torch.stack(columns, -1)[0].tolist()
    keys = batch.obs[0, :, 0].int().tolist()
    return {key: tuple(value) for key, value in zip(keys, values, strict=True)}


# discount 1/2; the third episode is still running where its recording ends
@pytest.mark.parametrize(
    ("n_step", "expected"),
    [
        (
            1,
            {
                0: (1, 0.5, 1, 1 + 1 + 1),
                1: (2, 0.5, 2, 2 + 2),
                2: (4, 0, 2.5, 4),
                3: (8, 0.5, 3.5, 8),
                4: (16, 0.5, 5, -np.inf),
                5: (32, 0.5, 6, -np.inf),
                6: (64, 0.5, 7, -np.inf),
                7: (128, 0.5, 7.5, -np.inf),
                8: (256, 0.5, 9, 512),
                9: (512, 0, 9.5, 512),
            },
        ),
        (
            3,
            {
                0: (3, 0, 2.5, 3),
                1: (4, 0, 2.5, 4),
                2: (4, 0, 2.5, 4),
                3: (8, 0.5, 3.5, 8),
                4: (48, 0.125, 7, -np.inf),
                5: (96, 0.125, 7.5, -np.inf),
                6: (128, 0.25, 7.5, -np.inf),
                7: (128, 0.5, 7.5, -np.inf),
                8: (512, 0, 9.5, 512),
                9: (512, 0, 9.5, 512),
            },
        ),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the latter goes the way of a GPU
def test_windows_of_data_end_where_their_episode_does(
    n_step: int, expected: dict, device: str
):
    batch = draw(buffer_of(data_of(), device=device), 300, 0.5, n_step)
    assert windows(batch) == expected
    assert torch.equal(batch.action, batch.obs[..., 0].long() % 3)


def test_windows_of_data_hold_the_actions_of_one_episode():
    batch = draw(buffer_of(data_of(), needs=WINDOWS), 300, 0.5, 3)
    assert batch.action_window is not None
    assert batch.window_taken is not None
    length = batch.window_taken[0].sum(-1).int().tolist()
    number = batch.obs[0, :, 0].int().tolist()
    steps = {0: 3, 1: 2, 2: 1, 3: 1, 4: 3, 5: 3, 6: 2, 7: 1, 8: 2, 9: 1}
    assert dict(zip(number, length, strict=True)) == steps
    for n, window in zip(number, batch.action_window[0].tolist(), strict=True):
        taken = [(n + k) % 3 for k in range(steps[n])]
        assert window == taken + [0] * (3 - len(taken))


def test_every_reward_is_shifted_also_within_windows_and_returns():
    # rewards 1, 2 and 4 count as 2, 3 and 5
    buffer = buffer_of(data_of([(3, True, False)]), reward_shift=1.0)
    assert windows(draw(buffer, 100, 0.5, 2)) == {
        0: (3.5, 0.25, 2, 4.75),
        1: (5.5, 0, 2.5, 5.5),
        2: (5, 0, 2.5, 5),
    }
    shifted = buffer_of(None, reward_shift=1.0)
    plain = buffer_of(None)
    for each_buffer in (shifted, plain):
        collect(each_buffer, seed=0, steps=5)
    difference = draw(shifted, 50, 0.5).reward - draw(plain, 50, 0.5).reward
    assert (difference == 1).all()


def test_another_discount_holds_for_data_as_well():
    buffer = buffer_of(data_of())
    draw(buffer, 8, 0.5)
    batch = draw(buffer, 300, 0.25)
    assert {window[1] for window in windows(batch).values()} == {0, 0.25}


def test_data_and_what_was_collected_are_drawn_equally_often():
    buffer = buffer_of(data_of(), needs=())
    collect(buffer, 0, steps=5)
    numbers = draw(buffer, 20_000, 0.5).obs[0, :, 0].int().tolist()
    held = [*range(10), *range(100, 110)]
    counts = [numbers.count(number) for number in held]
    assert sum(counts) == 20_000
    # six deviations of a count around 1,000
    assert max(abs(count - 1_000) for count in counts) < 190
    assert buffer.size.tolist() == [20]
    shares = buffer.read_shares()[0]
    assert shares[SOURCE["dataset"]] == pytest.approx(sum(counts[:10]) / 20_000)
    assert shares.sum() == 1


@pytest.mark.parametrize(
    ("settings", "progress", "expected"),
    [
        ({"sampling": "symmetric"}, 0.0, {"dataset": 0.5, "learner": 0.5}),
        ({"sampling": "annealed"}, 0.25, {"dataset": 0.75, "learner": 0.25}),
        ({"sampling": "annealed"}, 1.0, {"learner": 1.0}),
        (
            {"sampling": "fixed", "shares": {"dataset": 1.0, "learner": 3.0}},
            0.0,
            {"dataset": 0.25, "learner": 0.75},
        ),
        # nothing that is wanted is held: as much of each source as there is
        ({"sampling": "fixed", "shares": {"expert": 1.0}}, 0.0, {"dataset": 10 / 14}),
    ],
)
def test_data_have_the_share_that_the_law_of_sampling_states(
    settings: dict, progress: float, expected: dict
):
    buffer = buffer_of(data_of(), **settings)
    collect(buffer, 0, steps=2)
    draw(buffer, 20_000, 0.5, progress=progress)
    drawn = buffer.read_shares()[0]
    for source, share in expected.items():
        assert drawn[SOURCE[source]] == pytest.approx(share, abs=0.02)
    draws = draw(buffer, 2_000, 0.5, progress=progress).obs[0, :, 0].int().tolist()
    if "dataset" in expected:
        assert set(draws) >= set(range(10))


@pytest.mark.parametrize("settings", SAMPLINGS, ids=lambda each: each["sampling"])
@pytest.mark.parametrize("spec", [SPEC, IMAGES], ids=["numbers", "images"])
def test_a_seed_alone_draws_as_among_others(settings: dict, spec: Spec):
    seeds = (3, 0, 8)
    data = data_of(spec=spec)
    together = buffer_of(data, seeds, spec=spec, **settings)
    for p in range(2):  # the last seed holds nothing else
        collect(together, p, "planner", steps=p + 3)
    expected = [draw(together, 33, 0.5, n_step, 0.5) for n_step in (1, 3)]
    for p, seed in enumerate(seeds):
        alone = buffer_of(data, (seed,), spec=spec, **settings)
        if p < 2:
            collect(alone, 0, "planner", steps=p + 3)
        for n_step, batch in zip((1, 3), expected, strict=True):
            mine = draw(alone, 33, 0.5, n_step, 0.5)
            assert_same(mine, each(batch, itemgetter(slice(p, p + 1))))


def assert_same(a: Batch, b: Batch) -> None:
    for x, y in zip(a, b, strict=True):
        if x is None or y is None:
            assert x is y
        else:
            assert torch.equal(x, y)


# row of the first image of every transition: three steps, one, four and two, each
# episode with two images more than steps
ROWS = [0, 1, 2, 5, 8, 9, 10, 11, 14, 15]
LAST = {1: range(10), 3: [2, 2, 2, 3, 6, 7, 7, 7, 9, 9]}


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("steps", [0, 4])
def test_stacks_of_data_are_those_of_their_file(n_step: int, device: str, steps: int):
    data = data_of(spec=IMAGES)
    buffer = buffer_of(data, device=device, spec=IMAGES)
    collect(buffer, 0, steps=steps)
    batch = draw(buffer, 300, 0.5, n_step)
    obs = batch.obs[0, :, :, 0, 0].int()
    next_obs = batch.next_obs[0, :, :, 0, 0].int()
    found = set()
    for now, after in zip(obs.tolist(), next_obs.tolist(), strict=True):
        found.add((*now, *after))
    last = [ROWS[i] for i in LAST[n_step]]
    expected = set()
    for row, end in zip(ROWS, last, strict=True):
        expected.add((row, row + 1, end + 1, end + 2))
    for t in range(steps):
        end = min(t + n_step, steps)
        expected.add((200 + t, 201 + t, 200 + end, 201 + end))
    assert found == expected
    assert torch.equal(batch.obs, batch.obs[..., :1, :1].expand(batch.obs.shape))


def test_the_sources_of_what_was_drawn_are_known():
    buffer = buffer_of(data_of(), seeds=(0, 1), sampling="symmetric")
    collect(buffer, seed=0, steps=3)
    collect(buffer, seed=1, source="planner", steps=3)
    batch = draw(buffer, 64, 0.5)
    [found] = buffer.sampled_sources()
    collected = batch.obs[..., 0].numpy() >= 100
    own = np.array([[SOURCE["learner"]], [SOURCE["planner"]]])
    assert 0 < collected.mean() < 1
    np.testing.assert_array_equal(found, np.where(collected, own, SOURCE["dataset"]))


def test_the_newest_observations_are_those_that_were_collected():
    buffer = buffer_of(data_of(), (0, 1))
    collect(buffer, 1)
    first, second = buffer.recent_obs(4)
    assert first[:, 0].tolist() == [9, 8, 7, 6]
    assert second[:, 0].tolist() == [101, 100, 9, 8]


@pytest.mark.parametrize("spec", [SPEC, IMAGES], ids=["numbers", "images"])
def test_observations_that_differ_include_those_of_data(spec: Spec):
    buffer = buffer_of(data_of(spec=spec), spec=spec)
    (found,) = buffer.distinct_obs(99)
    values = found.reshape(len(found), -1)[:, 0]
    assert sorted(values.tolist()) == (ROWS if spec.frames else list(range(10)))
    assert len(buffer.distinct_obs(4)[0]) == 4


def test_returns_are_those_of_shared_episodes_that_are_over():
    buffer = buffer_of(data_of(), (0, 1))
    for returns in buffer.episode_returns():
        assert returns.tolist() == [1 + 2 + 4, 8, 256 + 512]


@pytest.mark.parametrize("spec", [SPEC, IMAGES], ids=["numbers", "images"])
def test_a_checkpoint_holds_the_rings_alone_and_resumes_exactly(spec: Spec, tmp_path):
    data = data_of(spec=spec)
    buffer = buffer_of(data, (0, 1), spec=spec, sampling="symmetric")
    other = buffer_of(data, (0, 1), spec=spec, sampling="symmetric")
    collect(buffer, 1, steps=6)
    draw(buffer, 8, 0.5, 3)
    state = {"buffer": buffer.state()}
    packed = state["buffer"]["storage"]["packed"]
    assert packed.shape[:2] == (2, 12)
    other.load(checkpoint.read(checkpoint.write(tmp_path / "step", state))["buffer"])
    for _ in range(2):
        assert_same(draw(other, 40, 0.5, 3), draw(buffer, 40, 0.5, 3))
        for each_one in (buffer, other):
            collect(each_one, 0, steps=3)
    np.testing.assert_array_equal(other.read_shares(), buffer.read_shares())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            data_of(checksums={"obs": "a", "action": "c"}),
            "data has other contents in action than when the run was started; .*",
        ),
        (data_of(first_episode=1), "data has other episodes than when .*"),
        (None, "the checkpoint and this configuration do not both have a data .*"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(changed: SharedData | None, message: str):
    state = buffer_of(data_of()).state()
    with pytest.raises(ValueError, match=f"^{message}$"):
        buffer_of(changed).load(state)


@pytest.mark.parametrize(
    ("spec", "each_shared"),
    [
        # four floats and a return; reward, end and successor once more
        (SPEC, 4 * 5 + 4 + 9),
        # action, reward, discount and return; where the images begin
        (IMAGES, 4 * 4 + 9 + 8),
    ],
    ids=["numbers", "images"],
)
def test_data_take_the_same_memory_for_one_seed_as_for_five(
    spec: Spec, each_shared: int
):
    data = data_of(ENDS * 5, spec=spec)
    for seeds in ((0,), (0, 1, 2, 3, 4)):
        empty = buffer_of(None, seeds, spec=spec)
        buffer = buffer_of(data, seeds, spec=spec)
        extra = buffer.memory_bytes - empty.memory_bytes
        assert extra == 50 * each_shared
        needs = ("mc_return",)
        estimate = estimate_bytes(spec, len(seeds), 40, 2, "uniform", needs, data)
        assert estimate == buffer.memory_bytes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"obs": np.full((14, 1), np.nan)},
            "data: obs is not finite in step 0 of episode 7; .*",
        ),
        (
            {"reward": np.where(np.arange(10) == 6, 1e39, 0)},
            "data: reward is not finite in step 2 of episode 9; .*",
        ),
        (
            {"action": np.where(np.arange(10) == 9, 3, 0)},
            r"data: the action is not in 0 \.\. 2 in step 1 of episode 10; .*",
        ),
        (
            {"spec": SPEC._replace(actions=4)},
            r"data holds observations \[1\] and 4 discrete actions, the world has "
            r"observations \[1\] and 3 discrete actions; give the world .*",
        ),
        (
            {"spec": SPEC._replace(actions=0, action_size=2)},
            r"data holds observations \[1\] and box actions of 2 numbers, .*",
        ),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        buffer_of(data_of(**({"first_episode": 7} | changes)))


def test_box_actions_of_data_lie_in_their_bounds():
    spec = SPEC._replace(actions=0, action_size=2)
    action = np.full((10, 2), -1.0)
    buffer = buffer_of(data_of(spec=spec, action=action), spec=spec)
    assert draw(buffer, 4, 0.5).action.unique().tolist() == [-1]
    action[4, 1] = 1.1
    with pytest.raises(ValueError, match=r"not in \[-1, 1\] in step 0 of episode 2; "):
        buffer_of(data_of(spec=spec, action=action), spec=spec)


@pytest.mark.parametrize("spec", [SPEC, IMAGES], ids=["numbers", "images"])
def test_first_observations_are_those_of_shared_episodes(spec: Spec):
    buffer = buffer_of(data_of(spec=spec), seeds=(0, 1), needs=(), spec=spec)
    # images of an episode begin with `frames` rows of its own
    expected = [0, 5, 8, 14] if spec.frames else [0, 3, 4, 8]
    for found in buffer.first_obs(10):
        assert found.reshape(4, -1)[:, 0].tolist() == expected
    spread = buffer.first_obs(2)[0]
    assert spread.reshape(2, -1)[:, 0].tolist() == [expected[0], expected[-1]]


def test_first_observations_of_a_seed_are_those_that_it_still_holds():
    buffer = buffer_of(None, seeds=(0, 1), capacity=6)
    collect(buffer, seed=0, steps=2)
    first, other = buffer.first_obs(10)
    assert first[:, 0].tolist() == [100, 101]
    assert len(other) == 0
    collect(buffer, seed=0, steps=2)  # evicts the first step of both rows
    assert len(buffer.first_obs(10)[0]) == 0


def test_drawing_apart_leaves_the_draws_of_training_as_they_are():
    buffers = [buffer_of(data_of(), sampling="symmetric") for _ in range(2)]
    for buffer in buffers:
        collect(buffer, seed=0, steps=2)
    apart = buffers[0].drawn_apart("elsewhere")
    batches = apart.sample(64, 0.5, batches=8)
    seen = torch.cat([batch.obs for batch in batches], 1).flatten().tolist()
    # uniformly from the data set and from what was collected
    assert set(seen) == {*range(10), *range(100, 104)}
    assert np.mean(np.array(seen) < 100) == pytest.approx(10 / 14, abs=0.08)
    first, second = (draw(buffer, 32, 0.5) for buffer in buffers)
    assert torch.equal(first.obs, second.obs)
    assert buffers[0].read_shares().tolist() == buffers[1].read_shares().tolist()
