"""`collect` makes data sets of what planners do."""

from pathlib import Path

import numpy as np
import pytest

from curriculum import collect
from curriculum.data.dataset import DataSet

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
