"""Runs that train from a data set: their world, training without one, and kills."""

import csv
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curriculum import export
from curriculum import train as command
from curriculum.data.manifest import Manifest, spec_of_arrays
from curriculum.data.writer import write
from curriculum.envs._base.spec import spec_of
from curriculum.envs.pendulum import Pendulum
from curriculum.envs.recorded import Recorded
from curriculum.learners.bc import BC
from curriculum.listeners.tensorboard import Tensorboard
from curriculum.report.curves import read_curve
from curriculum.run.evaluation import Scale, data_scale
from curriculum.run.loop import train
from curriculum.run.run import Run
from curriculum.setting import flags
from curriculum.setting.config import Config, flat
from curriculum.starts.dataset import Dataset
from curriculum.types import Episode

OFFLINE = ("--steps", "0", "--offline-updates", "120")


def episodes(count: int = 8, length: int = 16) -> list[Episode]:
    """Episodes of noise in the shape of the pendulum's."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        obs = rng.normal(size=(length + 1, 3)).astype(np.float32)
        action = rng.uniform(-1, 1, (length, 1)).astype(np.float32)
        reward = rng.normal(size=length).astype(np.float32)
        made.append(Episode(obs[:-1], action, reward, obs[1:], False, True))
    return made


def data(folder: Path, env: str = "pendulum", **settings: Any) -> Path:
    """A data set that says it is from `env`."""
    made = episodes()
    spec = spec_of_arrays(made[0].observation, made[0].action)
    write(folder, made, Manifest(spec=spec, env=env, env_settings=settings))
    return folder


def words(path: Path, *more: str) -> list[str]:
    """The flags of a run of a second that trains from a data set."""
    return [
        *("--start", "dataset", "--start.path", str(path)),
        *("--runs-dir", str(path.parent), "--name", "run"),
        *("--learner", "bc", "--learner.hidden", "16", "--learner.batch-size", "16"),
        *("--log-every", "40", "--eval-every", "60", "--checkpoint-every", "50"),
        *OFFLINE,
        *more,
    ]


class Silent(Pendulum):
    """A world that must not be made into rows."""

    def rows(self, *given: Any, **settings: Any) -> Any:
        raise AssertionError("the world is played")


# --- without a world ---


def test_without_evaluation_no_world_is_played(tmp_path: Path):
    config = Config(
        env=Silent(),
        start=Dataset(path=str(data(tmp_path / "data"))),
        learner=BC(hidden=(16,), batch_size=16),
        steps=0,
        offline_updates=40,
        evaluation=False,
        seeds=(0, 1),
    )
    records = list(train(config, tmp_path / "run"))
    assert {record.kind for record in records} == {
        *("start", "update", "time", "collect", "final"),
    }
    for seed in (0, 1):
        files = {path.name for path in (tmp_path / f"run/seed{seed}").iterdir()}
        assert files == {"policy-last.cur"}


def test_a_world_that_is_not_installed_is_trained_on(tmp_path: Path, capsys: Any):
    path = data(tmp_path / "data", "ant-maze", id="AntMaze-v9")
    command.main(words(path, "--no-evaluation"))
    folder = tmp_path / "AntMaze-v9" / "run"
    assert (folder / "seed0/policy-last.cur").is_file()
    assert (folder / "figures/offline.png").is_file()
    result = json.loads((folder / "result.json").read_text())
    assert result["values"]["final/planner_calls"] == [0]
    assert "120 offline updates" in capsys.readouterr().out
    out = tmp_path / "policy.cur"
    with pytest.raises(SystemExit):
        export.main([str(folder), str(out), "--which", "best"])
    assert "has no best policy; it has: last" in capsys.readouterr().err
    export.main([str(folder), str(out)])
    captured = capsys.readouterr()
    assert "agrees with the original on 1,000 of 1,000" in captured.out
    assert "random, as its world is not at hand" in captured.out
    with (folder / "progress.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []
    opened = Run.open(folder)
    assert opened.policy().act(np.zeros(3, np.float32)).shape == (1,)
    with pytest.raises(ValueError, match="known from its manifest alone"):
        opened.evaluate()
    with pytest.raises(ValueError, match="was not evaluated"):
        read_curve(folder)


def test_the_recorded_world_has_the_spaces_of_its_manifest(tmp_path: Path):
    world = Pendulum()
    made = episodes()
    write(tmp_path / "data", made, Manifest(spec=spec_of(world), env="pendulum"))
    recorded = Recorded(path=str(tmp_path / "data"))
    for mine, expected in zip(spec_of(recorded), spec_of(world), strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert recorded.title == "pendulum"


@pytest.mark.parametrize(
    "more", [("--steps", "100"), ("--techniques", "quantize"), ("--no-evaluation", "1")]
)
def test_no_evaluation_goes_with_offline_training_alone(
    tmp_path: Path, more: tuple[str, ...]
):
    path = data(tmp_path / "data")
    with pytest.raises(ValueError, match=r"--no-evaluation (is for|takes no value)"):
        flags.read(words(path, "--no-evaluation", *more))


# --- the world of a data set ---


def test_world_and_settings_come_from_the_manifest_unless_they_are_given(
    tmp_path: Path,
):
    path = data(tmp_path / "data", "gridworld", start="fixed", max_steps=50)
    found = flags.read(words(path)).config.env
    assert (type(found).__name__, found.start, found.max_steps) == (
        *("Gridworld", "fixed", 50),
    )
    found = flags.read(words(path, "--env.max-steps", "60")).config.env
    assert (found.start, found.max_steps) == ("fixed", 60)
    found = flags.read(words(path, "--env", "pendulum")).config.env
    assert type(found).__name__ == "Pendulum"
    config = Config(start=Dataset(path=str(path)), steps=0, offline_updates=1)
    assert config.env.start == "fixed"
    assert replace(config, evaluation=False).env.start == "fixed"


def test_the_settings_of_a_run_keep_its_world(tmp_path: Path):
    path = data(tmp_path / "data", "gridworld", start="fixed")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(flat(flags.read(words(path)).config)))
    (path / "manifest.json").unlink()
    settings = flat(flags.read(["--config", str(file)]).config)
    assert (settings["env"], settings["env.start"]) == ("gridworld", "fixed")
    assert settings["start.path"] == str(path)


def test_a_data_set_of_an_unknown_world_asks_for_one(tmp_path: Path):
    path = data(tmp_path / "data", "")
    with pytest.raises(ValueError, match="does not say which world it is from"):
        flags.read(words(path))
    assert flags.read(words(path, "--no-evaluation")).config.env.title == "data"


@pytest.mark.parametrize(
    ("env", "settings"), [("my.module:World", {}), ("gym", {"id": "my.module:Env-v0"})]
)
def test_code_that_a_manifest_names_is_not_run_unasked(
    tmp_path: Path, env: str, settings: dict[str, str]
):
    path = data(tmp_path / "data", env, **settings)
    with pytest.raises(ValueError, match=r"my.module:.*manifest\.json can run"):
        flags.read(words(path))


# --- policies that are kept ---


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("last", ["seed0/policy-last"]),
        ("best", ["seed0/policy-best", "seed0/policy-last"]),
        (
            "all",
            [
                *(f"policies/update-{u:09d}/seed0/policy" for u in (0, 60, 120)),
                *("seed0/policy-best", "seed0/policy-last"),
            ],
        ),
    ],
)
def test_as_many_policies_are_kept_as_the_settings_say(
    tmp_path: Path, keep: str, expected: list[str]
):
    config = flags.read(
        words(
            data(tmp_path / "data", max_steps=10),
            *("--keep-policies", keep, "--planner", "random", "--eval-episodes", "2"),
        )
    ).config
    list(train(config, tmp_path / "run"))
    written = sorted((tmp_path / "run").rglob("policy*.cur"))
    names = [str(path.relative_to(tmp_path / "run")) for path in written]
    assert names == [f"{name}.cur" for name in expected]
    if keep == "all":
        last = (tmp_path / "run" / names[2]).read_bytes()
        assert (tmp_path / "run" / names[-1]).read_bytes() == last


def test_an_offline_phase_needs_a_batch_of_data(tmp_path: Path):
    path = data(tmp_path / "data")
    config = flags.read(words(path, "--learner.batch-size", "129")).config
    with pytest.raises(ValueError, match="draw 129 transitions each from the start"):
        list(train(config))


# --- scores ---


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures: they take seconds."""
    monkeypatch.setattr(Tensorboard, "_draw", lambda self: None)


@pytest.mark.usefixtures("undrawn")
def test_scores_of_offline_runs_are_relative_to_the_data(tmp_path: Path):
    path = data(tmp_path / "data")
    returns = [episode.reward.sum(dtype=float) for episode in episodes()]
    command.main(words(path, "--eval-episodes", "4", "--seeds", "0", "1"))
    opened = Run.open(tmp_path / "pendulum" / "run")
    final = {tag: value[-1] for tag, value in opened.metrics("final").values.items()}
    low = final["final/random_reward"]
    high = final["final/data_reward"]
    assert high == pytest.approx([np.mean(returns)] * 2)
    expected = (final["final/last_mean_reward"] - low) / (high - low)
    assert final["final/last_score"] == pytest.approx(expected)
    assert "final/planner_reward" not in final
    assert opened.evaluate().score.mean(-1) == pytest.approx(expected)
    curve = read_curve(opened.folder)
    assert curve.baselines["data"] == pytest.approx(np.mean(returns))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_run_that_goes_on_online_is_scored_by_its_planner(tmp_path: Path):
    path = data(tmp_path / "data")
    online = ["--steps", "80", "--decay", "performance"]
    common = ["--rows", "2", "--eval-episodes", "3"]
    whole = [*words(path, *common, *online), "--name", "whole"]
    command.main(whole)
    command.main(words(path, *common))
    folder = tmp_path / "pendulum" / "run"
    with pytest.raises(SystemExit, match="2"):
        command.main(["--resume", str(folder), *online, "--learner", "iql"])
    command.main(["--resume", str(folder), *online])
    expected = read_curve(tmp_path / "pendulum" / "whole").final
    found = read_curve(folder).final
    for name in ("last_score", "best_score", "planner_reward"):
        tag = f"final/{name}"
        assert found[tag].tolist() == expected[tag].tolist()
    played = Run.open(folder).evaluate()
    assert played.score.mean(-1) == pytest.approx(found["final/last_score"])


def test_data_as_good_as_random_play_give_no_scores():
    random = np.array([0.0, 2.0] * 50)
    assert np.isnan(data_scale(random, random + 0.1).ceiling)
    assert data_scale(random, random + 1) == Scale(1.0, 2.0)


# --- kills ---


def killed(run: Callable[[], object], updates: int) -> None:
    """Make a run in a child process that is killed once it has taken so many offline
    updates."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        return
    take = Run.take_updates

    def take_updates(self: Run) -> None:
        take(self)
        if self.updates >= updates:
            os.kill(os.getpid(), signal.SIGKILL)

    Run.take_updates = take_updates  # type: ignore[method-assign]
    try:
        run()
    finally:
        os._exit(1)


def content(folder: Path) -> dict[str, Any]:
    """What a finished run has written, without what a clock measured."""
    records = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] != "time":
            records.append({**record, "time": 0})
    found: dict[str, Any] = {"records": records}
    for path in [*folder.rglob("policy*.cur"), folder / "progress.csv"]:
        found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def survives(tmp_path: Path, path: Path, moments: list[int], *more: str) -> None:
    """Check that a run that is killed at every moment ends as one that is not."""
    whole = [*words(path, *more), "--runs-dir", str(tmp_path / "whole")]
    command.main(whole)
    parts = [*words(path, *more), "--runs-dir", str(tmp_path / "parts")]
    for moment in moments:
        killed(lambda: command.main([*parts, "--resume", "auto"]), moment)
    command.main([*parts, "--resume", "auto"])
    expected = content(tmp_path / "whole/pendulum/run")
    assert content(tmp_path / "parts/pendulum/run") == expected


@pytest.mark.usefixtures("undrawn")
def test_an_offline_run_that_is_killed_ends_as_one_that_is_not(tmp_path: Path):
    path = data(tmp_path / "data")
    survives(tmp_path, path, [32, 55, 119], "--no-evaluation", "--keep-policies", "all")


@pytest.mark.slow
def test_ten_kills_in_five_thousand_updates_change_nothing(tmp_path: Path):
    path = data(tmp_path / "data")
    moments = np.random.default_rng(0).integers(1, 5_000, 10)
    survives(
        tmp_path,
        path,
        sorted(moments.tolist()),
        *("--offline-updates", "5000", "--learner", "iql", "--seeds", "0", "1"),
        *("--log-every", "100", "--eval-every", "500", "--checkpoint-every", "300"),
        *("--eval-episodes", "2", "--planner", "random", "--keep-policies", "all"),
    )
