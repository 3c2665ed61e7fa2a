"""The explorer: a second learner that is paid for novelty, and resumes exactly."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curriculum import contract
from curriculum.bonuses.counts import Counts
from curriculum.contract.batches import random_batch
from curriculum.decays.constant import Constant
from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.envs.pendulum import Pendulum
from curriculum.envs.pointmass import Pointmass
from curriculum.learners.dqn import DQN
from curriculum.planners.explorer import Explorer
from curriculum.run import checkpoint
from curriculum.run.fitting import require_learner_fits
from curriculum.run.loop import train
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Record, stream

SMALL = ("hidden=[16]",)
WORLD = Pointmass(maze="medium")
SEEDS = (0, 1)


def ready(world: Any = WORLD, **fields: Any) -> tuple[Explorer, NativeRows]:
    rows = world.rows([stream(seed, "environment") for seed in SEEDS], 3)
    rows.reset()
    explorer = Explorer(learner_settings=SMALL, **fields)
    return explorer.setup(rows, spec_of(world), SEEDS), rows


def small(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "env": WORLD,
        "planner": Explorer(learner_settings=SMALL),
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Expert(size=64),
        "decay": Constant(value=0.5),
        "steps": 160,
        "log_every": 40,
        "eval_every": 80,
        "eval_episodes": 2,
        "checkpoint_every": 40,
    }
    return Config(**(defaults | changes))


@pytest.mark.parametrize(
    ("world", "bonus"), [(WORLD, "rnd"), (WORLD, "counts"), (Pendulum(), "ensemble")]
)
def test_an_explorer_that_learns_keeps_the_contract_of_planners(world, bonus):
    explorer = Explorer(bonus=bonus, learner_settings=SMALL)
    report = contract.check_planner(explorer, world, steps=8)
    assert report.needs == "observation"


@pytest.mark.parametrize(
    ("unsupervised", "centered", "expected"),
    [
        (False, False, [3.5, 0.5]),
        (True, False, [4.5, 1.5]),
        # no cell is rarer than the others: only the reward is paid
        (False, True, [-1.0, -1.0]),
    ],
)
def test_it_is_paid_weight_times_the_bonus_beside_the_reward(
    unsupervised, centered, expected
):
    """With a discount of 0 the value of an action is what it is paid."""
    explorer, _ = ready(
        bonus="counts",
        bonus_settings=("coef=3",),
        weight=1.5,
        unsupervised=unsupervised,
        centered=centered,
        learning_rate=0.05,
    )
    assert isinstance(explorer.novelty, Counts)
    explorer.novelty.visits[:] = [[1], [9]]  # bonuses of 3 and of 1, also late in a run
    found = random_batch(spec_of(WORLD), SEEDS, 0)
    batch = found._replace(
        reward=torch.full_like(found.reward, -1.0),
        discount=torch.zeros_like(found.discount),
    )
    for _ in range(100):
        explorer.observe(batch, 50_000, np.ones(2, bool))
    values = explorer.own.action_value(found.obs.numpy(), found.action.numpy())
    np.testing.assert_allclose(values.mean(1), expected, atol=0.1)


def test_a_seed_that_has_not_learnt_acts_at_random_and_one_that_has_by_its_values():
    explorer, rows = ready(exploration=0.0)
    learnt = np.array([False, True])
    explorer.observe(random_batch(spec_of(WORLD), SEEDS, 0), 0, learnt)
    everyone = np.arange(rows.count)
    actions = np.array([explorer.act(rows.obs, everyone) for _ in range(200)])
    shares = np.bincount(actions[:, :3].ravel(), minlength=5) / 600
    np.testing.assert_allclose(shares, 0.2, atol=0.06)
    every = np.broadcast_to(rows.obs[:1], (2, 3, 2))
    assert (actions[:, 3:] == explorer.own.act(every)[1]).all()


def test_a_start_of_an_explorer_is_random_play_and_teaches_it_then():
    run = Run(small(start=Expert(size=400), offline_updates=8, eval_mixed=False))
    assert run.collector
    run.reset()
    run.fill()
    [batch] = run.buffer.sample(2_000, 0.99)
    share = torch.bincount(batch.action[0], minlength=5) / 2_000
    np.testing.assert_allclose(share, 0.2, atol=0.08)
    run.take_updates()
    planner = run.collector.planner
    assert isinstance(planner, Explorer)
    assert planner.learnt.tolist() == [8]
    assert planner.novelty.state()["networks"]["updates"] == 8
    run.close()


def values_of(records: list[Record], kind: str) -> dict[str, np.ndarray]:
    return next(r.values for r in reversed(records) if r.kind == kind)


def test_the_learner_is_the_same_as_without_an_explorer_that_never_acts(
    tmp_path: Path,
):
    policies, values = [], []
    for name in ("explorer", "random"):
        config = small(start="none", decay=Constant(value=0.0), steps=96)
        if name == "random":
            config.planner = "random"
        records = list(train(config, tmp_path / name))
        policies.append((tmp_path / name / "seed0/policy-last.cur").read_bytes())
        values.append(values_of(records, "update"))
    assert policies[0] == policies[1]
    learned = {tag for tag in values[0] if tag.startswith("planner/")}
    assert {"planner/loss_q", "planner/bonus_mean"} <= learned
    assert values[0].keys() - learned == values[1].keys()


def test_a_run_says_what_its_explorer_costs_and_scores_nothing_against_it():
    records = list(train(small(seeds=SEEDS)))
    times = values_of(records, "time")
    assert (times["planner/learn_ms"] > 0).all()
    assert (times["planner/learn_seconds_total"] > 0).all()
    assert (values_of(records, "collect")["planner/calls_total"] > 0).all()
    assert values_of(records, "baseline").keys() == {"eval/random_reward"}
    final = values_of(records, "final")
    assert final["final/trained_planner_reward"].shape == (2,)
    assert "final/planner_reward" not in final
    assert np.isnan(final["final/last_score"]).all()
    assert np.isfinite(values_of(records, "evaluate")["eval_mixed/mean_reward"]).all()


def test_evaluations_ask_a_copy_of_the_explorer_as_it_is_now():
    run = Run(small())
    assert run.collector
    planner = run.collector.planner
    assert planner
    run.reset()
    run.fill()
    for _ in range(4):
        run.take_step()
    before = json.dumps(planner.state()["generators"])
    first, second = (
        run.evaluator.evaluate_mixed(np.ones(1), run.step) for _ in range(2)
    )
    assert first["eval_mixed/mean_reward"] == second["eval_mixed/mean_reward"]
    assert json.dumps(planner.state()["generators"]) == before
    run.close()


def numbers(records: list[Record]) -> str:
    """Records as text, without those that hold wall-clock times."""
    return json.dumps(
        [
            (r.kind, r.step, {tag: v.tolist() for tag, v in r.values.items()})
            for r in records
            if r.kind != "time"
        ]
    )


def digest(folder: Path) -> str:
    newest = checkpoint.newest(folder / "checkpoints")[0]
    return hashlib.sha256((newest / "arrays.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("bonus", "changes"),
    [
        ("rnd", {"offline_updates": 16}),
        pytest.param("counts", {"freeze_buffer_after": 56}, marks=pytest.mark.slow),
        pytest.param(
            "ensemble",
            {"env": Pendulum(max_steps=40), "learner": "sac", "engine": "native"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_with_an_explorer_killed_anywhere_resumes_byte_for_byte(
    tmp_path: Path, bonus: str, changes: dict[str, Any]
):
    explorer = Explorer(bonus=bonus, learner_settings=SMALL)
    small_run = {"steps": 96, "log_every": 24, "eval_every": 48, "checkpoint_every": 24}
    config = small(seeds=SEEDS, planner=explorer, **small_run, **changes)
    whole = list(train(config, tmp_path / "whole"))
    rng = np.random.default_rng(len(bonus))
    folder = tmp_path / "killed"
    written: list[Record] = []
    newest: Path | None = None
    for killed_after in (*rng.integers(3, len(whole) // 2, 2).tolist(), None):
        known = checkpoint.read(newest)["run"]["records"] if newest else 0
        records = itertools.islice(train(config, folder, newest), killed_after)
        written = [*written[:known], *records]
        newest = next(iter(checkpoint.newest(folder / "checkpoints")), None)
    assert numbers(written) == numbers(whole)
    assert digest(folder) == digest(tmp_path / "whole")


def test_a_seed_alone_explores_and_learns_as_among_others():
    together = list(train(small(seeds=(0, 1), steps=80)))
    alone = list(train(small(seeds=(1,), steps=80)))
    for kind in ("update", "collect"):
        among, own = values_of(together, kind), values_of(alone, kind)
        for tag, value in own.items():
            np.testing.assert_allclose(among[tag][1], value[0], rtol=1e-4, err_msg=tag)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bonus": "rdn"}, "no bonus 'rdn'; there are.*perhaps you meant rnd"),
        ({"bonus_settings": ("width=a",)}, "the setting width is of type int"),
        ({"learner_settings": ("n_step=3",)}, "give --learner.n-step"),
        ({"learner_settings": ("label_weight=1",)}, "has no use for label_weight"),
        ({"learner_settings": ("exploration=1",)}, "give --planner.exploration"),
        ({"learner": "calql"}, "learns from mc_return; choose"),
        ({"learner": "edac"}, "EDAC takes box actions, this world's are discrete"),
    ],
)
def test_what_an_explorer_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Explorer(**fields).check_world(Pointmass())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay": "performance"}, "--decay performance moves on scores"),
        ({"rollback": 0.1}, "--rollback compares scores"),
    ],
)
def test_what_needs_a_score_is_refused_beside_an_explorer(changes, message):
    with pytest.raises(ValueError, match=message):
        require_learner_fits(small(**changes))


def test_a_world_does_not_suggest_to_imitate_an_explorer():
    settled = Config(env=WORLD, planner="shortest_path")
    assert (settled.offline_updates, settled.learner.label_weight) == (2_000, 1.0)
    exploring = Config(env=WORLD, planner="explorer")
    assert (exploring.offline_updates, exploring.learner.label_weight) == (0, 0.0)
