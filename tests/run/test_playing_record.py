"""`--record` leaves a film in the run's folder and in TensorBoard."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curriculum import train
from curriculum.envs.gridworld import Gridworld
from curriculum.learners.bc import BC
from curriculum.run import folders, loop
from curriculum.run.playing import screens
from curriculum.setting.config import Config, flat
from curriculum.starts.expert import Expert

WORDS = """--env gridworld --env.start fixed --steps 32 --rows 4 --eval-every 32
    --eval-episodes 2 --start.size 32 --learner bc --learner.hidden 8
    --learner.batch-size 8 --no-eval-mixed --record --name filmed"""


def require_film(folder: Path) -> None:
    events = EventAccumulator(str(folder / "seed0"), size_guidance={"images": 0})
    events.Reload()
    [shown] = events.Images("eval/episode")
    assert (shown.width, shown.height) == (500, 544)
    assert shown.encoded_image_string == (folder / "episode.gif").read_bytes()


def test_a_film_of_the_run_is_in_its_folder_and_in_tensorboard(tmp_path):
    config = Config(
        env=Gridworld(start="fixed", max_steps=5),
        learner=BC(hidden=(8,), batch_size=16),
        start=Expert(size=32),
        steps=0,
        offline_updates=2,
        eval_episodes=1,
    )
    folders.write(tmp_path / "config.yaml", flat(config))
    list(loop.train(config, tmp_path))
    train._record(tmp_path)
    require_film(tmp_path)


@pytest.mark.slow
def test_a_recorded_run_ends_with_its_film(tmp_path, capsys):
    train.main([*WORDS.split(), "--runs-dir", str(tmp_path)])
    folder = tmp_path / "gridworld" / "filmed"
    assert f"film           {folder}/episode.gif" in capsys.readouterr().out
    require_film(folder)


def test_without_the_extra_nothing_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(screens, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        train.main([*WORDS.split(), "--runs-dir", str(tmp_path)])
    message = capsys.readouterr().err
    assert "--record: a film in a .gif file needs the extra [video]" in message
    assert not list(tmp_path.rglob("config.yaml"))
