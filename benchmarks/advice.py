"""What `mppi` gains from the learner's value at a third of its horizon.

    python benchmarks/advice.py pendulum --steps 8000
    python benchmarks/advice.py hopper --steps 2000 --episodes 1 --samples 8

In `pendulum` `sac` trains alone for `--steps` steps in every seed. In `hopper` `iql`
takes `--steps` updates on 4,000 transitions of the policy that comes with the package,
with noise of 0.3; episodes of evaluations are cut after 200 steps. Then the planner
plays the final episodes: alone with a long horizon, alone with a third of it and three
times as many samples, and with a third of it, the learner's value and plans of its
policy. All arms meet the same episodes. Milliseconds are wall time of a decision for
one row among those of all seeds; samples are chosen so that they are about equal.
"""

import argparse

import numpy as np

from curriculum.decays.constant import Constant
from curriculum.planners.mppi import MPPI
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.evaluation import final_episodes, play_learner, play_mixed
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.starts.random import Random


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", choices=("pendulum", "hopper"))
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--horizon", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    run = TRAINED[given.world](given.steps, tuple(given.seeds))
    assert run.collector
    advisor = run.collector.mixture.advisor
    assert advisor
    advisor.freeze()
    print(
        "skill",
        advisor.verdict.skill.round(2),
        "trust",
        advisor.trust.round(2),
        flush=True,
    )
    episodes = final_episodes(given.episodes)
    played = play_learner(run.learner, run.world, episodes)
    show("learner alone", played.reward, "")
    long = given.horizon
    short = long // 3
    few = given.samples
    many = 3 * few
    arms: dict[str, MPPI] = {
        f"alone, {few} x {long}": MPPI(samples=few, horizon=long),
        f"alone, {many} x {short}": MPPI(samples=many, horizon=short),
    }
    fewer = many - 12  # what plans of the policy cost
    for trust in (1.0, "auto"):
        arms[f"trust {trust}, {fewer} x {short}"] = MPPI(
            samples=fewer,
            horizon=short,
            trust=trust,  # type: ignore[arg-type]
        )
    rate = np.ones(len(given.seeds))
    for name, planner in arms.items():
        gate = plugins.make("gate", "step")
        played, use = play_mixed(
            run.learner,
            planner,
            gate,
            rate,
            run.world,
            run.spec,
            episodes,
            step=0,
            verdict=advisor.verdict,
        )
        seconds = (use.seconds, use.simulator_seconds, use.advice_seconds)
        parts = [f"{1000 * part.sum() / use.calls.sum():.2f}" for part in seconds]
        show(name, played.reward, "ms {} (simulator {}, learner {})".format(*parts))
    run.close()


def pendulum(steps: int, seeds: tuple[int, ...]) -> Run:
    """A run in which `sac` has trained alone."""
    config = Config(
        env="pendulum",
        planner=MPPI(trust="auto"),
        learner=plugins.make("learner", "sac", critics=2, hidden=(64, 64)),
        start=Random(size=1_000),
        decay=Constant(value=0.0),
        steps=steps,
        seeds=seeds,
        rows=1,
        updates_per_step=1.0,
    )
    run = Run(config)
    run.reset()
    run.fill()
    run.fit_normalizer()
    while run.step < steps:
        run.take_step()
        run.pending.clear()
    return run


def hopper(updates: int, seeds: tuple[int, ...]) -> Run:
    """A run in which `iql` has learnt from the policy of the package."""
    config = Config(
        env=plugins.make("env", "gym", id="Hopper-v5", time_limit=200),
        planner=plugins.make("planner", "policy", path="hopper-v5"),
        learner=plugins.make("learner", "iql", hidden=(128, 128)),
        start=Expert(size=4_000, noise=0.3),
        offline_updates=updates,
        steps=0,
        seeds=seeds,
        rows=2,
    )
    run = Run(config)
    assert run.collector
    # this planner does not ask: the advisor only sees what is played
    advisor = LearnerAdvisor(run.learner, run.spec, config.rows, run.world.max_steps)
    run.collector.mixture.advisor = advisor
    run.reset()
    run.fill()
    run.fit_normalizer()
    while run.updates < updates:
        run.take_updates()
        run.pending.clear()
    return run


TRAINED = {"pendulum": pendulum, "hopper": hopper}


def show(name: str, reward: np.ndarray, cost: str) -> None:
    """Print mean returns [P, N] of an arm, and those of every seed."""
    of_seeds = reward.mean(1)
    numbers = " ".join(f"{number:.0f}" for number in of_seeds)
    spread = of_seeds.std(ddof=1) if len(of_seeds) > 1 else 0.0
    print(
        f"{name:34} {reward.mean():8.1f} sd {spread:6.1f} ({numbers}) {cost}",
        flush=True,
    )


if __name__ == "__main__":
    main()
