"""What cannot work in a world is refused before anything is trained or written."""

import pytest

from curriculum import train
from curriculum.contract import check_foreign
from curriculum.planners._expert import training
from curriculum.setting.config import Config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--env pendulum --learner dqn",
            "DQN takes discrete actions, this world's are",
        ),
        ("--env cartpole --learner edac", "EDAC takes box actions, this world's are"),
        ("--env pendulum --planner dqn", "dqn needs discrete actions"),
        ("--env cartpole --planner sac", "sac needs box actions"),
        ("--env cartpole --planner dqn --planner.rows 0", "rows must be at least 1"),
        (
            "--env gym --env.id CartPole-v1 --planner dqn --planner.until-success 2",
            "between",
        ),
        ("--env cartpole --planner sb3", "sb3 needs the zip of a saved model"),
        (
            "--env cartpole --planner sb3 --planner.path no.zip",
            "there is no file no.zip",
        ),
        ("--env pendulum --planner mcts", "mcts needs discrete actions"),
        ("--env cartpole --planner mppi", "mppi needs box actions"),
        ("--env pendulum --planner shortest_path", "shortest_path needs a world"),
        ("--env pendulum --planner noisy --planner.planner dqn", "dqn needs discrete"),
        (
            "--env cartpole --planner constant --planner.action 7",
            "constant needs one of",
        ),
    ],
)
def test_it_is_refused_in_a_sentence_and_nothing_is_written(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        train.main(words.split())
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_an_expert_is_not_trained_to_be_checked(monkeypatch):
    monkeypatch.setattr(training, "train", None)
    check_foreign(Config(env="cartpole", planner="dqn"))


def test_a_search_in_an_atari_game_fits_without_a_choice_of_engine():
    pytest.importorskip("ale_py")
    check_foreign(Config(env="ALE/Breakout-v5", planner="shooting", learner="bc"))
