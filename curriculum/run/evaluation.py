"""Play episodes on shared evaluation seeds: the learner alone, the mixture, a planner,
anything that acts."""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.actions import scale_actions
from curriculum.envs._base.native import Grid
from curriculum.learning.learner import Learner
from curriculum.report import statistics
from curriculum.run.mixture import Mixture
from curriculum.types import Gate, Planner, Rows, Spec, World, stream

# steps after which an evaluation episode of a world without a time limit is stopped
FREE_RUN = 1_000


class Episodes(NamedTuple):
    """What finished episodes brought, in order of their seeds."""

    reward: np.ndarray  # [..., N] undiscounted return
    length: np.ndarray  # [..., N] steps
    success: np.ndarray  # [..., N] 0 or 1, nan where the world does not tell


def play(act: Callable[[np.ndarray, np.ndarray], np.ndarray], rows: Rows) -> Episodes:
    """Play one episode in every row: `act(obs [n, *O], rows [n])` gives the actions of
    the rows still playing."""
    obs = rows.reset()
    reward, length = np.zeros(rows.count), np.zeros(rows.count, np.int64)
    success, playing = np.zeros(rows.count), np.ones(rows.count, bool)
    action = np.zeros(
        (rows.count, *(rows.single_action_space.shape or ())),
        rows.single_action_space.dtype,
    )
    for _ in range(rows.world.max_steps or FREE_RUN):
        now = np.flatnonzero(playing)
        action[now] = act(obs[now], now)
        obs, gained, terminated, truncated, _, succeeded = rows.step(action)
        reward[now] += gained[now]
        length[now] += 1
        success[now] = succeeded[now]
        playing &= ~(terminated | truncated)
        if not playing.any():
            break
        rows.rest(~playing)
    return Episodes(
        reward,
        length,
        success if rows.world.has_success else success * np.nan,
    )


def evaluation_rows(world: World, episodes: Sequence[int], copies: int = 1) -> Rows:
    """One row for every episode seed, the whole set `copies` times over: each learner
    meets the same episodes.

    A world that is measured otherwise than it is trained in (without clipped rewards,
    say) has `evaluated()`."""
    return world.evaluated().rows(
        [stream(e, "evaluation") for _ in range(copies) for e in episodes]
    )


def play_planner(
    planner: Planner, world: World, spec: Spec, episodes: Sequence[int]
) -> Episodes:
    """What a planner achieves, [N]."""
    rows = evaluation_rows(world, episodes)
    return play(copy.deepcopy(planner).setup(rows, spec, (0,)).act, rows)


def play_learner(learner: Learner, world: World, episodes: Sequence[int]) -> Episodes:
    """What every seed's learner achieves alone, [P, N]."""
    shape = (len(learner.seeds), len(episodes))
    rows = evaluation_rows(world, episodes, copies=shape[0])

    def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
        return _in_rows(learner.act(rows.obs.reshape(*shape, *rows.obs.shape[1:])))[now]

    return Episodes(*(x.reshape(shape) for x in play(act, rows)))


def play_mixed(
    learner: Learner,
    planner: Planner,
    gate: Gate,
    rate: np.ndarray,
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    step: int,
    deadline_ms: float = 0.0,
) -> tuple[Episodes, np.ndarray]:
    """What learner and planner achieve together at planning rates [P], as [P, N], and
    the planner calls used, [P]."""
    shape = (len(learner.seeds), len(episodes))
    rows = evaluation_rows(world, episodes, copies=shape[0])
    planner = copy.deepcopy(planner).setup(rows, spec, learner.seeds)
    gate, coins = copy.deepcopy(gate), f"mixed evaluation {step}"
    mixture = Mixture(
        planner, learner, gate, learner.seeds, shape[1], coins, deadline_ms=deadline_ms
    )

    def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
        together = rows.obs.reshape(*shape, *rows.obs.shape[1:])
        playing = np.isin(np.arange(rows.count), now).reshape(shape)
        return _in_rows(
            mixture.act(together, rows.time.reshape(shape), rate, False, playing)[0]
        )[now]

    played = Episodes(*(x.reshape(shape) for x in play(act, rows)))
    return played, mixture.calls


def _in_rows(action: np.ndarray) -> np.ndarray:
    """Actions [P, E] or [P, E, A] of rows in order of seeds, [N] or [N, A]."""
    return action.reshape(-1, *action.shape[2:])


def summary(episodes: Episodes, floor: float, ceiling: float) -> dict[str, np.ndarray]:
    """Figures of [P, N] episodes, [P] each; `floor` and `ceiling` are the returns of
    random play and of the planner."""
    low, high = statistics.bootstrap(
        episodes.reward, statistics.iqm, stream(0, "bootstrap")
    )
    return {
        "mean_reward": episodes.reward.mean(-1),
        "mean_ep_length": episodes.length.mean(-1),
        "success_rate": episodes.success.mean(-1),
        "score": score(episodes.reward, floor, ceiling).mean(-1),
        "iqm_reward": statistics.iqm(episodes.reward),
        "iqm_reward_low": low,
        "iqm_reward_high": high,
    }


def score(reward: np.ndarray, floor: float, ceiling: float) -> np.ndarray:
    """Returns on a scale from 0 (random play) to 1 (the planner); nan where the planner
    is no better than that."""
    return (
        (reward - floor) / (ceiling - floor)
        if ceiling > floor
        else np.full(reward.shape, np.nan)
    )


def maps(learner: Learner, world: Grid) -> dict[str, np.ndarray]:
    """For a world of cells: what each is worth, [P, rows, columns], and where the
    learner goes, [..., 2]."""
    states = world.states()
    obs = np.stack([world.observe(states)] * len(learner.seeds))
    value, action = learner.value(obs), learner.act(obs)  # [P, S]
    cell, seeds = world.cell(states), np.arange(len(action))[:, None]
    value_sum, moved = (
        np.zeros((len(action), *world.cells)),
        np.zeros((len(action), *world.cells, 2)),
    )
    row, column = np.divmod(cell, world.cells[1])
    np.add.at(value_sum, (seeds, row, column), value)
    for p in range(len(action)):
        after = world.cell(
            world.step(
                states, scale_actions(action[p], world.action_space), stream(0, "maps")
            )[0]
        )
        np.add.at(
            moved[p],
            (row, column),
            np.stack(np.divmod(after, world.cells[1]), -1)
            - np.stack([row, column], -1),
        )
    count = np.bincount(cell, minlength=int(np.prod(world.cells))).reshape(world.cells)
    value = np.where(world.walls, np.nan, value_sum / count)
    return {"value": value, "arrow": moved / count[..., None]}
