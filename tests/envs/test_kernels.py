"""What kernels compute is what numpy computes, bit for bit."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from curriculum import compiled
from curriculum.envs import botevade
from curriculum.envs._base.native import NativeRows
from curriculum.envs._cellworld.columns import COLUMN, LAST_SEEN, NO_CELL
from curriculum.envs._cellworld.lattice import OCCLUDER_APOTHEM
from curriculum.envs.botevade import BotEvade
from curriculum.envs.pointmass import Pointmass
from curriculum.types import stream

pytest.importorskip("numba", minversion="0.60")
ROWS = 64
FIELDS = ("dynamics", "world", "predator", "actions", "end_on_puff")
SOME = [  # every value of every setting, in both dynamics
    ("corrected", "21_05", "slow", "all", False),
    ("corrected", "20_05", "fast", "points", True),
    ("corrected", "00_00", "equal", "continuous", False),
    ("corrected", "random:3", "fast", "all", True),
    ("original", "21_05", "equal", "points", False),
    ("original", "20_05", "slow", "continuous", True),
    ("original", "00_00", "fast", "all", False),
]
ALL = list(
    product(
        ("corrected", "original"),
        ("21_05", "20_05", "00_00", "random:3"),
        ("slow", "fast", "equal"),
        ("all", "points", "continuous"),
        (False, True),
    )
)


@pytest.fixture
def advanced(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether kernels took each environment step that was left to them."""
    done = []
    advance = botevade.advance

    def recorded(*arguments: Any) -> bool:
        done.append(advance(*arguments))
        return done[-1]

    monkeypatch.setattr(botevade, "advance", recorded)
    return done


def placed(world: BotEvade, state: np.ndarray, rng: np.random.Generator) -> None:
    """Put some rows where comparisons are close: agents in the centres of cells, on the
    sides of occluders, at the walls and on one another, with round headings."""
    rows = len(state)
    centres = world.layout.xy[rng.choice(world.layout.open, rows)]
    blocks = world.layout.occluder_centres
    if len(blocks):
        beside = blocks[rng.integers(len(blocks), size=rows)] + [OCCLUDER_APOTHEM, 0]
        inside = np.abs(beside - 0.5).max(-1) < 0.4
        centres = np.where(
            (rng.random(rows) < 0.3)[:, None] & inside[:, None], beside, centres
        )
    for agent in ("predator", "prey"):
        moved = rng.random(rows) < 0.3
        for axis, name in enumerate(("x", "y")):
            state[moved, COLUMN[f"{agent}_{name}"]] = centres[moved, axis]
        turned = rng.random(rows) < 0.2
        headings = rng.choice([0, -0.0, 60, 90, 180, -120, 1e4], turned.sum())
        state[turned, COLUMN[f"{agent}_heading"]] = headings
    cooling = rng.random(rows) < 0.1
    state[cooling, COLUMN["cooldown"]] = 0.3


def differences(setting: tuple[Any, ...], steps: int, patch: pytest.MonkeyPatch) -> int:
    """Rows in which kernels and numpy differ after one environment step, of `steps`
    steps of `ROWS` rows that start and end anew."""
    world = BotEvade(**dict(zip(FIELDS, setting, strict=True)))
    rng = np.random.default_rng(0)
    state = world.begin(rng, ROWS)
    count = 0
    for step in range(steps):
        if step % 4 == 3:
            placed(world, state, rng)
        action: np.ndarray = rng.random((ROWS, 2)).astype(np.float32)
        if world.actions != "continuous":
            action = rng.integers(len(world.places), size=ROWS)
        by_kernels = world.step(state, action, stream(step, "world"))
        patch.setenv(compiled.SWITCH, "off")
        by_numpy = world.step(state, action, stream(step, "world"))
        patch.delenv(compiled.SWITCH)
        count += int((~same_bits(by_kernels, by_numpy)).sum())
        state, _, over = by_kernels
        state = state.copy()
        state[over] = world.begin(rng, int(over.sum()))
    return count


def same_bits(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> Any:
    """Whether all arrays are equal to the last bit, row by row."""
    same = np.ones(len(first[0]), bool)
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype
        for row in range(len(one)):
            same[row] &= one[row].tobytes() == other[row].tobytes()
    return same


@pytest.mark.parametrize("setting", SOME, ids=str)
def test_a_step_of_botevade_is_that_of_numpy_to_the_last_bit(
    setting, advanced, monkeypatch
):
    assert differences(setting, 8, monkeypatch) == 0
    assert advanced == [True] * 8


@pytest.mark.slow
def test_fifty_thousand_steps_are_those_of_numpy(advanced, monkeypatch):
    steps = 6
    assert len(ALL) * steps * ROWS > 50_000
    assert sum(differences(each, steps, monkeypatch) for each in ALL) == 0
    assert advanced == [True] * (len(ALL) * steps)


def test_few_and_many_rows_step_alike(monkeypatch):
    world = BotEvade(predator="fast")
    rng = np.random.default_rng(3)
    state = world.begin(rng, 7)
    action = rng.integers(len(world.places), size=7)

    class Fixed:
        def random(self, size: tuple[int, ...]) -> np.ndarray:
            return np.full(size, 0.3)

    together = world.step(state, action, Fixed())
    for row in range(7):
        alone = world.step(state[[row]], action[[row]], Fixed())
        for ours, theirs in zip(alone, together, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[row])
    none = world.step(state[:0], action[:0], Fixed())
    assert none[0].shape == (0, state.shape[1])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prey_x", 7.0),
        ("predator_y", np.nan),
        ("predator_heading", np.inf),
        ("predator_pending", 700),
        ("predator_pending", -5),
    ],
)
def test_numpy_answers_for_impossible_states(column, value, advanced, monkeypatch):
    world = BotEvade(world="00_00")
    state = world.begin(np.random.default_rng(0), 3)
    state[1, COLUMN["predator_destination"]] = 5
    state[1, COLUMN["prey_destination"]] = 5
    state[1, COLUMN[column]] = value

    def outcome() -> Any:
        try:
            return world.step(state, np.zeros(3, int), stream(0, "world"))[0].tobytes()
        except (IndexError, RuntimeWarning) as error:
            return str(error)

    by_kernels = outcome()
    assert advanced == [False]
    monkeypatch.setenv(compiled.SWITCH, "off")
    assert outcome() == by_kernels


def test_numpy_answers_for_impossible_states_of_ended_episodes(advanced):
    world = BotEvade(world="00_00")
    state = world.begin(np.random.default_rng(0), 2)
    state[1, COLUMN["finished"]] = 1
    state[1, COLUMN["cooldown"]] = 0.3  # such rows look again
    state[1, COLUMN["prey_y"]] = 1e6
    with pytest.raises(IndexError):
        world.step(state, np.zeros(2, int), np.random.default_rng(0))
    assert advanced == [False]


def test_rows_go_on_without_the_kernels_that_they_began_with(monkeypatch):
    first, second = (
        NativeRows(BotEvade(max_steps=9), [stream(0, "environment")], 16)
        for _ in range(2)
    )
    first.reset()
    actions = np.random.default_rng(1).integers(295, size=(24, 16))
    for action in actions[:12]:
        first.step(action)
    saved = first.save()
    expected = [first.step(action) for action in actions[12:]]
    monkeypatch.setenv(compiled.SWITCH, "off")
    second.reset()
    second.load(saved)
    for step, action in zip(expected, actions[12:], strict=True):
        for ours, theirs in zip(second.step(action), step, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_destination_may_be_where_the_prey_was_seen(advanced):
    """A predator whose next destination is where it last saw the prey goes there."""
    world = BotEvade(world="00_00")
    state = world.begin(np.random.default_rng(0), 1)
    assert state[0, COLUMN["predator_pending"]] == LAST_SEEN
    after, _, _ = world.step(state, np.zeros(1, int), np.random.default_rng(0))
    destination = int(after[0, COLUMN["predator_destination"]])
    assert destination != NO_CELL
    assert (
        destination
        == world.layout.nearest(state[:, [COLUMN["prey_x"], COLUMN["prey_y"]]])[0]
    )
    assert advanced == [True]


@pytest.mark.parametrize("maze", ["easy", "hard", "galton"])
@pytest.mark.parametrize(
    ("noise", "merge_ends"), [(0.0, False), (0.5, False), (3.0, True)]
)
def test_a_step_of_pointmass_is_that_of_numpy_to_the_last_bit(
    maze, noise, merge_ends, monkeypatch
):
    world = Pointmass(maze=maze, noise=noise, merge_ends=merge_ends)
    height, width = world.cells
    rng = np.random.default_rng(0)
    state = world.begin(rng, ROWS)
    moved = np.zeros(ROWS, bool)
    for step in range(12):
        if step % 3 == 2:  # on the edges of cells, in the corners of the maze
            rounded = rng.random(ROWS) < 0.3
            state[rounded, :2] = np.rint(state[rounded, :2])
            state[:4, :2] = [(0, 0), (-0.0, 1.5), (height, width), (0.5, width)]
        action = rng.integers(5, size=ROWS)
        by_kernels = world.step(state, action, stream(step, "world"))
        monkeypatch.setenv(compiled.SWITCH, "off")
        by_numpy = world.step(state, action, stream(step, "world"))
        monkeypatch.delenv(compiled.SWITCH)
        assert same_bits(by_kernels, by_numpy).all()
        moved |= (by_kernels[0] != state).any(-1)
        state = by_kernels[0].copy()
    assert moved.all()
