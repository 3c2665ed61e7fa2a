"""`diagnose` opens runs and reports on the states of a data set."""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from curriculum import collect, diagnose
from curriculum.data import states
from curriculum.data.dataset import DataSet
from curriculum.envs.recorded import Recorded
from curriculum.learners.bc import BC
from curriculum.learners.cql import CQL
from curriculum.run import folders, loop
from curriculum.run.run import Run
from curriculum.setting.config import Config, flat
from curriculum.starts.dataset import Dataset

SMALL = ["--states", "50", "--episodes", "2"]


class Made(NamedTuple):
    data: Path
    bc: Path
    cql: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A data set and two runs that were trained on it."""
    folder = tmp_path_factory.mktemp("diagnose")
    data = folder / "data"
    flags = "--env gridworld --planner shortest_path --noise 0.3 --transitions 300"
    collect.main(["make", str(data), *flags.split()])
    for learner, seeds in ((BC, (1, 2)), (CQL, (2,))):
        config = Config(
            # that of bc is known from the data alone
            env="gridworld" if learner is CQL else Recorded(path=str(data)),
            learner=learner(hidden=(8,), batch_size=16),
            start=Dataset(path=str(data)),
            seeds=seeds,
            steps=0,
            offline_updates=2,
            evaluation=False,
        )
        write_run(folder / learner.__name__.lower(), config)
    return Made(data, folder / "bc", folder / "cql")


def write_run(folder: Path, config: Config) -> None:
    folder.mkdir()
    folders.write(folder / "config.yaml", flat(config))
    list(loop.train(config, folder))


def ask(made: Made, *words: str) -> None:
    runs = [str(made.bc), str(made.cql)]
    diagnose.main([*runs, "--data", str(made.data), *SMALL, *words])


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        diagnose.main(words)
    assert end.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_every_run_and_seed_is_measured_on_the_same_states(made, tmp_path, capsys):
    out = tmp_path / "report"
    ask(made, "--planner", "shortest_path", "--out", str(out))
    files = {path.name for path in out.iterdir()}
    figures = {"q.png", "support.png", "calibration.png"}
    assert files == {"diagnose.html", "diagnose.md", "diagnose.csv", *figures}
    rows = list(csv.DictReader((out / "diagnose.csv").open()))
    values = {(r["run"], r["seed"], r["measure"]): float(r["value"]) for r in rows}
    agreement = [key for key in values if key[2] == "agreement"]
    assert [key[:2] for key in agreement] == [("bc", "1"), ("bc", "2"), ("cql", "2")]
    # by another route: the exported policies
    batch = states.choose(DataSet(made.data), 50, seed=0)
    for name, seed, _ in agreement:
        policy = Run.open(made.bc if name == "bc" else made.cql).policy(int(seed))
        same = (policy.act(batch.obs) == batch.action).mean()
        assert values[name, seed, "agreement"] == pytest.approx(same)
    assert ("cql", "2", "q_data") in values
    assert ("bc", "1", "q_data") not in values
    assert 0 <= values["cql", "2", "planner_agreement"] <= 1
    text = (out / "diagnose.md").read_text()
    table = capsys.readouterr().out
    for row in ("legacy_kl (never above 0.", "Q(s, a_data)", "V(s)"):
        assert (f"| {row}" in text) == (f"| {row}" in table) == (row != "V(s)")
    assert "bc was trained on these very data" in text
    assert "The world of bc is known from data alone" in text
    assert ("bc", "1", "planner_agreement") not in values


def test_a_report_never_overwrites_another(made, capsys):
    run = Run.open(made.bc)
    (made.bc / "diagnose").mkdir()
    assert diagnose._out("", run) == made.bc / "diagnose-2"
    words = [str(made.bc), "--data", str(made.data), "--out", str(made.bc)]
    assert f"--out {made.bc} exists" in refused(words, capsys)


def test_what_does_not_fit_is_refused(made, tmp_path, capsys):
    bc, data = str(made.bc), str(made.data)
    assert "usage" in refused([bc], capsys)
    assert "usage" in refused(["--data", data], capsys)
    assert "is no data set" in refused([bc, "--data", bc], capsys)
    assert "is not a run" in refused([data, "--data", data], capsys)
    assert "states must be" in refused([bc, "--data", data, "--states", "0"], capsys)
    planner = ["--planner", "shortest-path"]
    assert "can be played" in refused([bc, "--data", data, *planner], capsys)
    cql = str(made.cql)
    assert "shortest_path" in refused([cql, "--data", data, *planner], capsys)
    assert "no flag" in refused([bc, "--data", data, "--config", "x"], capsys)
    other = tmp_path / "other"
    flags = "--env cartpole --planner random --transitions 20"
    collect.main(["make", str(other), *flags.split()])
    capsys.readouterr()
    assert "do not fit together" in refused([bc, "--data", str(other)], capsys)
