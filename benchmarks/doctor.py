"""What the data doctor advises, against what learners reach on the same data.

    python benchmarks/doctor.py OUT --updates 4000

Makes data sets of five tiers in three worlds, trains cloning and reinforcing learners
on each, and compares their last policies, three seeds of 40 episodes. OUT keeps the
data sets and one line of `truth-UPDATES.jsonl` for each; what is there already is not
made again. Takes about eight minutes of one core.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from curriculum import collect
from curriculum.data import doctor
from curriculum.data.dataset import DataSet
from curriculum.envs._base.spec import spec_of
from curriculum.run.evaluation import final_episodes, play_planner
from curriculum.run.loop import train
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.dataset import Dataset

WORLDS = {  # name -> planner, reinforcing learners
    "gridworld": ("shortest_path", ("iql", "cql")),
    "pointmass": ("shortest_path", ("iql", "cql")),
    "pendulum": ("swing_up", ("iql",)),
}
LEARNERS = ("bc", "iql", "cql")
TIERS = ("random", "medium-replay", "medium-expert", "expert", "medium")
TRANSITIONS = 5_000
SEEDS = (0, 1, 2)
NETWORK = {"hidden": (64, 64), "batch_size": 64, "polyak": 0.02}
# the temperature of iql is per unit of return, and pendulum returns -1,200
REWARD_SCALE = {"pendulum": 0.1}
TIE = 0.05  # scores that differ by less are equal
EPISODES = 40  # of the final evaluation
NEVER = 10**9


def main() -> None:
    """Make the data sets, train on them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--updates", type=int, default=4_000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"truth-{options.updates}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    truths = {line["data"]: line for line in map(json.loads, lines)}
    for tier in TIERS:
        for world in WORLDS:
            folder = options.out / f"{world}-{tier}"
            if folder.name not in truths:
                truth = measure(world, tier, folder, options.updates)
                truths[folder.name] = truth
                with file.open("a") as opened:
                    opened.write(json.dumps({"data": folder.name, **truth}) + "\n")
            print(row(folder, truths[folder.name]), flush=True)


def measure(world: str, tier: str, folder: Path, updates: int) -> dict[str, Any]:
    """Returns of the learners on one data set, of random play and of the planner."""
    planner, reinforcing = WORLDS[world]
    if not folder.exists():
        words = ["make", str(folder), "--env", world, "--planner", planner]
        words += ["--tier", tier, "--transitions", str(TRANSITIONS)]
        collect.main(words)
    truth: dict[str, Any] = {"planner": planner_return(world, planner)}
    for learner in ("bc", *reinforcing):
        final = reach(world, learner, folder, updates)
        truth["random"] = float(final["final/random_reward"][0])
        truth[learner] = final["final/last_mean_reward"].tolist()
    return truth


def planner_return(env: str, name: str) -> float:
    """The planner's mean return on the episodes of the final evaluation."""
    world = plugins.make("env", env)
    planner = plugins.make("planner", name)
    episodes = final_episodes(EPISODES)
    return float(play_planner(planner, world, spec_of(world), episodes).reward.mean())


def reach(
    world: str, learner: str, folder: Path, updates: int
) -> dict[str, np.ndarray]:
    """The final record of a learner that trains on a data set."""
    scale = REWARD_SCALE.get(world, 1.0)
    config = Config(
        env=world,
        learner=plugins.make("learner", learner, reward_scale=scale, **NETWORK),
        start=Dataset(path=str(folder)),
        seeds=SEEDS,
        offline_updates=updates,
        steps=0,
        eval_every=NEVER,
        log_every=updates,
        checkpoint_every=NEVER,
        eval_episodes=EPISODES,
        eval_mixed=False,
    )
    *_, last = train(config)
    return last.values


def row(folder: Path, truth: dict[str, Any]) -> str:
    """One line of the table: the advice, the scores, and whether it was right."""
    found = doctor.examine(DataSet(folder))
    width = truth["planner"] - truth["random"]
    scores = {}
    for name in [name for name in LEARNERS if name in truth]:
        score = (np.array(truth[name]) - truth["random"]) / width
        scores[name] = float(score.mean())
    best = max(score for name, score in scores.items() if name != "bc")
    gain = best - scores["bc"]
    verdict = "tie"
    if abs(gain) >= TIE:
        better = "reinforce" if gain > 0 else "clone"
        verdict = "right" if found.advice == better else "wrong"
    cells = [folder.name, f"{found.predictability:.2f}", found.advice]
    for name in LEARNERS:
        cells.append(f"{scores[name]:.2f}" if name in scores else "")
    cells.append(verdict)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
