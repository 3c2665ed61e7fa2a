"""The phases of a run: what is announced, in which order, and how much there is."""

from typing import NamedTuple

import numpy as np
import pytest

from curriculum.activity import Phase, listening
from curriculum.learners.dqn import DQN
from curriculum.planners.mcts import MCTS
from curriculum.planners.shortest_path import ShortestPath
from curriculum.run import advice, evaluation
from curriculum.run.loop import train
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.starts.random import Random

CONFIG = Config(
    learner=DQN(hidden=(16,), batch_size=16),
    start=Expert(size=30),
    steps=80,
    eval_every=80,
    eval_episodes=4,
    eval_mixed=False,
    planner_episodes=3,
    offline_updates=40,
    techniques=("quantize",),
    seeds=(0, 1),
)


class Seen(NamedTuple):
    """A phase as it was when it began or ended."""

    name: str
    total: float
    unit: str


def phases_of(config: Config) -> tuple[list[Seen], list[Phase]]:
    """The phases of a run in the order in which they began, and all of them, ended."""
    began: list[Seen] = []
    ended: list[Phase] = []
    known: set[Phase] = set()

    def show(current: Phase) -> None:
        if current not in known:
            known.add(current)
            began.append(Seen(current.name, current.total, current.unit))
        if current.finished:
            ended.append(current)

    with listening(show):
        list(train(config))
    return began, ended


def test_the_phases_of_a_run_are_announced_in_order_with_their_totals():
    began, ended = phases_of(CONFIG)
    assert began == [
        Seen("setup", 0, ""),
        Seen("random play", 4, "episodes"),
        Seen("planner", 3, "episodes"),
        Seen("start", 32, "transitions"),  # 30, rounded up to steps of 8 rows
        Seen("evaluation", 8, "episodes"),  # 4 of each of two seeds
        Seen("offline", 40, "updates"),
        Seen("evaluation", 8, "episodes"),
        Seen("online", 80, "steps"),
        Seen("evaluation", 8, "episodes"),
        Seen("compression", 2, "seeds"),
        *[
            Seen("compress", 1, "techniques"),
            *[Seen("evaluation", 4, "episodes")] * 2,  # fp32 and int8
            Seen("latency", 10, "rounds"),
        ]
        * 2,  # of each seed
        Seen("random play", 4, "episodes"),
        Seen("planner", 3, "episodes"),
        *[Seen("evaluation", 8, "episodes")] * 2,  # the best policy and the last
    ]
    assert len(ended) == len(began)
    for current in ended:
        assert current.done == current.total, current
        assert current.share == pytest.approx(1 if current.total else 0), current


def test_every_phase_names_flags_that_make_it_shorter():
    _, ended = phases_of(CONFIG)
    hints = {current.name: current.hint for current in ended}
    assert hints == {
        "setup": "",
        "random play": "--eval-episodes",
        "planner": "--planner.episodes",
        "start": "--start.size",
        "offline": "--offline-updates",
        "evaluation": "--eval-episodes",
        "online": "--steps",
        "compression": "--techniques or --eval-episodes",
        "compress": "--techniques",
        "latency": "--techniques",
    }


def test_advice_names_the_fields_that_make_a_search_slow():
    assert advice.planner(MCTS()) == (
        "--planner.episodes or --planner.simulations or --planner.rollouts"
    )
    assert advice.start(Random(), MCTS()) == "--start.size"
    assert advice.start(Expert(), ShortestPath()) == "--start.size"
    assert advice.mixed(ShortestPath()) == "--eval-episodes"


@pytest.mark.parametrize("chance", [0.0, 0.02])
def test_the_share_of_an_evaluation_is_a_true_estimate(chance: float):
    """Episodes of 200 steps at most that end at each step with the same chance."""
    episodes = 400
    limit = 200
    rng = np.random.default_rng(0)
    lengths = np.full(episodes, limit)
    if chance:
        lengths = np.minimum(rng.geometric(chance, episodes), limit)
    total = lengths.sum()
    for time in (10, 30, 100):
        played = int(np.minimum(lengths, time).sum())
        over = int((lengths <= time).sum())
        share = evaluation._share(episodes, over, played, limit - time)
        assert share == pytest.approx(played / total, rel=0.1)
