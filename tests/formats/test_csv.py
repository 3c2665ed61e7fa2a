"""Tables as text, such as others write."""

from pathlib import Path

import pytest

from curriculum.formats.csv import CSV

BRACKETED = """obs,action,reward,next_obs,done
"[0.5 1.0]",2,-100,"[0.25, 2]",False
"[0.25, 2]",0,10,"[0 0]",True
"[7 8]",1,0,"[9 10]",True
"""


def test_arrays_in_brackets_are_read(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(BRACKETED)
    first, second = CSV().read(path, pytest.fail)
    assert first.observation.tolist() == [[0.5, 1], [0.25, 2]]
    assert first.next_observation.tolist() == [[0.25, 2], [0, 0]]
    assert first.action.tolist() == [2, 0]
    assert first.reward.tolist() == [-100, 10]
    assert (second.terminated, second.action.dtype) == (True, "int64")


def test_text_in_place_of_a_number_costs_its_episode(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(BRACKETED.replace("-100", "much"))
    reports: list[str] = []
    (second,) = CSV().read(path, reports.append)
    assert second.observation.tolist() == [[7, 8]]
    assert reports == ["episode 0: reward is not finite at step 0"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('2,-100,"', '2,-100,1,"', "step 1 has 6 fields, not 5"),
        ("done", "reward", "two of its columns have the same name"),
        ("[9 10]", "[9]", "cannot be read"),
        ("obs,", "place,", "it has no column observations"),
    ],
)
def test_a_damaged_table_is_refused(old: str, new: str, message: str, tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text(BRACKETED.replace(old, new, 1))
    with pytest.raises(
        ValueError, match=f"^data set {path} cannot be read: .*"
    ) as error:
        list(CSV().read(path, lambda report: None))
    assert message in str(error.value)
