"""Evaluation: one episode for every episode seed, by whoever acts.

All learners, planners and mixtures of one world play the same episodes.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.activity import Phase, phase
from curriculum.envs._base.door import Door, Stop
from curriculum.envs._base.spec import spec_of
from curriculum.learning.learner import Learner
from curriculum.report import statistics
from curriculum.run import advice
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.forecasts import Judgement
from curriculum.run.guard import Guard, set_up
from curriculum.run.mixture import Mixture
from curriculum.run.planner_use import PlannerUse
from curriculum.types import Gate, Planner, Spec, State, World, stream

# chooses actions for observations [n, *O] of the rows with indices [n]
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]
# steps after which an evaluation episode of a world without a time limit is stopped
FREE_RUN = 1_000
CLEARLY = 3.0  # standard errors by which a return is better than random play's
# first episode seed of final evaluations
FIRST_FINAL_EPISODE = 1_000_000


class Episodes(NamedTuple):
    """Finished episodes, in order of their seeds."""

    reward: np.ndarray  # [..., N] undiscounted return
    length: np.ndarray  # [..., N] steps
    success: np.ndarray  # [..., N] 0 or 1, nan where the world does not report success
    discounted: np.ndarray  # [..., N] return, by the discount of whoever acted
    # [..., N] what whoever acted expected of it at the first observation, in rewards of
    # the world; nan where it has no values
    value: np.ndarray
    counts: Mapping[str, np.ndarray]  # [..., N] what the world counts, by name

    def reshape(self, *shape: int) -> "Episodes":
        """The same episodes, in arrays of another shape."""
        return Episodes(
            reward=self.reward.reshape(shape),
            length=self.length.reshape(shape),
            success=self.success.reshape(shape),
            discounted=self.discounted.reshape(shape),
            value=self.value.reshape(shape),
            counts={name: count.reshape(shape) for name, count in self.counts.items()},
        )


def play(
    act: Callable[[np.ndarray, np.ndarray], np.ndarray],
    door: Door,
    name: str = "evaluation",
    hint: str = advice.EVALUATION,
    discount: float = 1.0,
) -> Episodes:
    """Play one episode in every row behind a door, as a phase with this name and hint.

    `act(obs, indices)` chooses actions for observations [n, *O] of the rows with
    indices [n], those that are still playing. Rows that the door stops return nan."""
    with phase(name, door.rows.count, "episodes", hint) as current:
        return _play(act, door, current, discount)


def _play(
    act: Callable[[np.ndarray, np.ndarray], np.ndarray],
    door: Door,
    current: Phase,
    discount: float,
) -> Episodes:
    rows = door.rows
    obs = door.reset()
    reward = np.zeros(rows.count)
    discounted = np.zeros(rows.count)
    length = np.zeros(rows.count, np.int64)
    success = np.zeros(rows.count)
    counted = rows.world.counts
    counts = {name: obs[:, number].astype(float) for name, number in counted.items()}
    playing = ~door.stopped
    space = rows.single_action_space
    action = np.zeros((rows.count, *(space.shape or ())), space.dtype)
    limit = rows.world.max_steps or FREE_RUN
    for time in range(limit):
        if not playing.any():
            break
        now = np.flatnonzero(playing)
        action[now] = act(obs[now], now)
        step = door.step(action)
        obs = step.obs
        reward[now] += step.reward[now]
        discounted[now] += discount**time * step.reward[now]
        length[now] += 1
        success[now] = step.success[now]
        for name, number in counted.items():
            counts[name][now] += step.next_obs[now, number]
        playing &= ~(step.terminated | step.truncated | door.stopped)
        over = rows.count - int(playing.sum())
        share = _share(rows.count, over, int(length.sum()), limit - time - 1)
        current.update(over, share=share)
        door.rest(~playing)
    reward[door.stopped] = np.nan
    discounted[door.stopped] = np.nan
    success[door.stopped | ~door.knows_success] = np.nan
    for count in counts.values():
        count[door.stopped] = np.nan
    unknown = np.full(rows.count, np.nan)
    return Episodes(reward, length, success, discounted, unknown, counts)


def _share(episodes: int, over: int, steps: int, longest: int) -> float:
    """Estimate the share of the work that is done: `over` episodes have ended after
    `steps` steps of all, the others take at most `longest` steps more.

    They are expected to end at the same rate, as if half an episode more had ended."""
    playing = episodes - over
    rate = (over + 0.5) / steps
    expected = playing * -np.expm1(-rate * longest) / rate
    return steps / (steps + expected)


def final_episodes(count: int) -> range:
    """Episode seeds of final evaluations: no policy was chosen on them."""
    return range(FIRST_FINAL_EPISODE, FIRST_FINAL_EPISODE + count)


def evaluation_door(
    world: World,
    episodes: Sequence[int],
    owners: Sequence[str] = ("",),
    stop: Stop | None = None,
) -> Door:
    """One row for every episode seed, for each owner, behind a door; close it.

    Environments are made anew for every evaluation: what some of them keep from one
    episode to the next would make a resumed run differ."""
    seeds = list(episodes) * len(owners)
    generators = [stream(seed, "evaluation") for seed in seeds]
    return Door(world.evaluated().rows(generators), owners, stop)


def play_planner(
    planner: Planner,
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    name: str = "planner",
    hint: str = "",
    deadline_ms: float = 0.0,
    use: PlannerUse | None = None,
) -> Episodes:
    """Let a copy of a planner play, [N], as a phase with this name and hint.

    Where it fails or is late, uniformly random actions take its place; its calls are
    counted in `use`, as those of one seed."""
    with evaluation_door(world, episodes, (name,)) as door:
        player = set_up(copy.deepcopy(planner), door.rows, spec, (0,))
        instead = "random actions take its place"
        alone = _Alone(
            guard=Guard(player, spec, deadline_ms, instead=instead),
            spec=spec,
            chance=stream(0, f"in place of the planner {episodes[0]}"),
            use=PlannerUse(1) if use is None else use,
        )
        return play(alone.act, door, name, hint or advice.planner(planner))


class _Alone(NamedTuple):
    """A planner that plays without a learner."""

    guard: Guard
    spec: Spec
    chance: np.random.Generator
    use: PlannerUse

    def act(self, obs: np.ndarray, now: np.ndarray) -> np.ndarray:
        answer = self.guard.ask(obs, now)
        planned = len(now) if answer.fresh is None else answer.fresh.sum()
        self.use.add(np.array([len(now)]), answer, np.array([planned]))
        if answer.action is not None:
            return answer.action
        if self.spec.actions:
            return self.chance.integers(self.spec.actions, size=len(now))
        drawn = self.chance.uniform(-1, 1, (len(now), self.spec.action_size))
        return drawn.astype(np.float32)


def play_learner(
    learner: Learner,
    world: World,
    episodes: Sequence[int],
    stop: Stop | None = None,
    epsilon: float = 0.0,
) -> Episodes:
    """Let the learner of every seed play alone, [P, N]; a share `epsilon` of its
    actions is random.

    A seed whose episodes meet a number that is not finite returns nan; `stop` is told
    its index and why, without it this raises ValueError."""
    shape = (len(learner.seeds), len(episodes))
    value: list[np.ndarray] = []  # of the first observations
    with evaluation_door(world, episodes, _owners(learner), stop) as door:

        def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
            all_obs = _by_seed(door.obs, shape)
            if not value:
                value.append(_values(learner, all_obs))
            return _in_rows(learner.act(all_obs))[now]

        taken = exploring(act, door, np.tile(episodes, shape[0]), epsilon)
        played = play(taken, door, discount=learner.discount).reshape(*shape)
    return played._replace(value=value[0]) if value else played


def play_policies(
    acts: Sequence[Callable[[np.ndarray], np.ndarray]],
    world: World,
    episodes: Sequence[int],
    seeds: Sequence[int],
    epsilon: float = 0.0,
) -> Episodes:
    """Let policies play that are functions of observations [n, *O], one for each seed,
    [P, N]; a share `epsilon` of their actions is random."""
    owners = [f"evaluation of seed {seed}" for seed in seeds]
    owner = np.repeat(np.arange(len(acts)), len(episodes))

    def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
        own = owner[now]
        parts = [acts[index](obs[own == index]) for index in np.unique(own)]
        return np.concatenate(parts)  # rows are in order of seeds

    with evaluation_door(world, episodes, owners) as door:
        taken = exploring(act, door, np.tile(episodes, len(acts)), epsilon)
        return play(taken, door).reshape(len(acts), -1)


def exploring(act: Act, door: Door, episodes: np.ndarray, epsilon: float) -> Act:
    """`act` with a share `epsilon` of random actions, drawn for every row from the seed
    of its episode, [N]."""
    if not epsilon:
        return act
    spec = spec_of(door.rows.world)
    generators = [stream(episode, "evaluation noise") for episode in episodes]

    def act_or_explore(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
        action = np.array(act(obs, now))
        for i, row in enumerate(now):
            generator = generators[row]
            if generator.random() >= epsilon:
                continue
            if spec.actions:
                action[i] = generator.integers(spec.actions)
            else:
                action[i] = generator.uniform(-1, 1, spec.action_size)
        return action

    return act_or_explore


def _values(learner: Learner, obs: np.ndarray) -> np.ndarray:
    """Values [P, n] of observations [P, n, *O] in rewards of the world, apart from the
    learner's shift; nan if it has none."""
    if not {learner.state_value, learner.critic} & learner.nets.keys():
        return np.full(obs.shape[:2], np.nan)
    return learner.value(obs) / learner.normalizer.reward_factor.cpu().numpy()


def _owners(learner: Learner) -> list[str]:
    return [f"evaluation of seed {seed}" for seed in learner.seeds]


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
    budget: int = 0,
    stop: Stop | None = None,
    planner_state: State | None = None,
    verdict: Judgement | None = None,
) -> tuple[Episodes, PlannerUse]:
    """Let learner and planner play together at planning rates [P]; returns episodes
    [P, N] and the use of the planner.

    `step` selects the coins that the gate is given; `budget` is that of this
    evaluation, for each seed; `planner_state` is what a copy of a planner that has
    learnt goes on from; `verdict` is what the values of the learner are worth to one
    that listens to it, None: nothing."""
    shape = (len(learner.seeds), len(episodes))
    advisor = None
    if planner.advised:
        if verdict is None:
            verdict = Judgement(skill=np.zeros(shape[0]), correction=np.zeros(shape[0]))
        name = f"advisor of evaluation {step}"
        advisor = LearnerAdvisor(learner, spec, shape[1], name=name, verdict=verdict)
    with evaluation_door(world, episodes, _owners(learner), stop) as door:
        mixture = Mixture(
            planner=set_up(copy.deepcopy(planner), door.rows, spec, learner.seeds),
            learner=learner,
            gate=copy.deepcopy(gate),
            spec=spec,
            seeds=learner.seeds,
            rows_per_seed=shape[1],
            name=f"mixed evaluation {step}",
            budget=budget,
            deadline_ms=deadline_ms,
            advisor=advisor,
        )

        if planner_state is not None:
            mixture.guard.planner.load(planner_state)

        def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
            playing = np.zeros(door.rows.count, bool)
            playing[now] = True
            choice = mixture.act(
                _by_seed(door.obs, shape),
                door.rows.time.reshape(shape),
                rate,
                explore=False,
                playing=playing.reshape(shape),
            )
            return _in_rows(choice.action)[now]

        hint = advice.mixed(planner)
        episodes_played = play(act, door, hint=hint).reshape(*shape)
    return episodes_played, mixture.use


def _by_seed(obs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Observations [N, *O] as [P, E, *O]."""
    return obs.reshape(*shape, *obs.shape[1:])


def _in_rows(action: np.ndarray) -> np.ndarray:
    """Actions [P, E] or [P, E, A] as [N] or [N, A]."""
    return action.reshape(-1, *action.shape[2:])


class Scale(NamedTuple):
    """What scores are relative to."""

    floor: float  # return of random play
    # return of the planner, or the data's mean return; nan: there are no scores
    ceiling: float
    episodes: int | None = None  # first episodes that scores average; None: all


def data_scale(random: np.ndarray, data: np.ndarray) -> Scale:
    """The scale of a run that trains from data alone, given the returns of random play
    and of the data's episodes; without scores where the data are not clearly better."""
    floor = random.mean()
    ceiling = data.mean()
    error = np.hypot(_standard_error(random), _standard_error(data))
    if not ceiling - floor > CLEARLY * error:
        ceiling = np.nan
    return Scale(floor, ceiling)


def _standard_error(returns: np.ndarray) -> float:
    return returns.std() / np.sqrt(returns.size)


def summary(episodes: Episodes, scale: Scale) -> dict[str, np.ndarray]:
    """Figures of [P, N] episodes, [P] each; those that the world counts come last."""
    low, high = statistics.bootstrap(
        episodes.reward, statistics.iqm, stream(0, "bootstrap")
    )
    scored = episodes.reward[..., : scale.episodes]
    return {
        "mean_reward": episodes.reward.mean(-1),
        "mean_ep_length": episodes.length.mean(-1),
        "success_rate": episodes.success.mean(-1),
        "score": score(scored, scale).mean(-1),
        "iqm_reward": statistics.iqm(episodes.reward),
        "iqm_reward_low": low,
        "iqm_reward_high": high,
        **{name: count.mean(-1) for name, count in episodes.counts.items()},
    }


def expected(episodes: Episodes) -> dict[str, np.ndarray]:
    """What the learner expects of [P, N] episodes, beside what it is given, [P] each;
    empty if it has no values."""
    if not np.isfinite(episodes.value).any():
        return {}
    return {
        "initial_value": episodes.value.mean(-1),
        "discounted_reward": episodes.discounted.mean(-1),
    }


def discounted(episodes: Episodes) -> dict[str, np.ndarray]:
    """Mean discounted return of [P, N] episodes and its standard error, [P] each; nan
    for a single episode."""
    returns = episodes.discounted
    count = returns.shape[-1]
    deviation = np.full(len(returns), np.nan)
    if count > 1:
        deviation = returns.std(-1, ddof=1)
    return {
        "discounted_reward": returns.mean(-1),
        "discounted_error": deviation / np.sqrt(count),
    }


def d4rl_score(reward: np.ndarray, world: World) -> dict[str, np.ndarray]:
    """Mean returns on D4RL's scale, where 0 is random play and 100 its expert; empty
    where it does not score this world."""
    if world.d4rl_returns is None:
        return {}
    low, high = world.d4rl_returns
    return {"d4rl_score": 100 * (reward - low) / (high - low)}


def score(reward: np.ndarray, scale: Scale) -> np.ndarray:
    """Returns on a scale from 0 (random play) to 1 (the planner, or the data); nan if
    these are no better than random play."""
    if not scale.ceiling > scale.floor:
        return np.full(reward.shape, np.nan)
    return (reward - scale.floor) / (scale.ceiling - scale.floor)
