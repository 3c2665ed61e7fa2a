"""Maps in the course of training: what they hold, their files, and resuming them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curriculum.envs._base.spec import spec_of
from curriculum.envs._cellworld.lattice import ARENA_APOTHEM, OCCLUDER_APOTHEM
from curriculum.envs.botevade import BotEvade
from curriculum.envs.gridworld import WALLS, Gridworld
from curriculum.envs.pointmass import Pointmass
from curriculum.learners.dqn import DQN
from curriculum.replay.layout import Transition
from curriculum.report import atlas
from curriculum.run.loop import begin, train
from curriculum.run.playing import map_film
from curriculum.run.run import Run
from curriculum.run.survey import Survey, evenness
from curriculum.run.tracks import STEPS, Tracks
from curriculum.setting import plugins
from curriculum.setting.config import Config, flat
from curriculum.starts.random import Random
from curriculum.types import Bonus, Planner, Policy

torch.set_num_threads(1)


def tiny(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "env": Pointmass(maze="easy"),
        "learner": DQN(hidden=(8,), batch_size=16),
        "planner": "random",
        "start": Random(size=64),
        "steps": 96,
        "map_every": 32,
        "eval_every": 96,
        "eval_episodes": 1,
        "eval_mixed": False,
        "log_every": 96,
        "seeds": (0, 1),
    }
    return Config(**(defaults | changes))


def step(obs: Any, next_obs: Any, source: int) -> Transition:
    """A step of one row of one seed."""
    nothing = np.zeros((1, 1))
    return Transition(
        obs=np.array([[obs]], np.float32),
        action=nothing,
        reward=nothing,
        terminated=nothing,
        truncated=nothing,
        next_obs=np.array([[next_obs]], np.float32),
        source=np.full((1, 1), source),
        planning_rate=nothing,
        label=nothing,
        has_label=nothing,
    )


# --- tracks ---


def test_tracks_count_cells_and_keep_the_newest_steps():
    tracks = Tracks(Pointmass(maze="medium"), seeds=1)  # 6 x 6 cells
    tracks.add(step([0.25, 0.75], [0.5, 0.75], source=2))
    tracks.add(step([0.25, 0.75], [1.0, 1.0], source=1))
    tracks.add(step([1.0, 1.0], [1.0, 0.5], source=2))  # on the far edges
    assert tracks.visits[0, 1, 4] == 2
    assert tracks.visits[0, 5, 5] == 1
    assert tracks.visits.sum() == 3
    newest = tracks.newest()[0]
    np.testing.assert_array_equal(newest[-3], [1.5, 4.5, 3, 4.5, 2])
    np.testing.assert_array_equal(newest[-1], [6, 6, 6, 3, 2])
    assert np.isnan(newest[: STEPS - 3, :4]).all()
    for _ in range(STEPS):
        tracks.add(step([0.0, 0.0], [0.0, 0.0], source=2))
    assert (tracks.newest()[0, :, :4] == 0).all()


def test_evenness_is_one_for_equal_shares_and_zero_for_one_place():
    shares = np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert evenness(shares) == pytest.approx([1, 0, 0.5])


# --- maps ---


def test_maps_hold_shares_of_steps_and_the_mean_value_of_every_cell():
    run = Run(tiny(env=Gridworld(), steps=32))
    list(begin(run))
    run.take_step()
    values = run.draw_maps()[0].values
    density = values["map/density"]
    assert np.nansum(density, (1, 2)) == pytest.approx([1, 1])
    assert np.isnan(density[:, WALLS]).all()
    # 64 random steps and one more of 8 rows
    visited = np.round(density[1] * 72)
    assert np.nansum(visited) == 72
    cell = np.argwhere(~WALLS)[17]
    world: Any = run.world
    every = world.observe(world.states())
    obs = every[(every[:, :2] == cell).all(-1)]
    assert len(obs) == 4  # headings
    worth = run.learner.value(np.stack([obs] * 2)).mean(1)
    np.testing.assert_allclose(
        values["map/exploitation_value"][:, cell[0], cell[1]], worth, rtol=1e-5
    )
    free = ~WALLS
    assert values["map/coverage"][0] == (density[0, free] > 0).sum() / free.sum()


class Novel(Bonus):
    """Finds the second feature of an observation new."""

    def setup(self, spec, seeds, device="cpu"):
        return self

    def reward(self, batch, step):
        return torch.zeros_like(batch.reward), {}

    def maps(self, obs):
        return {"bonus": obs[..., 1]}


class Curious(Planner):
    """Values the first feature of an observation."""

    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return np.zeros(len(obs), np.int64)

    def maps(self, obs):
        return {"exploration_value": 2 * obs[..., 0]}


def test_bonus_and_planner_add_maps_of_their_own():
    run = Run(tiny(bonus=Novel(), planner=Curious()))
    list(begin(run))
    values = run.draw_maps()[0].values
    # the cell (0, 3) of 10 x 10: five places from 0.31 to 0.39, and 0.01 to 0.09
    assert values["map/bonus"][0, 0, 3] == pytest.approx(0.35)
    assert values["map/exploration_value"][1, 0, 3] == pytest.approx(0.1)


class Seen:
    """A buffer of which the first seed holds two observations."""

    size = np.array([2, 0])
    spec = spec_of(BotEvade())

    def recent_obs(self, n: int) -> list[np.ndarray]:
        return [np.array([at(0.5, 0.55), at(0.5, 0.56)]), np.zeros((0, 11))]


def at(x: float, y: float) -> np.ndarray:
    """An observation of BotEvade with the prey here."""
    return np.array([x, y, *[0] * 9], np.float32)


class North(Policy):
    """A learner that values how far north the prey is."""

    def value(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., 1]

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        raise NotImplementedError


def test_maps_of_botevade_average_over_the_newest_observations():
    world = BotEvade(world="00_00")
    buffer: Any = Seen()
    survey = Survey(world, North(), None, None, buffer, None)
    values = survey.draw()["map/exploitation_value"]
    # 24 cells from north to south: (1 - 0.55) * 24 = 10.8, (1 - 0.56) * 24 = 10.56
    assert values[0, 10, 12] == pytest.approx(0.555)
    assert np.isfinite(values).sum() == 1


def test_walls_of_botevade_are_occluders_and_the_outside():
    world = BotEvade()
    obs = np.stack([at(0.05, 0.5), at(0.02, 0.02)])
    start, corner = world.position(obs).astype(int)
    assert not world.walls[tuple(start)]
    assert world.walls[tuple(corner)]
    # the arena and every occluder are hexagons of a known apothem
    hexagon = 2 * 3**0.5
    occluders = len(world.layout.occluder_centres) * hexagon * OCCLUDER_APOTHEM**2
    open_area = hexagon * ARENA_APOTHEM**2 - occluders
    assert 1 - world.walls.mean() == pytest.approx(open_area, abs=0.03)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("cartpole", "the world CartPole has no positions to draw"),
        (Gridworld(observation="image"), "do not tell where it is"),
    ],
)
def test_maps_are_refused_where_there_are_no_positions(env, message):
    with pytest.raises(ValueError, match=message):
        Run(tiny(env=env))


# --- files ---


def write_maps(folder: Path, config: Config, resume: Path | None = None) -> None:
    records = train(config, folder, resume)
    listener = plugins.make("listener", "maps").open(folder, flat(config), [])
    for record in records:
        listener(record)
    listener.close()


def test_a_resumed_run_writes_the_same_maps(tmp_path: Path):
    config = tiny(checkpoint_every=48)
    write_maps(tmp_path, config)
    files = sorted((tmp_path / "maps").iterdir())
    steps = sorted({path.stem for path in files})
    assert steps == ["step-000000032", "step-000000064", "step-000000096"]
    assert {path.suffix for path in files} == {".npz", ".png"}
    contents = [path.read_bytes() for path in files]
    for path in files[2:]:
        path.unlink()
    write_maps(tmp_path, config, tmp_path / "checkpoints" / "step-000000048")
    assert [path.read_bytes() for path in files] == contents


def test_the_film_shows_every_moment(tmp_path: Path):
    imageio = pytest.importorskip("imageio.v3")
    write_maps(tmp_path, tiny())
    film = map_film.write(tmp_path)
    assert film == tmp_path / "maps.gif"
    assert len(imageio.imread(film)) == 3


def test_a_picture_shows_walls_trails_and_unvisited_cells():
    density = np.array([[0.75, 0.25], [0.0, np.nan]])
    trail = np.array([[0.5, 0.5, 0.5, 1.5, 1.0]])
    drawn = atlas.picture({"map/density": density, "map/trail": trail}, "step 3")
    side = atlas.SIDE
    top, left = atlas.GAP + 3 * atlas.LINE, atlas.GAP
    tile = drawn[top : top + side, left : left + side]
    half = side // 2
    often, rarely = tile[5, 5], tile[5, half + 5]
    never, wall = tile[half + 5, 5], tile[half + 5, half + 5]
    assert often.sum() < rarely.sum() < never.sum() == 3 * 255
    assert len(set(wall.tolist())) == 1  # grey
    right = drawn[top : top + side, left + side + atlas.GAP :]
    green = (255 * np.array(atlas.PLANNED)).astype(np.uint8)
    np.testing.assert_array_equal(right[side // 4, half], green)
    assert (right[side // 4 + 10, half] == 255).all()
