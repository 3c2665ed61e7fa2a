"""`collect` makes data sets of what planners do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import collect
from curriculum.data.dataset import DataSet
from curriculum.run import making, recorder
from curriculum.types import Episode

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
    # from random starts, a path of 26 steps is the longest
    assert data.columns.length[2:].max() <= 26 < data.columns.length[:2].max()


def test_random_starts_are_not_recorded(tmp_path: Path) -> None:
    flags = "--planner shortest_path --episodes 60"
    wide = "--start-distribution random-play --start-steps 30"
    data = make(tmp_path / "data", f"{GRID} {flags} {wide}")
    starts = data.columns.obs[data.first_obs, :2]
    assert len(np.unique(starts, axis=0)) > 10
    assert not data.columns.source.any()
    # the shortest paths from the starts, never longer than the sum of sides and a turn
    assert data.columns.length.max() <= 20


def test_long_episodes_are_cut(tmp_path: Path) -> None:
    flags = "--planner random --episodes 8 --longest 7"
    data = make(tmp_path / "data", f"{GRID} {flags}")
    assert data.columns.length.tolist() == [7] * 8
    assert data.columns.truncated.all()


def test_tiers_lie_between_random_play_and_planner(tmp_path: Path) -> None:
    flags = "--env gridworld --episodes 100 --planner shortest_path"
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
