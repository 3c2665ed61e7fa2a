"""A seed whose numbers are no longer finite stops at its last good state, and nobody
else notices."""

from typing import Any

import numpy as np
import pytest
import torch

from curriculum import train as command
from curriculum.envs._base.spec import spec_of
from curriculum.learners.bc import BC
from curriculum.learners.dqn import DQN
from curriculum.learners.sac import SAC
from curriculum.run.loop import advance, begin
from curriculum.run.opened import ActingPolicy
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.shipping.artefact import deployable, load, save
from curriculum.shipping.numpy_runner import require_numbers
from curriculum.starts.random import Random
from curriculum.types import Record

SICK = 1  # index of the seed that meets nan


def ready(**changes: Any) -> Run:
    """A run of three seeds before its first step."""
    settings: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Random(size=64),
        "seeds": (3, 5, 7),
        "steps": 240,
        "log_every": 80,
        "eval_every": 120,
        "eval_episodes": 2,
        "planner_episodes": 2,
        "eval_mixed": False,
    }
    run = Run(Config(**(settings | changes)))
    list(begin(run))
    return run


def go_to(run: Run, step: int) -> None:
    while run.step < step:
        list(advance_once(run))


def advance_once(run: Run) -> list[Record]:
    run.take_step()
    return list(begin(run))  # what is due


def poison(run: Run, index: int = SICK) -> None:
    run.learner.nets["q"].weights.blocks[0][index] = torch.nan


def weights_of(run: Run, index: int) -> list[torch.Tensor]:
    blocks = run.learner.nets["q"].weights.blocks
    return [block[index].detach().clone() for block in blocks]


def test_healthy_seeds_end_as_in_a_run_without_trouble(capsys: Any):
    sick, sound = ready(), ready()
    go_to(sick, 96)
    poison(sick)
    records = list(advance(sick))
    list(advance(sound))
    for index in (0, 2):
        for mine, expected in zip(
            weights_of(sick, index), weights_of(sound, index), strict=True
        ):
            assert torch.equal(mine, expected)
    assert "seed 5 was stopped: numbers of 'net/q' are not finite" in (
        capsys.readouterr().err
    )
    final = records[-1].values
    assert final["final/stopped"].tolist() == [False, True, False]
    assert np.isfinite(final["final/last_mean_reward"]).all()
    assert np.isfinite(final["final/best_mean_reward"]).all()


def test_a_stopped_seed_returns_to_its_last_good_weights_and_reports_nan():
    run = ready()
    go_to(run, 80)  # checked here
    good = weights_of(run, SICK)
    go_to(run, 96)
    poison(run)
    records = list(advance(run))
    for mine, expected in zip(weights_of(run, SICK), good, strict=True):
        assert torch.equal(mine, expected)
    update = next(r for r in reversed(records) if r.kind == "update").values
    assert np.isnan(update["train/loss"]).tolist() == [False, True, False]
    evaluation = next(r for r in reversed(records) if r.kind == "evaluate").values
    assert np.isnan(evaluation["eval/mean_reward"]).tolist() == [False, True, False]


def test_weights_that_are_not_finite_never_become_the_best():
    run = ready()
    go_to(run, 112)
    poison(run)
    go_to(run, 120)  # evaluated here
    best = run.scores.best["net/q"]
    assert best.isfinite().all()


def test_an_infinite_loss_stops_a_seed():
    learner = ready().learner
    assert learner.problems() == {}
    learner.last_losses["q"] = torch.tensor([0.0, torch.inf, 1.0])
    assert learner.problems() == {1: "its loss 'q' is infinite"}


def test_infinity_in_any_weights_of_a_seed_is_found():
    learner = ready().learner
    for weights in learner.weights.members.values():
        before = weights.vector.clone()
        weights.blocks[-1][2].view(-1)[-1] = -torch.inf
        assert list(learner.problems()) == [2]
        weights.vector.copy_(before)
    assert learner.problems() == {}


def test_a_run_ends_once_every_seed_was_stopped():
    run = ready()
    for index in range(3):
        poison(run, index)
    with pytest.raises(ValueError, match="every seed was stopped; seed 3: numbers of"):
        go_to(run, 80)


def test_offline_updates_are_checked_too():
    run = ready(offline_updates=40)
    poison(run)
    while run.updates < 40:
        run.take_updates()
    assert run.health.healthy.tolist() == [True, False, True]
    assert weights_of(run, SICK)[0].isfinite().all()


def test_a_checkpoint_remembers_who_was_stopped_and_the_last_good_state():
    run = ready()
    go_to(run, 80)
    poison(run)
    go_to(run, 160)
    other = ready()
    other.load(run.state())
    assert other.health.problems.keys() == {5}
    poison(other)
    other.trainer.check()
    for mine, expected in zip(
        weights_of(other, SICK), weights_of(run, SICK), strict=True
    ):
        assert torch.equal(mine, expected)


def test_the_command_ends_with_a_sentence_that_names_stopped_seeds():
    config = Config(seeds=(3, 5))
    command._require_healthy(config, {"final": {"final/stopped": [0, 0]}})
    with pytest.raises(ValueError, match="seeds that were stopped: 5;"):
        command._require_healthy(config, {"final": {"final/stopped": [0, 1]}})


def test_a_policy_refuses_an_observation_that_is_not_a_number(tmp_path):
    run = ready(env="cartpole", learner=BC(hidden=(4,)))
    module = run.learner.export(0)
    policy = ActingPolicy(module, run.spec)
    save(deployable(module), tmp_path / "p.safetensors")
    forward = load(tmp_path / "p.safetensors")
    obs = np.zeros((2, 4), np.float32)
    assert policy.act(obs).shape == (2,)
    assert forward(obs).shape == (2, 2)
    obs[1, 2] = np.nan
    for act in (policy.act, forward):
        with pytest.raises(ValueError, match="gives numbers that are not finite"):
            act(obs)
        with pytest.raises(ValueError, match="gives numbers that are not finite"):
            act(obs[1])


def test_a_policy_with_broken_weights_refuses_to_act():
    run = ready(env="cartpole", learner=BC(hidden=(4,)))
    module = run.learner.export(0)
    with torch.no_grad():
        list(module.parameters())[-1].fill_(torch.inf)
    with pytest.raises(ValueError, match="gives numbers that are not finite"):
        ActingPolicy(module, run.spec).act(np.zeros(4, np.float32))


def test_large_finite_scores_are_no_fault():
    # whose squares are infinite
    require_numbers(np.full((2, 3), 1e30, np.float32))


# --- settings that lead there ---


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": np.inf},
        {"learning_rate": np.nan},
        {"learning_rate": 1e30},
        {"reward_scale": np.inf},
        {"reward_scale": 1e30},
        {"grad_clip": np.nan},
        {"n_step": 10**9},
        {"batch_size": 10**9},
    ],
)
def test_settings_that_overflow_are_refused(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name} must be"):
        DQN(**setting)


@pytest.mark.parametrize("updates", [np.inf, 1e30, np.nan])
def test_endless_updates_are_refused(updates):
    with pytest.raises(ValueError, match="updates_per_step must be"):
        Config(updates_per_step=updates)


@pytest.mark.parametrize("name", ["batch_size", "n_step"])
def test_an_update_needs_no_more_than_the_buffer_holds(name):
    flag = name.replace("_", "-")
    with pytest.raises(ValueError, match=f"lower --learner.{flag} or raise --capacity"):
        Run(
            Config(
                learner=plugins.make("learner", "dqn", **{name: 2_000}), capacity=1_999
            )
        )


def test_the_target_entropy_of_rlpd_is_half_of_that_of_sac():
    entropy = torch.full((1, 4), -0.5)
    temperature = torch.ones(1)
    # an action of one number: the targets are -1 and -1/2
    for scale, expected in ((1.0, 0.5), (0.5, 0.0)):
        learner = SAC(hidden=(4,), critics=2, target_entropy_scale=scale)
        learner.setup(spec_of(plugins.make("env", "pendulum")), (0,))
        loss = learner.temperature_loss(entropy, temperature)
        assert loss.tolist() == [expected]


def test_a_range_of_returns_needs_a_start():
    learner = DQN(hidden=(4,), return_range=True)
    with pytest.raises(ValueError, match="this one is empty"):
        Run(Config(learner=learner, start="none"))


def test_a_start_without_a_range_of_returns_is_announced(capsys: Any):
    learner = DQN(hidden=(4,), batch_size=16, return_range=True)
    ready(learner=learner, start=Random(size=8), seeds=(3,))
    said = capsys.readouterr().err
    assert "seed 3: rewards are not scaled by the range of returns" in said
