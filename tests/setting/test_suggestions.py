"""Settings that a world suggests are defaults: the user's own win, and runs repeat."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.planners.mcts import MCTS
from curriculum.setting import flags, plugins, suggestions
from curriculum.setting.config import Config, flat

# the gridworld with suggestions, as a plug-in of a third party
WORLD = '''
from dataclasses import dataclass
from typing import Any, ClassVar

from curriculum.envs.gridworld import Gridworld


@dataclass(kw_only=True)
class Suggesting(Gridworld):
    """A grid that suggests settings."""

    defaults: ClassVar[dict[str, Any]] = {
        "planner": "mcts",
        "learner": "bc",
        "planner.simulations": 5,
        "planner.episodes": 2,
        "start.size": 77,
        "eval_episodes": 3,
        "learner.hidden": (8, 8),
    }
'''
SUGGESTED = {
    "planner": "mcts",
    "learner": "bc",
    "planner.simulations": 5,
    "planner.episodes": 2,
    "start.size": 77,
    "eval_episodes": 3,
    "learner.hidden": [8, 8],
}


@pytest.fixture
def world(tmp_path: Path) -> str:
    path = tmp_path / "suggesting.py"
    path.write_text(WORLD)
    return str(path)


def settings(*argv: str) -> dict[str, Any]:
    return flat(flags.read(list(argv)).config)


def test_flags_that_are_not_given_are_what_the_world_suggests(world: str):
    found = settings("--env", world)
    assert {name: found[name] for name in SUGGESTED} == SUGGESTED
    # nothing else differs from a run that is given them all
    config = Config()
    assert found["planner.rollouts"] == MCTS().rollouts
    assert found["eval_every"] == config.eval_every


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--planner.simulations 9", "planner.simulations", 9),
        ("--planner.episodes 0", "planner.episodes", 0),
        ("--start.size=10000", "start.size", 10_000),
        ("--eval-episodes 50", "eval_episodes", 50),
        ("--learner.hidden 4", "learner.hidden", [4]),
        ("--learner dqn", "learner", "dqn"),
    ],
)
def test_a_flag_wins_over_a_suggestion(world: str, words: str, name: str, value: Any):
    found = settings("--env", world, *words.split())
    assert found[name] == value
    others = SUGGESTED.keys() - {name, "learner.hidden"}
    assert {key: found[key] for key in others} == {
        key: SUGGESTED[key] for key in others
    }


def test_a_yaml_file_wins_over_a_suggestion(world: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"env: {world}\nplanner.simulations: 9\neval-episodes: 50\n")
    found = settings("--config", str(path), "--trust")
    assert (found["planner.simulations"], found["eval_episodes"]) == (9, 50)
    assert found["start.size"] == 77


def test_settings_of_a_suggested_plug_in_are_not_those_of_another(world: str):
    found = settings("--env", world, "--planner", "shooting", "--learner", "dqn")
    assert "planner.simulations" not in found
    assert found["learner.hidden"] == flat(Config())["learner.hidden"]
    assert found["planner.episodes"] == 0  # it belongs to the other planner
    assert found["eval_episodes"] == 3
    # both starts have a size, the third has not
    assert settings("--env", world, "--start", "random")["start.size"] == 77
    assert "start.size" not in settings("--env", world, "--start", "none")


def test_a_config_in_python_follows_the_suggestions_too(world: str):
    plugin = plugins.make("env", world)
    assert flat(Config(env=plugin)) == settings("--env", world)
    config = Config(env=plugin, planner=MCTS(simulations=9), eval_episodes=50)
    found = flat(config)
    assert (found["planner.simulations"], found["eval_episodes"]) == (9, 50)
    assert (found["start.size"], found["planner.episodes"]) == (77, 2)
    # an instance is complete
    assert flat(Config(env=plugin, planner=MCTS()))["planner.simulations"] == 64


def test_a_saved_run_repeats_whatever_its_world_suggests_later(
    world: str, tmp_path: Path
):
    given = Config(env=plugins.make("env", world), eval_episodes=50, start="none")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(flat(given)))
    assert settings("--config", str(path), "--trust") == flat(given)


def test_help_shows_what_the_world_suggests(world: str):
    words = ["-m", "curriculum.train", "--env", world, "--help"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "--planner.simulations INT nodes that" in text
    assert text.count("(default: 77)") == 1


def test_what_a_run_follows_is_named(world: str):
    plugin = plugins.make("env", world)
    found = settings("--env", world, "--start.size", "50")
    expected = {k: v for k, v in SUGGESTED.items() if k != "start.size"}
    assert suggestions.followed(plugin, found) == expected
    # the planner and the learner alone are told by the name of the run
    pendulum = flat(Config(env="pendulum"))
    assert suggestions.followed(plugins.make("env", "pendulum"), pendulum) == {}


def test_settings_of_an_offline_phase_hold_for_a_start_worth_learning_from():
    names = ("offline_updates", "updates_per_step")
    for words in ("", "--start random", "--start.size 1000"):
        found = settings(*words.split())
        assert [found[name] for name in names] == [2_000, 0.15]
    for words in ("--start none", "--start.size 999", "--learner dqn"):
        found = settings(*words.split())
        assert [found[name] for name in names] == [0, 0.25]
    assert settings("--offline-updates", "0")["offline_updates"] == 0


def test_weights_of_losses_fall_for_the_suited_learner_alone():
    assert settings()["regularizer_decay.half_life"] == 4_000
    assert settings("--learner", "cql")["regularizer_decay"] != "none"
    other = settings("--learner", "dqn")
    assert (other["regularizer_decay"], other["learner.label_weight"]) == ("none", 0.0)
    given = settings("--regularizer-decay", "none")
    assert given["regularizer_decay"] == "none"
    assert flat(Config()) == settings()


def test_an_expert_with_a_goal_has_its_own_budget():
    lander = ("--env", "LunarLander-v3")
    pytest.importorskip("Box2D", reason="LunarLander needs Box2D")
    assert settings(*lander)["planner.max_steps"] == 20_000
    goal = settings(*lander, "--planner.until-return", "100")
    assert goal["planner.max_steps"] == 200_000


@dataclass(kw_only=True)
class Odd(Gridworld):
    """A world whose suggestion is no setting."""

    defaults: ClassVar[dict[str, str]] = {"planner": "mcts", "eval_epsodes": "3"}


def test_a_suggestion_that_is_no_setting_is_refused():
    with pytest.raises(ValueError, match="Odd suggests 'eval_epsodes', which is no"):
        Config(env=Odd())


# --- what suits a world depends on all of its settings ---


@pytest.mark.parametrize(
    "words",
    [
        ["--env.options", "continuous=true"],
        ["--env.options", "gravity=-9.5", "continuous=true"],
        ["--env.options=continuous=true"],
    ],
)
def test_options_decide_what_suits_the_world(words: list[str]):
    pytest.importorskip("Box2D", reason="LunarLander needs Box2D")
    chosen = flags.choices(["--env", "LunarLander-v3", *words]).plugins
    assert (chosen["planner"], chosen["learner"]) == ("sac", "td3bc")
    discrete = flags.choices(["--env", "LunarLander-v3"]).plugins
    assert (discrete["planner"], discrete["learner"]) == ("dqn", "iql")


def test_options_of_a_yaml_file_decide_too(tmp_path: Path):
    pytest.importorskip("Box2D", reason="LunarLander needs Box2D")
    path = tmp_path / "lander.yaml"
    path.write_text("env: LunarLander-v3\nenv.options: [continuous=true]\n")
    assert flags.choices(["--config", str(path)]).plugins["planner"] == "sac"
    config = Config(env=Gym(id="LunarLander-v3", options=("continuous=true",)))
    assert (plugins.name_of("planner", config.planner), config.learner) == (
        "sac",
        "td3bc",
    )


def test_a_search_in_long_games_plays_one_episode_before_training():
    pytest.importorskip("ale_py", reason="needs ale-py")
    found = settings("--env", "ALE/Breakout-v5")
    assert (found["planner"], found["planner.episodes"]) == ("shooting", 1)
    assert found["eval_mixed"] is False
