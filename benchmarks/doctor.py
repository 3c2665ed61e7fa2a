"""What the data doctor advises, against what learners reach on the same data.

    python benchmarks/doctor.py OUT

Makes data sets of five tiers in three worlds, trains a cloning and a reinforcing
learner on each, and compares their last policies, three seeds of 40 episodes. OUT keeps
the data sets and one line of `truth.jsonl` for each; what is there already is not made
again. Takes five to ten minutes of one core.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from curriculum import collect
from curriculum.run.loop import train
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.dataset import Dataset

WORLDS = {  # name -> environment, planner
    "gridworld": ("gridworld", "shortest_path"),
    "pointmass": ("pointmass", "shortest_path"),
    "pendulum": ("pendulum", "swing_up"),
}
TIERS = ("random", "medium-replay", "medium-expert", "expert", "medium")
LEARNERS = ("bc", "iql")
TRANSITIONS = 5_000
UPDATES = 1_500
SEEDS = (0, 1, 2)
NETWORK = {"hidden": (64, 64), "batch_size": 64, "polyak": 0.02}
# the temperature of iql is per unit of return, and pendulum returns -1,200
REWARD_SCALE = {"pendulum": 0.1}
NEVER = 10**9


def main() -> None:
    """Make the data sets, train on them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    file = out / "truth.jsonl"
    done = file.read_text().splitlines() if file.exists() else []
    known = {json.loads(line)["data"] for line in done}
    for tier in TIERS:
        for world in WORLDS:
            name = f"{world}-{tier}"
            if name in known:
                continue
            truth = measure(world, tier, out / name)
            with file.open("a") as lines:
                lines.write(json.dumps({"data": name, **truth}) + "\n")
            print(name, truth, file=sys.stderr)


def measure(world: str, tier: str, folder: Path) -> dict[str, Any]:
    """Returns of the learners on one data set, of random play and of the planner."""
    env, planner = WORLDS[world]
    if not folder.exists():
        words = ["make", str(folder), "--env", env, "--planner", planner]
        words += ["--tier", tier, "--transitions", str(TRANSITIONS)]
        collect.main(words)
    truth: dict[str, Any] = {}
    for learner in LEARNERS:
        final = reach(env, planner, learner, folder)
        truth["random"] = float(final["final/random_reward"][0])
        truth["planner"] = float(final["final/planner_reward"][0])
        truth[learner] = final["final/last_mean_reward"].tolist()
    return truth


def reach(env: str, planner: str, learner: str, folder: Path) -> dict[str, np.ndarray]:
    """The final record of a learner that trains on a data set."""
    scale = REWARD_SCALE.get(env, 1.0)
    config = Config(
        env=env,
        planner=planner,
        learner=plugins.make("learner", learner, reward_scale=scale, **NETWORK),
        start=Dataset(path=str(folder)),
        seeds=SEEDS,
        offline_updates=UPDATES,
        steps=0,
        eval_every=NEVER,
        log_every=UPDATES,
        checkpoint_every=NEVER,
        eval_episodes=40,
        eval_mixed=False,
    )
    *_, last = train(config)
    return last.values


if __name__ == "__main__":
    main()
