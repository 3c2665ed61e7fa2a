"""A policy that was trained before, in the planner's seat."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from curriculum import train as command
from curriculum.envs._base.spec import spec_of
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.planners import policy as module
from curriculum.planners._ars.linear import Linear
from curriculum.planners._expert.levels import measure
from curriculum.planners.ars import ARS
from curriculum.planners.policy import Policy
from curriculum.run.run import Run
from curriculum.shipping import artefact
from curriculum.types import Deployable, World, stream

WORDS = """--env cartpole --planner random --learner dqn --seeds 3 5 --steps 80
    --eval-every 40 --eval-episodes 2 --checkpoint-every 40 --start.size 32
    --learner.hidden 8 --learner.batch-size 8 --no-eval-mixed --name whole"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line."""
    runs = tmp_path_factory.mktemp("runs")
    command.main([*WORDS.split(), "--runs-dir", str(runs)])
    return next(runs.glob("*/whole"))


class Tripled(CartPole):
    """Another number of actions."""

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(3)


def set_up(planner: Any, world: World, *seeds: int) -> Any:
    seeds = seeds or (0,)
    rows = world.rows([stream(seed, "environment") for seed in seeds], 2)
    rows.reset()
    return planner.setup(rows, spec_of(world), seeds)


def observations(world: World, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *world.observation_space.shape)).astype(np.float32)


def saved(path: Path, matrix: np.ndarray) -> str:
    """A linear policy of observations as they are, as a file."""
    inputs = matrix.shape[-1]
    linear = Linear(matrix, np.zeros(inputs), np.ones(inputs), False)
    artefact.save(Deployable(None, linear.weights), path)  # type: ignore[arg-type]
    return str(path)


@pytest.mark.parametrize("seed", [None, 3, 5])
@pytest.mark.parametrize("which", ["last", "best"])
def test_it_acts_as_the_run_does(finished, seed, which):
    planner = Policy(path=str(finished), seed=seed, which=which)
    planner.check_world(CartPole())
    obs = observations(CartPole(), 30)
    expected = Run.open(finished).policy(seed or 3, which).act(obs)
    actor = set_up(planner, CartPole())
    np.testing.assert_array_equal(actor.act(obs, np.zeros(30, int)), expected)


def test_a_policy_file_acts_as_the_run_it_came_from(finished):
    obs = observations(CartPole(), 30)
    file = Policy(path=str(finished / "seed5" / "policy-best.cur"))
    run = Policy(path=str(finished), seed=5)
    rows = np.zeros(30, int)
    expected = set_up(run, CartPole()).act(obs, rows)
    np.testing.assert_array_equal(set_up(file, CartPole()).act(obs, rows), expected)


def test_a_policy_file_that_chooses_among_candidates_acts_as_its_run(tmp_path):
    words = WORDS.replace("cartpole", "pendulum").replace("dqn", "bcq")
    command.main([*words.split(), "--runs-dir", str(tmp_path)])
    run = next(tmp_path.glob("*/whole"))
    obs = observations(Pendulum(), 30)
    rows = np.zeros(30, int)
    expected = set_up(Policy(path=str(run), seed=5), Pendulum()).act(obs, rows)
    file = Policy(path=str(run / "seed5" / "policy-best.cur"))
    actor = set_up(file, Pendulum())
    np.testing.assert_allclose(actor.act(obs, rows), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"observations of shape \(3,\) \(float32\)"):
        file.check_world(CartPole())


def test_box_actions_of_a_file_are_clipped(tmp_path):
    path = saved(tmp_path / "linear.safetensors", np.array([[2.0, 0, 0]]))
    actor = set_up(Policy(path=path), Pendulum(), 0, 1)
    obs = np.array([[0.25, 0, 0], [0.75, 9, 9], [-0.75, 9, 9]], np.float32)
    action = actor.act(obs, np.array([0, 1, 3]))
    assert action.dtype == np.float32
    assert action.tolist() == [[0.5], [1], [-1]]


def test_a_seed_alone_acts_as_among_others(finished):
    obs = observations(CartPole(), 6)
    planner = Policy(path=str(finished))
    together = set_up(planner, CartPole(), 0, 1, 2).act(obs, np.arange(6))
    alone = set_up(planner, CartPole(), 1).act(obs[2:4], np.arange(2))
    np.testing.assert_array_equal(together[2:4], alone)


def test_an_expert_of_ars_is_a_policy_in_other_worlds_of_its_kind(tmp_path):
    expert = ARS(max_steps=1, eval_every=1, eval_episodes=1, cache=str(tmp_path))
    trained = set_up(expert, Pendulum())
    (folder,) = tmp_path.iterdir()
    actor = set_up(Policy(path=str(folder)), Pendulum(max_steps=50))
    obs = observations(Pendulum(), 4)
    rows = np.zeros(4, int)
    np.testing.assert_allclose(actor.act(obs, rows), trained.act(obs, rows), atol=1e-5)


def test_a_policy_of_this_package_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INCLUDED", tmp_path)
    saved(tmp_path / "swing.safetensors", np.array([[0.5, 0, 0]]))
    obs = np.ones((1, 3), np.float32)
    actor = set_up(Policy(path="swing"), Pendulum())
    assert actor.act(obs, np.arange(1)).tolist() == [[0.5]]
    with pytest.raises(ValueError, match=r"come with this package: swing$"):
        Policy(path="other").check_world(Pendulum())


def test_the_policy_for_hopper_hops():
    world = Gym(id="Hopper-v5")
    actor = set_up(Policy(path="hopper-v5"), world)
    level = measure(lambda obs: actor.act(obs, np.zeros(1, int)), world, range(1), 0)
    assert level.mean_return > 3_000


def test_what_does_not_fit_is_refused_with_a_sentence(finished, tmp_path):
    run = str(finished)
    with pytest.raises(ValueError, match=r"^policy needs a run's folder or a policy f"):
        Policy().check_world(CartPole())
    with pytest.raises(ValueError, match=r"^there is no run and no policy file nowh"):
        Policy(path="nowhere").check_world(CartPole())
    with pytest.raises(ValueError, match=r"observations of shape \(4,\)"):
        Policy(path=run).check_world(Gridworld())
    with pytest.raises(ValueError, match=r"^no seed 4; there are: 3, 5"):
        Policy(path=run, seed=4).check_world(CartPole())
    with pytest.raises(ValueError, match=r"^no which 'first'; there are: best, last"):
        Policy(path=run, which="first")  # type: ignore[arg-type]
    (tmp_path / "policy.cur").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"policy\.cur is not a policy: it is no"):
        Policy(path=str(tmp_path / "policy.cur")).check_world(CartPole())
    trained = Policy(path=str(finished / "seed5" / "policy-best.cur"))
    with pytest.raises(ValueError, match=r"has 2 discrete actions, \S+ has 3 discrete"):
        trained.check_world(Tripled())
    file = saved(tmp_path / "linear.safetensors", np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"gives 3 numbers, \S+ has 2 discrete act"):
        Policy(path=file).check_world(CartPole())
    with pytest.raises(ValueError, match=r"does not fit \S+: an observation has 4 num"):
        Policy(path=file).check_world(Pendulum())


def test_code_that_a_run_names_is_not_run_untrusted(finished, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    settings = (finished / "config.yaml").read_text()
    settings = settings.replace("learner: dqn", "learner: evil.py")
    (folder / "config.yaml").write_text(settings)
    with pytest.raises(ValueError, match=r"^learner: .evil.py. in the settings"):
        Policy(path=str(folder)).check_world(CartPole())
