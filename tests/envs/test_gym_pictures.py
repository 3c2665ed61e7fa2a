"""Pictures of any Gymnasium environment: stacks of the last few, grey, 84 x 84."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from curriculum.contract.world import check_world
from curriculum.envs._base.pictures import grey
from curriculum.envs._gym.source import find_facts
from curriculum.envs.gym import Gym
from curriculum.run.loop import train
from curriculum.setting.config import Config
from curriculum.types import stream

SIDE = 84


class Painter(gym.Env):
    """Shows the step of the episode and the last action as brightness."""

    def __init__(self, space: gym.Space, paint: Any, actions: gym.Space):
        self.observation_space = space
        self.action_space = actions
        self.paint = paint

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.base = int(self.np_random.integers(50))
        self.time = 0
        return self.paint(self.base), {}

    def step(self, action):
        self.time += 1
        total = int(np.asarray(action).sum() > 0)
        shade = self.base + 10 * self.time + total
        return self.paint(shade), float(total), self.time >= 6, False, {}


def painter(
    monkeypatch: pytest.MonkeyPatch,
    space: gym.Space,
    paint: Any,
    actions: gym.Space | None = None,
    **fields: Any,
) -> Gym:
    def make_painter() -> gym.Env:
        return Painter(space, paint, actions or spaces.Discrete(2))

    make: Any = make_painter
    spec = gym.envs.registration.EnvSpec("Painter-v0", make)
    monkeypatch.setitem(gym.registry, "Painter-v0", spec)
    find_facts.cache_clear()
    return Gym(id="Painter-v0", **fields)


def bytes_of(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def flat(*shape: int) -> Any:
    return lambda shade: np.full(shape, shade, np.uint8)


def colours(shade: int) -> np.ndarray:
    """Red, green and blue of one brightness each: 0.299, 0.587 and 0.114 of it."""
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[:, :32, 0] = shade
    picture[:, 32:64, 1] = shade
    picture[:, 64:, 2] = shade
    return picture


LAYOUTS = {
    "height, width": (bytes_of(96, 120), flat(96, 120)),
    "height, width, 1": (bytes_of(40, 50, 1), flat(40, 50, 1)),
    "height, width, colours": (bytes_of(96, 96, 3), flat(96, 96, 3)),
    "colours, height, width": (bytes_of(3, 84, 84), flat(3, 84, 84)),
    # wrappers that stack: the newest picture is the last one
    "stack, height, width": (
        bytes_of(4, 64, 64),
        lambda shade: np.stack([np.full((64, 64), shade - 3 + k) for k in range(4)]),
    ),
    "stack, height, width, colours": (
        bytes_of(2, 64, 64, 3),
        lambda shade: np.stack([np.full((64, 64, 3), k * shade) for k in range(2)]),
    ),
    "numbers up to 1": (
        spaces.Box(0, 1, (64, 64, 3), np.float32),
        lambda shade: np.full((64, 64, 3), shade / 255, np.float32),
    ),
    "numbers up to 255": (
        spaces.Box(0, 255, (64, 64), np.float32),
        lambda shade: np.full((64, 64), shade, np.float32),
    ),
    "the only part besides text": (
        spaces.Dict(image=bytes_of(56, 56, 3), mission=spaces.Text(9)),
        lambda shade: {"image": np.full((56, 56, 3), shade), "mission": "go"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_of_every_layout_are_stacks_of_the_last_four(
    layout: str, monkeypatch: pytest.MonkeyPatch
):
    world = painter(monkeypatch, *LAYOUTS[layout])
    assert (world.frames, world.observation_space) == (4, bytes_of(4, SIDE, SIDE))
    rows = world.rows([stream(0, "pictures")], 2)
    first = rows.reset()
    env: Any = rows.envs[0].unwrapped
    shade = env.base
    # before the first picture the stack repeats it
    assert [set(picture.ravel()) for picture in first[0]] == [{shade}] * 4
    shades = [shade] * 4
    for time in range(1, 6):
        step = rows.step(np.array([1, 0]))
        shades = [*shades[1:], shade + 10 * time + 1]
        assert step.next_obs[0, :, 0, 0].tolist() == shades
        assert step.next_obs[0].std((1, 2)).tolist() == [0] * 4
    step = rows.step(np.array([1, 0]))
    assert step.terminated.tolist() == [True, True]
    assert step.next_obs[0, :, 0, 0].tolist() == [*shades[1:], shade + 61]
    # and the next episode begins with its own first picture
    assert set(step.obs[0].ravel()) == {env.base}


def test_colours_become_brightness_and_edges_means(monkeypatch: pytest.MonkeyPatch):
    view = painter(monkeypatch, bytes_of(96, 96, 3), colours, stack=1).facts.view
    stack = view(colours(200))
    assert stack.shape == (1, SIDE, SIDE)
    # 0.299, 0.587 and 0.114 of 200
    assert [stack[0, 0, column] for column in (0, 40, 83)] == [60, 117, 23]
    # 96 columns become 84: column 27 covers 30.86 to 32, column 28 begins at 32
    assert (stack[0, :, 27] == 60).all()
    assert (stack[0, :, 28] == 117).all()
    assert grey(np.array([[255, 255, 255], [0, 0, 0]], np.uint8)).tolist() == [255, 0]


@pytest.mark.parametrize("actions", [spaces.Discrete(2), spaces.Box(-1, 1, (2,))])
def test_a_world_of_pictures_keeps_its_contract(
    actions: gym.Space, monkeypatch: pytest.MonkeyPatch
):
    world = painter(monkeypatch, bytes_of(64, 64, 3), flat(64, 64, 3), actions)
    check_world(world, rows_per_seed=2, steps=20)


@pytest.mark.parametrize(
    ("space", "parts", "message"),
    [
        (
            spaces.Dict(image=bytes_of(64, 64, 3), speed=spaces.Box(0, 1, (2,))),
            (),
            r"shows pictures beside other parts \(image, speed\), which no network "
            r"here takes together; .* --env\.parts image or --env\.parts speed",
        ),
        (
            spaces.Dict(a=bytes_of(64, 64), b=bytes_of(64, 64)),
            (),
            r"shows .* --env\.parts a or --env\.parts b",
        ),
        (bytes_of(64, 64, 4), (), r"shows pictures \(64, 64, 4\), but .* a wrapper"),
        (bytes_of(64, 64, 64), (), r"shows pictures \(64, 64, 64\), but"),
        (
            spaces.Dict(image=bytes_of(64, 64)),
            ("picture",),
            "shows no part 'picture'; there are: image",
        ),
        (spaces.Graph(spaces.Discrete(2), None), (), "shows Graph.*, but observations"),
        (spaces.Sequence(spaces.Discrete(2)), (), "shows Sequence.*, but observations"),
    ],
)
def test_what_no_network_takes_is_refused_in_one_sentence(
    space: gym.Space,
    parts: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
):
    world = painter(monkeypatch, space, None, parts=parts)
    with pytest.raises(ValueError, match=f"^Painter-v0 {message}") as caught:
        _ = world.facts
    assert "\n" not in str(caught.value)


def test_parts_choose_what_is_observed(monkeypatch: pytest.MonkeyPatch):
    space = spaces.Dict(
        image=bytes_of(64, 64),
        body=spaces.Dict(speed=spaces.Box(0, 1, (2,)), gear=spaces.Discrete(3)),
    )

    def paint(shade: int) -> dict[str, Any]:
        body = {"speed": np.array([0.25, 0.5], np.float32), "gear": 1}
        return {"image": np.full((64, 64), shade), "body": body}

    world = painter(monkeypatch, space, paint, parts=("image",))
    assert world.frames == 4
    world = painter(monkeypatch, space, paint, parts=("body",))
    assert world.frames == 0
    assert sorted(world.facts.view(paint(7)).tolist()) == [0, 0, 0.25, 0.5, 1]
    world = painter(monkeypatch, space, paint, parts=("body.speed",))
    assert world.facts.view(paint(7)).tolist() == [0.25, 0.5]


def test_small_boxes_of_bytes_are_numbers(monkeypatch: pytest.MonkeyPatch):
    world = painter(monkeypatch, bytes_of(7, 7, 3), flat(7, 7, 3))
    assert (world.frames, world.observation_space.shape) == (0, (147,))


@pytest.mark.parametrize(
    ("actions", "learner"),
    [
        pytest.param(spaces.Discrete(2), "dqn", marks=pytest.mark.slow),
        (spaces.Box(-1, 1, (1,)), "td3bc"),
    ],
)
def test_a_run_trains_on_pictures_from_start_to_end(
    actions: gym.Space, learner: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    world = painter(monkeypatch, bytes_of(64, 64, 3), flat(64, 64, 3), actions)
    config = Config(
        env=world,
        learner=learner,
        rows=2,
        steps=24,
        capacity=200,
        eval_every=24,
        log_every=24,
        updates_per_step=0.25,
    )
    # what suits a world of pictures
    assert (config.eval_episodes, config.eval_mixed) == (2, False)
    records = list(train(config, tmp_path))
    assert [record.kind for record in records][-1] == "final"
    losses = next(r for r in records if r.kind == "update").values
    assert np.isfinite(losses["train/loss"]).all()
    policies = sorted(path.name for path in tmp_path.glob("seed0/policy-*"))
    assert policies == ["policy-best.cur", "policy-last.cur"]
