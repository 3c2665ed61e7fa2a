"""The data doctor finds what was planted."""

from pathlib import Path

import numpy as np
import pytest
from data_sets import data_set, episode

from curriculum.data import doctor

STATES = np.random.default_rng(0).uniform(-1, 1, (4_000, 2)).astype(np.float32)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_random_actions_are_not_predictable() -> None:
    actions = np.random.default_rng(1).integers(0, 4, len(STATES))
    # 5,000 pairs: three standard deviations are about 0.05 with shared neighbours
    assert doctor.predict_actions(STATES, actions) < 0.06
    box = np.random.default_rng(1).uniform(-1, 1, (len(STATES), 3))
    assert doctor.predict_actions(STATES, box) < 0.06


def test_a_function_of_the_observation_is_predictable() -> None:
    assert doctor.predict_actions(STATES, (STATES[:, 0] > 0).astype(int)) > 0.9
    assert doctor.predict_actions(STATES, STATES * 0.5) > 0.98
    assert doctor.predict_actions(STATES, np.zeros(len(STATES), int)) == 1


def test_half_of_the_variance_explained_is_one_half() -> None:
    noise = np.random.default_rng(2).uniform(-1, 1, STATES.shape)
    found = doctor.predict_actions(STATES, STATES + noise)
    assert found == pytest.approx(0.5, abs=0.07)


def test_the_unit_of_an_observation_does_not_matter() -> None:
    actions = (STATES[:, 0] > 0).astype(int)
    scaled = STATES * np.array([1, 1e4], np.float32)
    plain = doctor.predict_actions(STATES, actions)
    assert doctor.predict_actions(scaled, actions) == pytest.approx(plain, abs=0.01)


def test_large_offsets_do_not_hide_the_nearest() -> None:
    actions = (STATES[:, 0] > 0).astype(int)
    assert doctor.predict_actions(STATES + np.float32(1e4), actions) > 0.8


def test_advice_follows_predictability_and_returns() -> None:
    spread = np.array([-10.0, 0, 10])
    same = np.array([8.3, 8.3, 8.3])
    assert doctor.advise(0.9, spread)[0] == "clone"
    assert doctor.advise(0.1, spread)[0] == "reinforce"
    assert doctor.advise(0.1, same)[0] == "clone"
    assert doctor.advise(0.1, np.zeros(3))[0] == "clone"


def test_repetitions_are_counted(tmp_path: Path) -> None:
    one = episode(column(0, 1, 2), [0, 1], [1, 2])
    other_action = episode(column(0, 1, 2), [1, 1], [1, 2])
    other_reward = episode(column(0, 1, 2), [0, 1], [1, 3])
    other_end = episode(column(0, 1, 5), [0, 1], [1, 2])
    episodes = [one, other_action, other_reward, other_end, one]
    found = doctor.examine(data_set(tmp_path / "data", episodes))
    assert found.repeated_episodes == 1
    # first steps: two distinct of five; second steps: three distinct of five
    assert found.duplicates == pytest.approx(1 - 5 / 10)
    assert found.distinct_obs == pytest.approx(2 / 10)


def test_stacks_repeat_only_if_every_image_does(tmp_path: Path) -> None:
    images = np.array([0, 1, 1, 0, 1, 1], np.uint8)
    stacks = np.stack([images[:-1], images[1:]], 1)[:, :, None, None]
    one = episode(stacks, [0, 0, 0, 0])
    from curriculum.data.manifest import spec_of_arrays

    spec = spec_of_arrays(one.observation, one.action)._replace(frames=2)
    found = doctor.examine(data_set(tmp_path / "data", [one], spec=spec))
    # stacks 01 11 10 01, then 11: the last step is the first one again
    assert found.distinct_obs == pytest.approx(3 / 4)
    assert found.duplicates == pytest.approx(1 / 4)


def test_returns_are_told_by_source(tmp_path: Path) -> None:
    episodes = [
        episode(column(0, 1, 2), [0, 1], [1, 2]),
        episode(column(0, 1), [0], 5),
        episode(column(0, 1), [0], -1, source=1),
    ]
    data = data_set(tmp_path / "data", episodes)
    found = doctor.examine(data)
    assert found.returns == {"a": (2, 4.0, 1.0), "b": (1, -1.0, 0.0)}
    text = doctor.report(data, found)
    assert "return of a: 4.00 +- 1.00 (2)" in text
    assert text.splitlines()[-1].startswith("advice: clone")


def test_actions_that_nobody_takes_are_named(tmp_path: Path) -> None:
    from curriculum.data.manifest import spec_of_arrays

    one = episode(column(*range(5)), [0, 2, 0, 2])
    spec = spec_of_arrays(one.observation, one.action)._replace(actions=4)
    data = data_set(tmp_path / "data", [one], spec=spec)
    found = doctor.examine(data)
    assert found.unused_actions == [1, 3]
    assert found.entropy == pytest.approx(0.5)  # one bit of two
    assert "never taken: 1, 3" in doctor.report(data, found)


def test_actions_at_their_bounds_are_counted(tmp_path: Path) -> None:
    actions = np.array([[1, 0.5], [-1, 0], [0.2, 0.1], [1, -1]], np.float32)
    found = doctor.examine(
        data_set(tmp_path / "data", [episode(column(*range(5)), actions)])
    )
    assert found.at_bound == pytest.approx(4 / 8)


def test_directions_that_observations_fill(tmp_path: Path) -> None:
    line = np.linspace(0, 1, 101, dtype=np.float32)
    obs = np.stack([line, 2 * line, np.ones_like(line)], 1)  # one line in three numbers
    data = data_set(tmp_path / "data", [episode(obs, [0] * 100)])
    assert doctor.examine(data).dimensions == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"terminated": True, "truncated": True}, "both terminated and truncated"),
        ({"terminated": False}, "neither terminated nor truncated"),
        ({"obs": column(np.nan, 1, 2)}, "obs has 1 numbers that are not finite"),
        ({"reward": 0.5}, "every reward is 0.5"),
    ],
)
def test_what_is_suspicious_is_said(tmp_path: Path, change: dict, words: str) -> None:
    sound = {"obs": column(0, 1, 2), "action": [0, 1], "reward": [1, 2]}
    one = episode(**sound | change)
    data = data_set(tmp_path / "data", [one])
    found = doctor.examine(data)
    assert [words in problem for problem in found.problems] == [True]
    assert f"problem: {found.problems[0]}" in doctor.report(data, found)


def test_sound_data_have_no_problem(tmp_path: Path) -> None:
    ended = episode(column(0, 1, 2), [0, 1], [1, 2])
    cut = episode(column(0, 1), [0], 1, terminated=False, truncated=True)
    data = data_set(tmp_path / "data", [ended, cut])
    assert doctor.examine(data).problems == []


def test_time_limits_taken_for_ends_are_noticed(tmp_path: Path) -> None:
    limited = episode(column(*range(6)), [0, 1, 0, 1, 0], [0, 1, 0, 0, 0])
    short = episode(column(0, 1), [0], 1)
    data = data_set(tmp_path / "data", [limited, limited, short])
    [problem] = doctor.examine(data).problems
    assert "2 of 3 episodes terminate after exactly 5 steps" in problem
