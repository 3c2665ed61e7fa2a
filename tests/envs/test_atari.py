"""Atari games: the preprocessing, the two engines, exact replays, and copies that know
what happens next."""

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "ale_py", reason="needs ale-py 0.12: pip install 'planning-curriculum[atari]'"
)

from curriculum.envs._atari import games
from curriculum.envs._atari import rows as atari_rows
from curriculum.envs._base import pictures
from curriculum.envs._base.spec import spec_of
from curriculum.envs.atari import Atari
from curriculum.types import stream

ENGINES = ["vector", "single"]
both = pytest.mark.parametrize("engine", ENGINES)
FREE = {"sticky": 0.0, "clip_rewards": False}  # of chance


def rows(*seeds: int, **fields: Any) -> Any:
    made = Atari(**fields).rows([stream(seed, "environment") for seed in seeds])
    made.reset()
    return made


def actions(world: Atari, steps: int, count: int, seed: int = 0) -> np.ndarray:
    return stream(seed, "actions").integers(world.action_space.n, size=(steps, count))


def play(made: Any, plan: np.ndarray) -> list[Any]:
    return [made.step(action) for action in plan]


def assert_same(some: list[Any], others: list[Any], pick: Any = slice(None)) -> None:
    for t, (one, other) in enumerate(zip(some, others, strict=True)):
        for field in one._fields:
            np.testing.assert_array_equal(
                getattr(one, field)[pick], getattr(other, field), f"{field} of step {t}"
            )


@both
def test_an_observation_stacks_four_pictures_the_first_three_black(engine):
    made = rows(0, engine=engine)
    assert made.single_observation_space == made.world.observation_space
    assert (made.obs.shape, made.obs.dtype) == ((1, 4, 84, 84), np.uint8)
    assert made.single_action_space.n == 6
    assert spec_of(made.world).frames == 4
    before = made.obs
    assert not before[0, :3].any()
    assert before[0, 3].std() > 10
    for step in play(made, actions(made.world, 6, 1)):
        assert made.single_observation_space.contains(step.obs[0])
        np.testing.assert_array_equal(step.obs[0, :3], before[0, 1:])
        before = step.obs
    assert made.time.tolist() == [6]
    if engine == "single":
        assert made.engine.emulators[0].getFrameNumber() == 24
    picture = made.picture(0)
    assert (picture.shape, picture.dtype) == (
        ((252, 252, 3) if engine == "vector" else (630, 480, 3)),
        np.uint8,
    )


@both
def test_the_last_picture_is_that_of_the_end(engine):
    made = rows(0, engine=engine, max_steps=30, **FREE)
    longer = rows(0, engine=engine, max_steps=31, **FREE)
    plan = actions(made.world, 30, 1)
    play(made, plan)
    play(longer, plan)
    assert (made.time[0], longer.time[0]) == (0, 30)
    np.testing.assert_array_equal(made.last_picture(0), longer.picture(0))
    assert (made.picture(0) != longer.picture(0)).any()


@pytest.mark.parametrize("height", [210, 250])
def test_a_picture_is_the_mean_over_areas_of_the_screen(height):
    screen = stream(0, "screen").integers(256, size=(2, height, 160)).astype(np.uint8)
    integral = screen.astype(float)
    for axis in (1, 2):  # integrate, interpolate at the edges, differentiate
        size = integral.shape[axis]
        edges = np.linspace(0, size, 85)
        total = np.insert(integral.cumsum(axis), 0, 0, axis)
        at = np.apply_along_axis(
            lambda line, e=edges, n=size: np.interp(e, np.arange(n + 1), line),
            axis,
            total,
        )
        integral = np.diff(at, axis=axis) / (size / 84)
    picture = pictures.shrink(screen)
    assert (picture.shape, picture.dtype) == ((2, 84, 84), np.uint8)
    assert np.abs(picture - integral).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("game", "steps", "fields"),
    [
        ("Pong", 120, FREE),
        # games end
        ("Breakout", 200, {"sticky": 0.25, "noop_max": 30, "fire_reset": True}),
        # 214 lines
        ("Carnival", 30, {"frame_skip": 3, "frames": 2, "full_actions": True}),
    ],
)
def test_both_engines_show_the_same_world_while_copies_are_made(game, steps, fields):
    vector, single = (rows(0, game=game, engine=engine, **fields) for engine in ENGINES)
    np.testing.assert_array_equal(vector.obs, single.obs)
    copies, plan, seen, other = (
        single.simulator(),
        actions(vector.world, steps, 1),
        [],
        [],
    )
    for some in np.split(plan, 10):
        seen += play(vector, some)
        other += play(single, some)
        copies.rollout(copies.states(np.array([0])), some[:3].T, stream(0, "copies"))
    assert_same(seen, other)
    assert any(step.reward.any() for step in seen)
    assert any(step.terminated.any() for step in seen) == (game == "Breakout")


def test_a_seed_alone_plays_as_among_others(monkeypatch):
    monkeypatch.setattr(atari_rows, "RESEED", 30)
    fields = {"game": "Breakout", "max_steps": 20}
    together, alone = rows(0, 1, **fields), rows(1, **fields)
    plan = actions(together.world, 65, 2)
    many, one = play(together, plan), play(alone, plan[:, 1:])
    assert_same(many, one, slice(1, 2))
    assert any((step.obs[0] != step.obs[1]).any() for step in many)
    # new seeds were drawn when the second episodes ended
    assert together.age.tolist() == [25, 25]


def arrays_and_values(saved: Any) -> bool:
    if isinstance(saved, dict):
        return all(arrays_and_values(value) for value in saved.values())
    if isinstance(saved, list):
        return all(arrays_and_values(value) for value in saved)
    return (
        saved.dtype != object
        if isinstance(saved, np.ndarray)
        else isinstance(saved, int | str)
    )


@both
def test_rows_go_on_exactly_from_the_middle_of_episodes(engine, monkeypatch):
    monkeypatch.setattr(atari_rows, "RESEED", 40)
    fields = {"game": "Breakout", "engine": engine, "noop_max": 20, "fire_reset": True}
    made = rows(0, 1, episodic_life=True, max_steps=40, **fields)
    plan = actions(made.world, 170, 2)
    before = play(made, plan[:85])
    saved = made.save()
    expected = play(made, plan[85:])
    assert arrays_and_values(saved)
    assert len(set(saved["age"].tolist())) == 2  # seeds were drawn at different times
    assert (made.seeds != saved["seeds"]).any()  # and later again
    assert any(step.terminated.any() for step in before)
    other = made.world.rows([stream(seed, "another") for seed in (0, 1)])
    np.testing.assert_array_equal(other.load(saved), before[-1].obs)
    assert_same(play(other, plan[85:]), expected)


def test_a_game_that_does_not_play_again_as_it_was_saved_is_refused():
    made = rows(0, game="Breakout", engine="single", sticky=0.0)
    play(made, actions(made.world, 10, 1))
    other = rows(0, game="Breakout", engine="single", sticky=0.5)
    with pytest.raises(ValueError, match="take another course here"):
        other.load(made.save())


def test_an_episode_is_cut_short_at_max_steps_and_shows_its_last_picture():
    made, free = (rows(0, engine="single", max_steps=limit, **FREE) for limit in (5, 0))
    plan = actions(made.world, 12, 1)
    for t, (step, whole) in enumerate(
        zip(play(made, plan), play(free, plan), strict=True)
    ):
        assert step.truncated[0] == (t in (4, 9))
        assert not step.terminated[0]
        if t < 5:
            np.testing.assert_array_equal(step.next_obs, whole.next_obs)
        assert (step.obs != step.next_obs).any() == (t in (4, 9))
        assert step.obs[0, :3].any() == (t not in (4, 9))
    assert made.time.tolist() == [2]


def test_lost_lives_end_episodes_only_if_asked_to():
    whole, lives = (
        rows(0, game="Breakout", engine="single", episodic_life=each, **FREE)
        for each in (False, True)
    )
    plan = np.ones((200, 1), np.int64)  # FIRE, and the ball is lost five times
    games, single_lives = play(whole, plan), play(lives, plan)
    ends, lost = (
        [t for t, step in enumerate(s) if step.terminated[0]]
        for s in (games, single_lives)
    )
    assert len(ends) == 1
    assert lost[4] == ends[0]
    # the game goes on
    np.testing.assert_array_equal(
        single_lives[lost[0]].obs, single_lives[lost[0]].next_obs
    )
    assert not games[ends[0]].obs[0, :3].any()  # a new one
    assert not any(
        step.truncated[0] or step.success[0] for step in games + single_lives
    )
    assert lives.time.tolist() == [199 - lost[-1]]
    assert lives.world.evaluated() == replace(whole.world, max_steps=3_000)


def test_training_clips_rewards_and_evaluation_does_not():
    clipped, scores = (
        rows(0, game="Qbert"),
        rows(0, game="Qbert", engine="single", clip_rewards=False),
    )
    assert clipped.world.evaluated() == Atari(
        game="Qbert", clip_rewards=False, max_steps=3_000
    )
    plan = actions(clipped.world, 60, 1)
    signs, score = (
        np.array([step.reward[0] for step in play(made, plan)])
        for made in (clipped, scores)
    )
    assert signs.dtype == score.dtype == np.float32
    assert score.max() >= 25
    np.testing.assert_array_equal(signs, np.sign(score))


def test_a_quarter_of_the_frames_repeats_the_action_before():
    made = rows(3, game="Freeway", engine="single", frame_skip=1)
    copies, real, before, stuck = made.simulator(), made.engine.emulators[0], 0, []
    for t in range(600):
        asked, start = 1 + t % 2, real.cloneState()
        made.step(np.array([asked]))
        led_to = {}
        for action in (before, asked):
            copies.emulator.restoreState(start)
            copies.emulator.act(copies.engine.action_codes[action])
            led_to[copies.emulator.getRAM().tobytes()] = action
        if asked != before:
            assert len(led_to) == 2
            stuck.append(led_to[real.getRAM().tobytes()] == before)
        before = led_to[real.getRAM().tobytes()]
    assert len(stuck) >= 350
    assert np.mean(stuck) == pytest.approx(
        0.25, abs=4 * (0.25 * 0.75 / len(stuck)) ** 0.5
    )


def test_a_game_that_ends_while_nothing_is_done_begins_again():
    made = rows(0, engine="single", noop_max=30)
    real = made.engine.emulators[0]
    over = iter([True])  # after the first frame
    begun: list[None] = []
    made.engine.emulators[0] = SimpleNamespace(
        act=real.act,
        game_over=lambda: next(over, False),
        getScreenGrayscale=real.getScreenGrayscale,
        lives=real.lives,
        reset_game=lambda: begun.append(real.reset_game()),
    )
    made.engine.reset(np.array([0]), np.array([-1]))
    assert len(begun) == 2


def test_without_sticky_actions_there_is_no_chance():
    made = rows(0, 1, game="Breakout", engine="single", sticky=0.0)
    plan = np.tile(actions(made.world, 60, 1), 2)
    assert all((step.obs[0] == step.obs[1]).all() for step in play(made, plan))
    made.rest(np.array([False, True]))
    play(made, plan[:5])
    assert [one.getFrameNumber() for one in made.engine.emulators] == [260, 240]
    made.reset()
    made.step(plan[0])
    assert (made.obs[0] == made.obs[1]).all()


def test_copies_do_what_the_game_then_does():
    rng = stream(0, "copies")
    made = rows(0, game="Breakout", engine="single", **FREE)
    plan = actions(made.world, 260, 1, seed=3)
    play(made, plan[:20])
    copies = made.simulator()
    start = copies.states(np.array([0, 0]))
    assert (start.shape, start.dtype) == ((2,), object)
    reward, ended, last = copies.rollout(
        start, np.stack([plan[20:, 0], np.zeros(240, np.int64)]), rng
    )
    assert ended.tolist() == [True, False]  # without FIRE no ball is lost
    assert last.shape == (2,)
    state, stepped = start[:1], []
    for action in plan[20:120]:
        state, gained, over = copies.step(state, action, rng)
        stepped.append(gained[0])
        assert not over[0]
    np.testing.assert_array_equal(stepped, reward[0, :100])
    after = play(made, plan[20:])
    score, over = (
        np.array([getattr(step, name)[0] for step in after])
        for name in ("reward", "terminated")
    )
    end = over.argmax() + 1
    np.testing.assert_array_equal(reward[0, :end], score[:end])
    assert score[:end].any()
    assert not reward[0, end:].any()


def test_actions_stick_in_the_game_but_not_in_its_copies():
    made = rows(0, 1, game="Breakout", engine="single", sticky=1.0)
    copies = made.simulator()
    start = copies.states(np.array([0, 0]))
    last = copies.rollout(start, np.array([[2] * 20, [3] * 20]), stream(0, "copies"))[2]
    assert not last[0].equals(last[1])
    assert all(
        (step.obs[0] == step.obs[1]).all()
        for step in play(made, np.tile([2, 3], (20, 1)))
    )


def test_the_vector_engine_has_no_copies():
    with pytest.raises(ValueError, match=r"add --env\.engine single"):
        rows(0, engine="vector").simulator()


def test_a_game_is_found_however_it_is_written():
    files = {
        games.find_rom(name)
        for name in ("MsPacman", "ms_pacman", "mspacman", "MSPACMAN")
    }
    assert [file.name for file in files] == ["ms_pacman.bin"]
    assert Atari(game="ms_pacman").title == "ALE-MsPacman"
    with pytest.raises(
        ValueError, match=r"no Atari game 'Pung'; did you mean one of: .*Pong"
    ):
        Atari(game="Pung")
    with pytest.raises(ValueError, match=r"no Atari game 'xx'; there are: .*Zaxxon"):
        Atari(game="xx")
    # for two players: ale-py would end the process
    with pytest.raises(ValueError, match="no Atari game 'Combat'"):
        Atari(game="Combat")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"sticky": 1.5}, "sticky must be between 0 and 1, got 1.5"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"max_steps": -1}, "max_steps must be at least 0, got -1"),
        ({"engine": "jax"}, "no engine 'jax'; there are: auto, vector, single"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        Atari(**fields)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    games.ale.cache_clear()
    with pytest.raises(ValueError, match="pip install 'planning-curriculum"):
        games.find_rom("Pong")


def test_emulators_are_silent(capfd):
    rows(0, engine="single")
    assert capfd.readouterr() == ("", "")


def test_games_are_copied_only_for_planners_that_ask():
    made = rows(0)
    made.reset()
    assert type(made.engine).__name__ == "VectorEngine"
    with pytest.raises(ValueError, match=r"add --env\.engine single"):
        made.simulator()  # too late: the games have begun
    searched = Atari().rows([stream(seed, "environment") for seed in (0, 1)])
    simulator = searched.simulator()
    searched.reset()
    assert type(searched.engine).__name__ == "SingleEngine"
    assert len(simulator.states(np.arange(2))) == 2


def test_evaluations_end_early_but_not_training():
    assert Atari().max_steps == 27_000
    assert Atari().evaluated().max_steps == 3_000
    assert Atari(max_steps=5).evaluated().max_steps == 5
    assert Atari(eval_max_steps=0).evaluated().max_steps == 27_000
    assert Atari(max_steps=0).evaluated().max_steps == 3_000
