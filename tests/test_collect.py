"""`collect` makes data sets of what planners do."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import collect
from curriculum.data.dataset import DataSet
from curriculum.envs.botevade import BotEvade
from curriculum.run import making, recorder
from curriculum.types import Episode, Spec, Step

# the world of the gridworld document: fixed start, no heading, no time limit
GRID = "--env gridworld --env.start fixed --env.observation vector --env.max-steps 0"


def make(folder: Path, flags: str) -> DataSet:
    collect.main(["make", str(folder), *flags.split()])
    return DataSet(folder)


def refused(flags: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence with which a command line is refused."""
    with pytest.raises(SystemExit) as end:
        collect.main(flags.split())
    assert end.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_shortest_paths_are_18_steps_with_return_8_30(tmp_path: Path) -> None:
    data = make(tmp_path / "data", f"{GRID} --planner shortest_path --episodes 100")
    assert data.columns.length.tolist() == [18] * 100
    np.testing.assert_allclose(data.returns(), 8.3, atol=1e-6)
    assert data.columns.terminated.all()
    assert not data.columns.truncated.any()
    for episode in data.episodes([0, 99]):
        assert episode.observation[0].tolist() == [0, 0, 9, 9]
        assert episode.next_observation[-1].tolist() == [9, 9, 9, 9]


def test_the_same_seed_makes_the_same_data(tmp_path: Path) -> None:
    flags = "--env gridworld --planner random --noise 0.5 --transitions 700"
    first = make(tmp_path / "first", f"{flags} --seed 3")
    again = make(tmp_path / "again", f"{flags} --seed 3")
    other = make(tmp_path / "other", f"{flags} --seed 4")
    assert first.manifest.columns == again.manifest.columns
    assert first.manifest.columns["action"] != other.manifest.columns["action"]
    lengths = first.columns.length
    assert lengths.sum() >= 700 > lengths[:-1].sum()


def test_noisy_actions_have_a_source_of_their_own(tmp_path: Path) -> None:
    flags = "--planner shortest_path --noise 0.25 --transitions 4000"
    data = make(tmp_path / "data", f"--env gridworld {flags}")
    assert data.manifest.sources == ("shortest_path", "random")
    # 3 standard deviations of a share of 4,000 are 0.021
    assert abs(data.columns.source.mean() - 0.25) < 0.021


def test_wrong_flags_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "data")
    message = refused(f"make {out} --env gridworld --noise 1.5", capsys)
    assert "noise must be between 0 and 1, got 1.5" in message
    message = refused(f"make {out} --env gridworld --steps 5", capsys)
    assert "no flag '--steps'" in message
    message = refused(f"make --env gridworld {out}", capsys)
    assert "usage:" in message
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """Ends a process in the middle of its work."""


@pytest.mark.parametrize("parts", [1, 3])
def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr(making, "SAVE_EVERY", 0)
    monkeypatch.setattr(recorder, "STEPS", 20)
    monkeypatch.setattr(recorder, "MOST_ROWS", 3)
    cast = "--planner random:0.5 shortest_path:0.5 --noise 0.2"
    flags = f"--env gridworld --env.max-steps 30 {cast} --episodes 24"
    expected = make(tmp_path / "expected", flags)
    played = making.record
    calls: list[Any] = []

    def record(*arguments: Any) -> list[Episode]:
        if len(calls) == parts:
            raise Killed
        calls.append(arguments)
        return played(*arguments)

    monkeypatch.setattr(making, "record", record)
    with pytest.raises(Killed):
        make(tmp_path / "data", flags)
    assert not (tmp_path / "data").exists()
    with (tmp_path / ".draft-data" / "reward.npy").open("ab") as file:
        file.write(b"written after the last save")
    monkeypatch.setattr(making, "record", played)
    found = make(tmp_path / "data", flags)
    assert found.manifest.columns == expected.manifest.columns
    assert not (tmp_path / ".draft-data").exists()
    names = {path.name for path in expected.folder.iterdir()}
    assert {path.name for path in found.folder.iterdir()} == names


def test_other_settings_do_not_continue_a_draft(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def killed(*arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(making, "SAVE_EVERY", 0)
    monkeypatch.setattr(making.Writer, "finish", killed)
    with pytest.raises(Killed):
        make(tmp_path / "data", f"{GRID} --planner random --episodes 5")
    monkeypatch.undo()
    with pytest.raises(SystemExit) as end:
        make(tmp_path / "data", f"{GRID} --planner random --episodes 6")
    assert end.value.code == 2
    assert "(episodes 5, not 6)" in capsys.readouterr().err
    assert (tmp_path / ".draft-data" / "reward.npy").is_file()


def test_a_finished_command_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"{GRID} --planner shortest_path --episodes 2"
    data = make(tmp_path / "data", flags)
    before = (data.folder / "manifest.json").stat().st_mtime_ns
    make(tmp_path / "data", flags)
    assert "is finished" in capsys.readouterr().out
    assert (data.folder / "manifest.json").stat().st_mtime_ns == before
    message = refused(f"make {data.folder} {flags} --seed 1", capsys)
    assert "exists; give another folder" in message


def test_planners_play_their_shares(tmp_path: Path) -> None:
    cast = "random:1 shortest_path:3"
    flags = f"--env gridworld --planner {cast} --episodes 40"
    data = make(tmp_path / "data", flags)
    first = data.columns.source[data.first_step]
    names = np.array(data.manifest.sources)[first].tolist()
    assert names.count("random") == 10
    assert names.count("shortest_path") == 30


def test_settings_of_one_of_several_planners(tmp_path: Path) -> None:
    cast = ["noisy planner=random epsilon=1:0.5", "shortest_path:0.5"]
    words = ["--env", "gridworld", "--episodes", "4", "--planner"]
    collect.main(["make", str(tmp_path / "data"), *words, *cast])
    data = DataSet(tmp_path / "data")
    assert data.manifest.sources[:2] == ("noisy", "shortest_path")
    length = data.columns.length
    owner = data.columns.source[data.first_step]
    # from random starts, no path is longer than 20 steps
    assert length[owner == 1].max() <= 20 < length[owner == 0].max()


def test_random_starts_are_not_recorded(tmp_path: Path) -> None:
    flags = "--planner shortest_path --episodes 60"
    wide = "--start-distribution random-play --start-steps 30"
    data = make(tmp_path / "data", f"{GRID} {flags} {wide}")
    starts = data.columns.obs[data.first_obs, :2]
    assert len(np.unique(starts, axis=0)) > 10
    assert not data.columns.source.any()
    # the shortest paths from the starts, never longer than the sum of sides and a turn
    assert data.columns.length.max() <= 20


def test_an_end_that_is_also_cut_short_stays_both() -> None:
    spec = Spec((1,), "float32", np.zeros(1), np.ones(1), 2)
    ends = {
        (True, True): (True, True),
        (True, False): (True, False),
        (False, True): (False, True),
        (False, False): (False, True),  # the recording is cut here
    }
    for (terminated, truncated), expected in ends.items():
        obs = np.zeros((1, 1), np.float32)
        step = Step(
            obs=obs,
            reward=np.ones(1, np.float32),
            terminated=np.array([terminated]),
            truncated=np.array([truncated]),
            next_obs=obs,
            success=np.array([False]),
        )
        tape = recorder.Tape(spec)
        tape.add(obs, np.zeros(1, int), np.zeros(1, np.uint8), step, 0)
        episode = tape.take(step, 0)
        assert (episode.terminated, episode.truncated) == expected


def test_stacks_are_recorded_as_they_were_seen() -> None:
    spec = Spec((2, 1, 1), "uint8", np.zeros(1), np.ones(1), 2, frames=2)
    seen = np.array([[4, 5], [5, 6], [6, 7]], np.uint8)[:, None, :, None, None]
    no = np.array([False])
    tape = recorder.Tape(spec)
    for obs, next_obs in pairwise(seen):
        step = Step(next_obs, np.ones(1, np.float32), no, no, next_obs, no)
        tape.add(obs, np.zeros(1, int), np.zeros(1, np.uint8), step, 0)
    episode = tape.take(step, 0)
    np.testing.assert_array_equal(episode.observation, seen[:2, 0])
    np.testing.assert_array_equal(episode.next_observation, seen[1:, 0])


def test_long_episodes_are_cut(tmp_path: Path) -> None:
    flags = "--planner random --episodes 8 --longest 7"
    data = make(tmp_path / "data", f"{GRID} {flags}")
    assert data.columns.length.tolist() == [7] * 8
    assert data.columns.truncated.all()


def test_tiers_lie_between_random_play_and_planner(tmp_path: Path) -> None:
    flags = "--env gridworld --episodes 60 --planner shortest_path"
    means = {}
    for tier in collect.TIERS:
        data = make(tmp_path / tier, f"{flags} --tier {tier}")
        means[tier] = data.manifest.returns["mean"]
    floor = means["random"]
    score = {
        tier: (mean - floor) / (means["expert"] - floor) for tier, mean in means.items()
    }
    assert 0.15 < score["medium"] < 0.55
    assert 0 < score["medium-replay"] < score["medium"]
    middle = (score["medium"] + 1) / 2
    assert score["medium-expert"] == pytest.approx(middle, abs=0.1)


def test_nothing_is_medium_where_the_planner_is_no_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"make {tmp_path}/data --env gridworld --planner random --tier medium"
    with pytest.raises(SystemExit) as end:
        collect.main(words.split())
    assert end.value.code == 1
    assert "nothing is medium between them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- convert ---


def same(one: DataSet, other: DataSet) -> bool:
    """Whether two data sets have the same episodes."""
    return one.manifest.columns == other.manifest.columns


def test_a_data_set_converts_to_a_file_and_back(tmp_path: Path) -> None:
    cast = "random:0.5 shortest_path:0.5"
    data = make(tmp_path / "data", f"--env gridworld --planner {cast} --episodes 12")
    collect.main(["convert", str(data.folder), str(tmp_path / "file.npz")])
    collect.main(["convert", str(tmp_path / "file.npz"), str(tmp_path / "back")])
    back = DataSet(tmp_path / "back")
    assert same(back, data)
    assert back.manifest.spec.actions == 3
    assert back.manifest.env == "gridworld"
    assert back.manifest.env_settings == data.manifest.env_settings
    assert back.manifest.sources == data.manifest.sources


def write_original(path: Path, action: list[int]) -> None:
    """A file in the layout of the gridworld document: one episode of two steps, one of
    a single step."""
    observations = np.array([[0, 0, 9, 9], [1, 0, 9, 9], [9, 8, 9, 9]], np.float32)
    following = np.array([[1, 0, 9, 9], [2, 0, 9, 9], [9, 9, 9, 9]], np.float32)
    np.savez(
        path,
        observations=observations,
        actions=np.array(action),
        rewards=np.array([-0.1, -0.1, 10.0]),
        next_observations=following,
        dones=np.array([False, True, True]),
    )


def test_a_file_of_others_is_checked_against_the_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_original(tmp_path / "buffer.npz", [1, 7, 2])
    words = f"convert {tmp_path}/buffer.npz {tmp_path}/data {GRID}"
    collect.main(words.split())
    data = DataSet(tmp_path / "data")
    assert data.columns.length.tolist() == [1]
    assert data.columns.action.tolist() == [2]
    assert data.manifest.spec.actions == 3
    assert data.manifest.env_settings["start"] == "fixed"
    errors = capsys.readouterr().err
    assert "episode 0: it has the action 7, the world has actions 0 to 2" in errors
    assert "episodes left out: 1" in errors


def test_without_a_world_the_episodes_tell_the_spec(tmp_path: Path) -> None:
    write_original(tmp_path / "buffer.npz", [1, 7, 2])
    collect.main(["convert", f"{tmp_path}/buffer.npz", f"{tmp_path}/data"])
    spec = DataSet(tmp_path / "data").manifest.spec
    assert spec.actions == 8
    assert spec.obs_shape == (4,)


def test_places_become_box_actions_that_lead_there(tmp_path: Path) -> None:
    world = "--env botevade"
    data = make(
        tmp_path / "data", f"{world} --planner random --longest 20 --episodes 1"
    )
    words = f"convert {data.folder} {tmp_path}/box {world} --continuous"
    collect.main(words.split())
    box = DataSet(tmp_path / "box")
    assert box.manifest.env_settings["actions"] == "continuous"
    assert box.manifest.spec.action_size == 2
    discrete = BotEvade()
    continuous = BotEvade(actions="continuous")
    unscaled = (box.columns.action + 1) / 2
    cells = continuous._destination(unscaled)
    assert cells.tolist() == discrete._destination(data.columns.action).tolist()


def test_unknown_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    message = refused(f"convert {tmp_path}/notes.txt {tmp_path}/data", capsys)
    assert "looks like none of the formats folder, " in message
    message = refused(f"convert {tmp_path}/none.npz {tmp_path}/data", capsys)
    assert "none.npz" in message
    message = refused(
        f"convert {tmp_path}/notes.txt {tmp_path}/data --from nzp", capsys
    )
    assert "perhaps you meant npz" in message
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# --- mix and split ---


def short_and_long(tmp_path: Path) -> tuple[DataSet, DataSet]:
    """600 transitions in short episodes, and 900 in long ones."""
    short = make(tmp_path / "short", f"{GRID} --planner random --longest 5 " + SHORT)
    long = make(tmp_path / "long", f"{GRID} --planner shortest_path --episodes 50")
    return short, long


SHORT = "--episodes 120"


def test_a_mixture_has_the_shares_of_transitions(tmp_path: Path) -> None:
    short, long = short_and_long(tmp_path)
    out = tmp_path / "mixture"
    collect.main(["mix", str(out), f"{short.folder}:1", f"{long.folder}:3"])
    mixture = DataSet(out)
    names = np.array(mixture.manifest.sources)[mixture.columns.source]
    # 900 transitions are three quarters of 1,200
    assert np.count_nonzero(names == "random") == 300
    assert np.count_nonzero(names == "shortest_path") == 900
    firsts = mixture.columns.length[:40]
    assert 5 in firsts
    assert 18 in firsts


def test_a_mixture_without_shares_has_everything(tmp_path: Path) -> None:
    short, long = short_and_long(tmp_path)
    collect.main(["mix", f"{tmp_path}/all", str(short.folder), str(long.folder)])
    mixture = DataSet(tmp_path / "all")
    assert len(mixture) == len(short) + len(long)
    expected = np.concatenate([short.returns(), long.returns()])
    np.testing.assert_array_equal(np.sort(mixture.returns()), np.sort(expected))


def test_settings_in_which_worlds_differ_are_not_those_of_a_mixture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = make(tmp_path / "fixed", f"{GRID} --planner shortest_path --episodes 2")
    words = GRID.replace("start fixed", "start random")
    random = make(tmp_path / "random", f"{words} --planner shortest_path --episodes 2")
    capsys.readouterr()
    collect.main(["mix", f"{tmp_path}/mix", str(fixed.folder), str(random.folder)])
    assert "the worlds differ in start: the mixture" in capsys.readouterr().err
    settings = DataSet(tmp_path / "mix").manifest.env_settings
    assert settings == {
        name: value
        for name, value in fixed.manifest.env_settings.items()
        if name != "start"
    }
    assert settings["observation"] == "vector"


def test_other_worlds_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, _ = short_and_long(tmp_path)
    other = make(tmp_path / "other", "--env pointmass --planner random --episodes 1")
    message = refused(f"mix {tmp_path}/mix {short.folder} {other.folder}", capsys)
    assert "cannot be mixed, their worlds differ: gridworld and pointmass" in message
    message = refused(f"mix {tmp_path}/mix {short.folder}:0.5 {short.folder}", capsys)
    assert "give a share to every data set, or to none" in message


def test_a_split_keeps_every_episode_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--env gridworld --planner random --episodes 40"
    data = make(tmp_path / "data", flags)
    words = f"split {tmp_path}/train {tmp_path}/test {data.folder} --share 0.75"
    collect.main(words.split())
    train = DataSet(tmp_path / "train")
    test = DataSet(tmp_path / "test")
    assert len(train) == 30
    assert len(test) == 10
    found = [e.observation.tobytes() for d in (train, test) for e in d.episodes()]
    expected = [e.observation.tobytes() for e in data.episodes()]
    assert sorted(found) == sorted(expected)
    collect.main(words.split())
    assert "are finished" in capsys.readouterr().out
    empty = f"split {tmp_path}/a {tmp_path}/b {data.folder} --share 1"
    assert "leaves none for one of the two" in refused(empty, capsys)


@pytest.mark.parametrize("command", collect.COMMANDS)
def test_help_shows_every_flag(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        collect.main([command, "--help"])
    assert not end.value.code
    text = capsys.readouterr().out
    for field in collect.COMMANDS[command].fields:
        assert f"--{field.name.replace('_', '-')}" in text


def test_a_data_set_is_described_in_four_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "data", f"{GRID} --planner shortest_path --episodes 100")
    capsys.readouterr()
    figures = tmp_path / "figures"
    collect.main(["describe", str(tmp_path / "data"), "--figures", str(figures)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "Num Episodes: 100",
        "Avg Episode Reward: 8.30",
        "Avg Episode Length: 18.00",
        "Total Transitions: 1800",
    ]
    drawn = {Path(line) for line in lines[4:]}
    assert drawn == set(figures.iterdir())
    names = {path.name for path in drawn}
    assert names >= {"reward_histogram.png", "length_histogram.png", "visits.png"}
    assert names >= {"action_distribution.png"}
    assert names & {"pca_obs.png", "tsne_obs.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_the_doctor_advises_to_clone_a_planner_and_not_random_play(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for planner in ("shortest_path", "random"):
        flags = f"--env gridworld --planner {planner} --transitions 1500"
        make(tmp_path / planner, flags)
    capsys.readouterr()
    collect.main(["check", str(tmp_path / "shortest_path")])
    assert "advice: clone" in capsys.readouterr().out
    collect.main(["check", str(tmp_path / "random")])
    assert "advice: reinforce" in capsys.readouterr().out


def test_check_refuses_a_damaged_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "data", "--env gridworld --planner random --episodes 2")
    path = tmp_path / "data" / "reward.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SystemExit):
        collect.main(["check", str(tmp_path / "data")])
    assert "reward.npy is damaged" in capsys.readouterr().err
