"""Collection: plays in the run's environments and stores the transitions."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from curriculum.activity import phase
from curriculum.envs._base.door import Door
from curriculum.envs._base.native import Grid, NativeRows
from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.health import Health
from curriculum.run.ledger import Ledger
from curriculum.run.mixture import Choice, Mixture
from curriculum.run.planner_use import PlannerUse
from curriculum.run.tracks import Tracks
from curriculum.types import (
    SOURCES,
    Decision,
    Planner,
    Rows,
    Spec,
    State,
    action_of,
    stream,
)
from curriculum.types import Collector as CollectorProtocol

# adds noise to actions [P, E] or [P, E, A], by a generator for each seed
Perturb = Callable[[np.ndarray, float, Sequence[np.random.Generator]], np.ndarray]
Visit = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


class Conditions(NamedTuple):
    """How the next n steps of all rows are played."""

    rate: np.ndarray  # [n, P] planning rates
    exploration: np.ndarray  # [n, P] of the learner


# the conditions of so many steps, after so many that are already asked for
Foresee = Callable[[int, int], Conditions]


class Sink(Protocol):
    """What takes in transitions, such as a buffer."""

    def add(self, step: Transition, keep: np.ndarray | None) -> None:
        """Take in one step of all rows, or of those in mask `keep` [P, E]."""
        ...


class Collector(CollectorProtocol):
    """Steps E rows of each of P seeds.

    `store` is "all", or the source whose transitions enter the buffer. `random` is a
    planner of random actions that is set up for `rows`; `hint` names the flags that
    make a start shorter. `visit` is shown the observations
    [P, E, *O] of every step, what they led to and the mask of seeds [P] to which they
    belong; `perturb` adds noise to a planner's actions; `tracks` follows where rows
    go."""

    def __init__(
        self,
        rows: Rows,
        spec: Spec,
        mixture: Mixture,
        random: Planner,
        buffer: Sink,
        store: str,
        health: Health,
        hint: str = "",
        visit: Visit = lambda obs, next_obs, healthy: None,
        perturb: Perturb = lambda action, noise, generators: action,
        tracks: Tracks | None = None,
    ):
        self.rows = rows
        self.health = health
        owners = [f"seed {seed}" for seed in health.seeds]
        self.door = Door(rows, owners, health.stop)
        self.spec = spec
        self.mixture = mixture
        self.random = random
        self.buffer = buffer
        self.store = store
        self.hint = hint
        self.visit = visit
        self.perturb = perturb
        self.tracks = tracks
        self.shape = mixture.shape  # (P, E)
        self.all_rows = np.ones(self.shape, bool)
        self.no_rows = np.zeros(self.shape, bool)
        self.grid = _grid(rows)
        cells = self.grid.world.cells if self.grid else (0,)
        self.ledger = Ledger(*self.shape, cells)
        # resumes after which a seed's rows were not as they had been saved, [P]
        self.inexact_resumes = np.zeros(self.shape[0], np.int64)
        self.start_steps = 0  # taken for the start so far, of all rows
        self.noise = [stream(seed, "start noise") for seed in health.seeds]
        self.begin_start()

    @property
    def advisor(self) -> LearnerAdvisor | None:
        """The advisor of a planner that listens to the learner."""
        return self.mixture.advisor

    def reset(self) -> None:
        """Start an episode in every row."""
        self.obs = self.door.reset()
        self.health.require_any()

    def close(self) -> None:
        """Close the environments."""
        self.door.close()

    def begin_start(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Begin to fill the buffer, or begin again: the first steps of `play_planner`
        and `play_random` are passed over, as many as were taken before.

        `after_step` is called after every step of all rows."""
        self.passed_over = 0
        self.after_step = after_step

    def play_planner(self, transitions: int, noise: float = 0.0) -> None:
        for _ in self._start(transitions):
            obs = self._by_seed(self.obs)
            healthy = self._healthy_rows()
            decision = self.mixture.plan(obs, healthy)
            if decision is None:
                action = self.mixture.learner.act(obs, explore=True)
                self._play(action, "learner")
            else:
                self._play_labelled(decision, healthy, noise)

    def play_random(self, transitions: int) -> None:
        everyone = np.arange(self.rows.count)
        for _ in self._start(transitions):
            action = action_of(self.random.act(self.obs, everyone))
            self._play(action, "random")

    def _start(self, transitions: int) -> Iterator[None]:
        """One turn for every step of all rows, as a phase."""
        rows = self.shape[1]
        steps = self.steps_for(transitions)
        with phase("start", steps * rows, "transitions", self.hint) as current:
            for _ in range(steps):
                if self.passed_over < self.start_steps:
                    self.passed_over += 1
                    current.report(current.done + rows)
                    continue
                yield
                self.start_steps += 1
                self.passed_over += 1
                self.after_step()
                current.advance(rows)

    def steps_for(self, transitions: int) -> int:
        """Steps of all rows that give each seed at least so many transitions."""
        return -(-transitions // self.shape[1])

    def _play_labelled(
        self, decision: Decision, healthy: np.ndarray, noise: float
    ) -> None:
        """Take one step with the planner's actions [P, E] or [P, E, A], with noise; all
        are stored, with the planner's own as labels."""
        label = decision.action
        action = label
        source = np.full(self.shape, SOURCE["expert"])
        if noise:
            action = self.perturb(label, noise, self.noise)
            if self.spec.actions:
                source[action != label] = SOURCE["random"]
            changed = (action != label).reshape(*self.shape, -1).any(-1)
            self.mixture.interrupt(healthy & changed)
        choice = Choice(action, source, decision, has_label=healthy)
        self._step(choice, np.ones(self.shape), keep=None)

    def _play(self, action: np.ndarray, source: str) -> None:
        """Take one step with actions of one source, which are all stored."""
        tail = () if self.spec.actions else (self.spec.action_size,)
        choice = Choice(
            action=action.reshape(*self.shape, *tail),
            source=np.full(self.shape, SOURCE[source]),
            decision=None,
            has_label=self.no_rows,
        )
        self._step(choice, np.zeros(self.shape), keep=None)

    def await_step(self, left: int, conditions: Foresee) -> None:
        """Do nothing: the rows are here, and can be stepped at any time."""

    def collect(self, rate: np.ndarray, step: int) -> None:
        """Take one step in every row, to environment step `step`: the planner acts at
        rates [P], the learner elsewhere."""
        obs = self._by_seed(self.obs)
        age = self.rows.time.reshape(self.shape)
        choice = self.mixture.act(
            obs, age, rate, explore=True, playing=self._healthy_rows()
        )
        keep = None if self.store == "all" else choice.source == SOURCE[self.store]
        rates = rate[:, None].repeat(self.shape[1], 1)
        transition, success = self._step(choice, rates, keep)
        self.ledger.add(step, transition, success)

    def _step(
        self,
        choice: Choice,
        rate: np.ndarray,
        keep: np.ndarray | None,
    ) -> tuple[Transition, np.ndarray]:
        """Step the world and store the transitions in mask `keep` [P, E], without those
        of stopped seeds; also returns the successes [P, E].

        Raises ValueError once every seed was stopped."""
        action = choice.action
        step = self.door.step(action.reshape(-1, *action.shape[2:]))
        if self.health.problems:
            self.health.require_any()
            healthy = self._healthy_rows()
            keep = healthy if keep is None else keep & healthy
        transition = Transition(
            obs=self._by_seed(self.obs),
            action=action,
            reward=step.reward.reshape(self.shape),
            terminated=step.terminated.reshape(self.shape),
            truncated=step.truncated.reshape(self.shape),
            next_obs=self._by_seed(step.next_obs),
            source=choice.source,
            planning_rate=rate,
            label=action if choice.label is None else choice.label,
            has_label=choice.has_label,
            **_decided(choice.decision),
        )
        self.buffer.add(transition, keep)
        self.visit(transition.obs, transition.next_obs, self.health.healthy)
        if self.advisor:
            self.advisor.add(transition)
        self.obs = step.obs
        if self.tracks:
            self.tracks.add(transition)
        if self.grid:
            cell = self.grid.world.cell(self.grid.rows.state)
            self.ledger.visit(cell.reshape(self.shape))
        return transition, step.success.reshape(self.shape)

    def _healthy_rows(self) -> np.ndarray:
        """Rows of the seeds that were not stopped, [P, E] bool."""
        if not self.health.problems:
            return self.all_rows
        healthy = self.health.healthy
        self.door.exclude(~healthy)
        return healthy[:, None].repeat(self.shape[1], 1)

    def _by_seed(self, obs: np.ndarray) -> np.ndarray:
        """Observations [N, *O] as [P, E, *O]."""
        return obs.reshape(*self.shape, *self.spec.obs_shape)

    @property
    def use(self) -> PlannerUse:
        """What the planner was asked for."""
        return self.mixture.use

    @property
    def spent(self) -> np.ndarray:
        """Which seeds have spent their planner's budget, [P] bool."""
        return self.mixture.spent

    @property
    def planner(self) -> Planner:
        """The planner, set up."""
        return self.mixture.guard.planner

    @property
    def grid_world(self) -> Grid | None:
        """The world, if it has cells whose visits are counted."""
        return self.grid.world if self.grid else None

    def time_values(self) -> dict[str, np.ndarray]:
        """What collection took, [P] each."""
        return self.use.time_values()

    def episode_values(self) -> dict[str, np.ndarray]:
        """Averages over recent episodes, [P] each."""
        knows_success: np.ndarray = self.door.knows_success.reshape(self.shape)[:, 0]
        values = self.ledger.values(knows_success)
        if self.inexact_resumes.any():
            values["rollout/inexact_resumes"] = self.inexact_resumes.copy()
        return values

    def state(self) -> State:
        return {
            "rows": self.rows.save(),
            "mixture": self.mixture.state(),
            "random": self.random.state(),
            "ledger": self.ledger.state(),
            "start_steps": self.start_steps,
            "noise": [generator.bit_generator.state for generator in self.noise],
            "inexact_resumes": self.inexact_resumes,
            "tracks": self.tracks.state() if self.tracks else {},
        }

    def load(self, state: State) -> None:
        differing = self.door.load(state["rows"])
        self.obs = self.door.obs
        self.mixture.load(state["mixture"])
        self.random.load(state["random"])
        self.ledger.load(state["ledger"])
        if self.tracks:
            self.tracks.load(state["tracks"])
        self.start_steps = state["start_steps"]
        # checkpoints of former versions hold no noise
        for generator, saved in zip(self.noise, state.get("noise", []), strict=False):
            generator.bit_generator.state = saved
        self.inexact_resumes[:] = state["inexact_resumes"]
        self.inexact_resumes += differing.reshape(self.shape).any(1)
        if differing.any():
            self._announce_inexact(differing)

    def _announce_inexact(self, differing: np.ndarray) -> None:
        """Print that the world did not come back as it was.

        Not an error: transitions from here on are as true as ever, only the run is not
        the one that was interrupted. It is counted in the records, too."""
        print(
            f"world {self.door.name} replays differently: {differing.sum()} of "
            f"{self.rows.count} rows did not come back as they were saved, so this run "
            "continues, but not exactly; draw all random numbers of the world from the "
            "generator that reset(seed=...) seeds",
            file=sys.stderr,
        )


def _decided(decision: Decision | None) -> dict[str, np.ndarray | None]:
    """The fields of a transition that tell more of a decision than its action."""
    if decision is None:
        return {}
    return {
        "soft_label": decision.weights,
        "label_value": decision.value,
        "label_stake": decision.stake,
    }


def buffer_values(buffer: Buffer) -> dict[str, np.ndarray]:
    """Size of the buffer, and the shares of sources in it and in recent batches, [P]
    each."""
    size = buffer.size
    count = buffer.count
    drawn = buffer.read_shares()
    present = [i for i in range(len(SOURCES)) if count[:, i].any()]
    values = {"buffer/size": size}
    for i in present:
        values[f"buffer/share_{SOURCES[i]}"] = count[:, i] / np.maximum(size, 1)
    for i in present:
        values[f"buffer/batch_share_{SOURCES[i]}"] = drawn[:, i]
    return values


class GridRows(NamedTuple):
    """A world of cells and its rows, whose visits are counted."""

    world: Grid
    rows: NativeRows


def _grid(rows: Rows) -> GridRows | None:
    if isinstance(rows, NativeRows) and isinstance(rows.world, Grid):
        return GridRows(rows.world, rows)
    return None
