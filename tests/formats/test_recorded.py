"""Files that Minari and d3rlpy wrote; recorded/make.py makes them anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from generated import assert_same
from pyarrow import ipc, parquet

from curriculum.formats.hdf5 import HDF5
from curriculum.formats.minari import Minari

RECORDED = Path(__file__).parent / "recorded"
BACK_ENDS = pytest.mark.parametrize("back_end", ["hdf5", "arrow"])


@BACK_ENDS
def test_boxes_of_minari_are_read(back_end: str):
    path = RECORDED / f"minari-box-{back_end}"
    assert Minari().recognises(path)
    first, second, third = Minari().read(path, pytest.fail)
    numbers = np.array([10, 11, 12])
    expected = np.stack([numbers, -numbers, numbers / 8], -1)
    assert second.observation.tolist() == expected[:2].tolist()
    assert second.next_observation.tolist() == expected[1:].tolist()
    assert second.observation.dtype == np.float32
    # from [-2, 2] and [0, 4]: n - 1 and n + 2
    assert first.action.tolist() == [[-0.5, 0], [0, 0.5], [0.5, 1]]
    assert second.reward.tolist() == [2.5, 2.75]
    ends = [(e.terminated, e.truncated) for e in (first, second, third)]
    assert ends == [(True, False), (False, True), (True, False)]
    assert len(third.reward) == 1


@BACK_ENDS
def test_dictionaries_of_minari_are_laid_side_by_side(back_end: str):
    path = RECORDED / f"minari-parts-{back_end}" / "data"
    first, *_ = Minari().read(path, pytest.fail)
    assert first.observation.shape == (3, 42)  # one of 40 choices, and two numbers
    assert first.observation[2].nonzero()[0].tolist() == [2, 40, 41]
    assert first.observation[2, 40:].tolist() == [2, 3]
    assert first.action.tolist() == [0, 1, 2]  # counted from 5 in the file
    found = Minari().metadata(path)
    assert found["sources"] == ["counting"]
    assert found["spec"]["obs_shape"] == [42]
    assert found["spec"]["actions"] == 3
    assert found["spec"]["obs_high"][39:] == [1, 99, 99]


def test_parquet_files_are_read_as_arrow_files(tmp_path: Path):
    arrow = RECORDED / "minari-parts-arrow"
    path = tmp_path / "parquet"
    for file in arrow.rglob("part-0.arrow"):
        copy = path / file.relative_to(arrow).with_suffix(".parquet")
        copy.parent.mkdir(parents=True)
        parquet.write_table(ipc.open_file(file).read_all(), copy)
    described = json.loads((arrow / "data" / "metadata.json").read_text())
    described["data_format"] = "parquet"
    (path / "data" / "metadata.json").write_text(json.dumps(described))
    expected = list(Minari().read(arrow, pytest.fail))
    assert_same(list(Minari().read(path, pytest.fail)), expected)


def test_an_episode_whose_file_is_damaged_is_left_out(tmp_path: Path):
    path = tmp_path / "data"
    shutil.copytree(RECORDED / "minari-box-arrow" / "data", path)
    (path / "1" / "part-0.arrow").write_bytes(b"ARROW1 and nothing else")
    reports: list[str] = []
    found = [len(e.reward) for e in Minari().read(path, reports.append)]
    assert found == [3, 1]
    assert len(reports) == 1
    assert reports[0].startswith("episode 1: ")


def test_files_of_d3rlpy_are_read():
    # it stores no last observation: the step of a true end needs none, others are lost
    first, second = HDF5().read(RECORDED / "d3rlpy-discrete.h5", pytest.fail)
    assert first.action.tolist() == [0, 1, 2]
    assert first.reward.tolist() == [0, 0.25, 0.5]
    assert first.next_observation[:2].tolist() == first.observation[1:].tolist()
    assert (first.terminated, len(first.reward)) == (True, 3)
    assert (second.terminated, len(second.reward)) == (False, 1)
    assert second.next_observation.tolist() == [[11, -11, 1.375]]
    box, _ = HDF5().read(RECORDED / "d3rlpy-box.h5", pytest.fail)
    assert box.action.tolist() == [[0, 0], [0.25, -0.25], [0.5, -0.5]]
