"""The vocabulary of the trainer: what its parts hand to one another, and the protocols
that plug-ins implement.

A plug-in inherits from its protocol, which gives every optional method a default.
Shapes are written with these letters: P seeds, E environment rows of one seed, N = P *
E rows, B batch, K critics, O one observation, A numbers of a box action.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    Protocol,
    Self,
    get_args,
    get_type_hints,
    runtime_checkable,
)

import numpy as np

if TYPE_CHECKING:
    import gymnasium as gym
    from torch import Tensor, nn

# who chose an action; the buffer stores the index
SOURCES = ("expert", "planner", "learner", "random", "dataset")
INFINITY = float("inf")
# nested: arrays and tensors are saved as safetensors, everything else as JSON
State = dict[str, Any]


# --- what parts hand to one another ---


class Spec(NamedTuple):
    """What a learner needs to know about a world."""

    obs_shape: tuple[int, ...]
    obs_dtype: str
    obs_low: np.ndarray  # [*O], -inf where unbounded
    obs_high: np.ndarray  # [*O], inf where unbounded
    actions: int  # number of discrete actions, 0 where actions are a box
    action_size: int = 0  # numbers of a box action, each in [-1, 1]
    # images stacked in one observation [frames, height, width], oldest first; 0: none
    frames: int = 0


class Batch(NamedTuple):
    """Everything a loss sees.

    Columns with a default are optional: a batch has them only if the learner names them
    in `needs`."""

    obs: Tensor  # [P, B, *O] float32 (uint8 for images)
    action: Tensor  # [P, B] int64, or [P, B, A] float32 in [-1, 1]
    reward: Tensor  # [P, B] float32: n-step sum, bonus added
    discount: Tensor  # [P, B] float32: gamma**n, 0 only where the episode terminated
    next_obs: Tensor  # [P, B, *O], n steps later
    # [P, B] float32: discounted return from here to the end of the episode, -inf while
    # the episode is not over
    mc_return: Tensor | None = None
    # [P, B] int64, or [P, B, A]: the planner's own action at `obs`, whoever acted
    label: Tensor | None = None
    # [P, B] float32: 1 where the planner was asked and `label` is known, else 0
    has_label: Tensor | None = None
    # of the planner's `Decision`, 0 where `has_label` is 0: its weights of all discrete
    # actions [P, B, actions], its value [P, B] and what was at stake [P, B]
    soft_label: Tensor | None = None
    label_value: Tensor | None = None
    label_stake: Tensor | None = None
    # [P, B, n] int64, or [P, B, n, A] float32: the actions of the n-step window,
    # `action` first; 0 after the end of an episode that cuts it short
    action_window: Tensor | None = None
    # [P, B, n] float32: 1 for the steps that the window has, else 0
    window_taken: Tensor | None = None

    def backup(self, value: Tensor) -> Tensor:
        """Reward plus discounted `value` of the next state, of shape [P, K, B] or
        [P, K, B, quantiles]."""
        reward = self.reward.unsqueeze(1)
        discount = self.discount.unsqueeze(1)
        if value.dim() == 4:
            reward = reward.unsqueeze(-1)
            discount = discount.unsqueeze(-1)
        return reward + discount * value


class Episode(NamedTuple):
    """One episode of a data set, T steps.

    An episode that neither terminated nor was truncated goes on where its recording
    ends."""

    observation: np.ndarray  # [T, *O]
    action: np.ndarray  # [T] int64, or [T, A] float in [-1, 1]
    reward: np.ndarray  # [T] float
    next_observation: np.ndarray  # [T, *O], the true last observation at the end
    terminated: bool  # the episode truly ended
    truncated: bool  # it was cut short
    # [T] uint8: who acted, an index into the names of the data set; None: unknown
    source: np.ndarray | None = None


class SharedData(NamedTuple):
    """Transitions of a data set that all seeds of a run share, N in M episodes: views
    of its files."""

    name: str  # of the data set, for messages
    spec: Spec
    # [R, *O] the observations of an episode and the one after its last step; of stacked
    # frames, every image once: the first stack, then the newest image of each later one
    obs: np.ndarray
    action: np.ndarray  # [N] int64, or [N, A] in [-1, 1]
    reward: np.ndarray  # [N]
    length: np.ndarray  # [M] int64: transitions of each episode
    terminated: np.ndarray  # [M] bool: the episode truly ended
    truncated: np.ndarray  # [M] bool: it was cut short
    first_episode: int  # its number in the data set
    checksums: dict[str, str]  # SHA-256 of every file, by column

    def returns(self) -> np.ndarray:
        """Undiscounted return of every episode, [M] float64."""
        ends = np.cumsum(self.length)
        return np.add.reduceat(self.reward, ends - self.length, dtype=np.float64)


class Record(NamedTuple):
    """One report of a training run; listeners see nothing else."""

    # baseline, start, collect, update, time, evaluate, compress, survey, maps or final
    kind: str
    step: int  # environment steps of one seed
    values: dict[str, np.ndarray]  # tag -> [P], in kinds "survey" and "maps" [P, ...]
    # updates taken in the offline phase, for records of that phase: their tags begin
    # with "offline/"; None for all others
    updates: int | None = None


class Step(NamedTuple):
    """The result of one step of N rows."""

    # [N, *O] to act on next: the first of a new episode where the last one is over
    obs: np.ndarray
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool: the episode truly ended
    truncated: np.ndarray  # [N] bool: it was cut short by a time limit
    # [N, *O] the result of the action: the true last observation where the episode is
    # over
    next_obs: np.ndarray
    # [N] bool: an episode is a success if its last step is one
    success: np.ndarray


class Imagined(NamedTuple):
    """The result of one step of n simulated copies."""

    state: np.ndarray  # [n, ...] states after the step
    reward: np.ndarray  # [n] float64
    terminated: np.ndarray  # [n] bool; a copy that terminated must not be stepped again


class Moment(NamedTuple):
    """What a gate may base its choice on."""

    rate: np.ndarray  # [P] planning rate
    age: np.ndarray  # [P, E] steps since each episode began
    coin: np.ndarray  # [P, E] fresh uniform numbers in [0, 1)
    obs: np.ndarray  # [P, E, *O]
    learner: Policy


class Computing(NamedTuple):
    """What the updates of a run are computed on, and how; see the flags of these
    names."""

    device: Any = "cpu"
    precision: Any = "fp32"
    engine: Any = "torch"
    updates: float = 0.0  # gradient updates of the whole run


class Deployable(NamedTuple):
    """A policy in the form in which it is shipped."""

    # observations [n, *O] -> scores [n, actions], the largest acts, or box actions
    # [n, A]
    module: nn.Module
    # everything its file holds. Dense layers: "mean", "scale", "<i>.weight" [out, in]
    # and "<i>.bias", with "<i>.weight_scale" [out] beside an int8 weight, "<i>.eps" [1]
    # where LayerNorm follows, "tanh" [1] for box actions, "limit" [1] where normalised
    # observations are clipped. Any other module: its state_dict, and "torch" [1]
    arrays: dict[str, np.ndarray]


class Decision(NamedTuple):
    """What a planner does in n rows, and what it knows about it beside the action."""

    action: np.ndarray  # [n] or [n, A]
    # [n, actions] of all discrete actions, at least 0, the sum of each row 1: visits of
    # a search tree, or equal weights of equally good actions
    weights: np.ndarray | None = None
    # [n] expected return of the action and the plan after it, in rewards of the
    # environment, discounted by the planner's `value_discount`; -inf where unknown, as
    # where it may be less because of what comes later
    value: np.ndarray | None = None
    # [n] by how much the return that the planner expects of what it does exceeds the
    # mean of what it was compared with, at least 0, in the planner's own unit: 0 where
    # nothing is decided
    stake: np.ndarray | None = None
    # [n] bool: rows that were planned for now, which count as calls; the others follow
    # a plan that was made earlier. None: all
    fresh: np.ndarray | None = None


# what a `Decision` may hold for learners
DECISION_PARTS = ("weights", "value", "stake")


def action_of(answer: np.ndarray | Decision) -> np.ndarray:
    """The actions [n] or [n, A] of what a planner returned."""
    return answer.action if isinstance(answer, Decision) else answer


# --- worlds ---


class World(Protocol):
    """A task: what a run trains in.

    Worlds are descriptions without state; `rows` makes the environments that step."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Settings that suit this world, by their names in `config.yaml`: "planner",
        "learner", "eval_episodes", "planner.max_steps". The user's own win."""
        return {}

    @property
    def has_success(self) -> bool:
        """Whether rows report success, as far as the world knows before it is
        played."""
        return True

    @property
    def counts(self) -> Mapping[str, int]:
        """What evaluations count in an episode: its name, such as "captures", and which
        number of the observation is 1 in every step where it happens."""
        return {}

    @property
    def frames(self) -> int:
        """Images stacked in one observation; 0: it is not a stack."""
        return 0

    @property
    def fps(self) -> int:
        """Frames a second when shown."""
        return 10

    @property
    def title(self) -> str:
        """Name of its folder in `runs/`; empty: the name of its flag."""
        return ""

    @property
    def d4rl_returns(self) -> tuple[float, float] | None:
        """Returns that D4RL scores 0 and 100; None: it does not score this world."""
        return None

    @property
    def max_steps(self) -> int:
        """Steps after which an episode is truncated; 0: never."""
        ...

    @property
    def observation_space(self) -> gym.spaces.Box: ...

    @property
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box:
        """Actions in the world's own bounds."""
        ...

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> Rows:
        """Make `rows_per_seed` environments for each generator, in order of
        generators."""
        ...

    def evaluated(self) -> World:
        """The world that policies are evaluated in, such as one with unclipped
        rewards."""
        return self


class Rows(Protocol):
    """N environments of one world, equally many for each seed, stepped together.

    A row whose episode is over starts the next episode in the same step."""

    world: Any  # what they are rows of
    count: int  # N
    single_observation_space: gym.spaces.Box
    single_action_space: gym.spaces.Discrete | gym.spaces.Box  # box actions in [-1, 1]
    obs: np.ndarray  # [N, *O] to act on now
    time: np.ndarray  # [N] steps since each episode began

    @property
    def reports_success(self) -> np.ndarray:
        """Rows that have said whether an episode was a success, [N] bool."""
        return np.full(self.count, self.world.has_success)

    def reset(self) -> np.ndarray:
        """Start an episode in every row; returns observations [N, *O]."""
        ...

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] in [-1, 1]."""
        ...

    def save(self) -> State:
        """Return everything needed to continue exactly from here."""
        ...

    def load(self, saved: State) -> np.ndarray:
        """Restore what `save` returned; gives the observations [N, *O] to act on."""
        ...

    def rest(self, rows: np.ndarray) -> None:
        """Mark rows, [N] bool, that are not looked at again before `reset`: they need
        not be stepped."""
        ...

    def simulator(self) -> Simulator:
        """Copies of these rows for planning; ValueError where the state cannot be
        copied."""
        ...

    def picture(self, row: int) -> np.ndarray:
        """Draw a row, [height, width, 3] uint8."""
        ...

    def last_picture(self, row: int) -> np.ndarray:
        """Draw a row as the step that has just ended its episode left it; without a
        method of its own, as the next episode begins."""
        return self.picture(row)

    def close(self) -> None:
        """Free what the environments hold, such as files and windows, and close their
        simulators; they are not used again."""
        return


class Simulator(Protocol):
    """Copies of rows that a planner steps without touching the originals.

    States are arrays whose first axis counts copies; index them to choose or repeat
    copies. A step does not change the state it is given. Time limits are not simulated,
    only true ends."""

    def states(self, rows: np.ndarray) -> np.ndarray:
        """Copies of the true states of these rows, [n, ...]."""
        ...

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        """Take one step in n copies, `action` [n] or [n, A] in [-1, 1]; randomness
        comes from `rng`."""
        ...

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take H steps in n copies, `actions` [n, H] or [n, H, A] in [-1, 1].

        Returns rewards [n, H] float64, 0 after a true end; whether each copy ended, [n]
        bool; and the last states [n, ...]."""
        ...


@runtime_checkable
class ObservableSimulator(Simulator, Protocol):
    """A simulator that tells what a learner sees in a copied state."""

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [n, *O] of n states, as the rows would give them there."""
        ...


@runtime_checkable
class ThreadedSimulator(Simulator, Protocol):
    """A simulator that can step the copies of a rollout in several threads."""

    def use_threads(self, count: int) -> None:
        """Use so many in `rollout`, whose rewards and ends stay the same.

        Of the last states observations stay the same; with several threads nobody may
        step from them."""
        ...


@runtime_checkable
class KeyedSimulator(Simulator, Protocol):
    """A simulator that tells whether two copies are in the same state."""

    def keys(self, state: np.ndarray) -> list[bytes]:
        """A key of 16 bytes for each of n states.

        States with equal keys go on alike, whichever row and episode they come from,
        except for time limits and for rewards that fall as time goes by."""
        ...


# --- who acts ---


class Policy(Protocol):
    """A learner as others see it: something that acts and values states."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        """Actions [P, n] or [P, n, A] for observations [P, n, *O]."""
        ...

    def value(self, obs: np.ndarray) -> np.ndarray:
        """Values [P, n] of observations [P, n, *O]."""
        ...

    def action_value(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Values [P, n] of actions [P, n] or [P, n, A] by the lowest of the critics, 0
        without any."""
        return np.zeros(obs.shape[:2])

    def margin(self, obs: np.ndarray) -> np.ndarray:
        """By how much the value of the best discrete action exceeds that of the second
        best, [P, n], 0 without a critic."""
        return np.zeros(obs.shape[:2])

    def disagreement(self, obs: np.ndarray) -> np.ndarray:
        """Standard deviation [P, n] among the critics' values of the action that the
        learner would take, 0 without any."""
        return np.zeros(obs.shape[:2])


class Advisor(Protocol):
    """The learner of a run as its planner sees it: the same throughout a call of `act`.

    Observations of all rows, copies and seeds are asked about together: `seed` [n] is
    the index of the seed that each of them belongs to, in ascending order."""

    is_ready: bool  # whether the learner has learnt anything yet
    has_values: bool
    # a value is what the rewards of the world, each plus `reward_shift`, add up to,
    # discounted by `discount` per step
    discount: float
    reward_shift: float
    # [P] in [0, 1]: how well values have predicted recent returns; 0 without values
    trust: np.ndarray

    def values(self, obs: np.ndarray, seed: np.ndarray) -> np.ndarray:
        """Values [n] float64 of observations [n, *O]; finite."""
        ...

    def propose(self, obs: np.ndarray, seed: np.ndarray, count: int) -> np.ndarray:
        """Actions [n, count] or [n, count, A] for observations [n, *O]: first the best
        known one, then draws of the policy."""
        ...


class Planner(Protocol):
    """Whoever may act in the learner's place: a search, an expert, a human, a random
    walk."""

    # "observation", or "state": the simulator's true state, a privilege that every
    # report names
    needs: ClassVar[str] = "observation"
    # whether it learns in the run: its return is not known before, so no score is
    # relative to it. Evaluations set up a copy and load the state of the run's own
    learns: ClassVar[bool] = False
    # parts of a `Decision` that its answers always have: of "weights" (in worlds with
    # discrete actions), "value" and "stake"
    gives: ClassVar[tuple[str, ...]] = ()

    @property
    def value_discount(self) -> float:
        """Discount per step of the values that it gives."""
        return 1.0

    # whether it takes advice from the learner of the run; where there is no learner, as
    # when it is measured alone, it gets none and must act without
    advised: ClassVar[bool] = False

    def check_world(self, world: World) -> None:
        """Raise ValueError where this planner cannot act in `world`.

        It is called before a run begins. A planner that does not define it is set up
        for one row instead: define it where `setup` takes long."""
        return

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Prepare for `rows` (in order of `seeds`, equally many each) and return
        self."""
        ...

    def listen(self, advisor: Advisor) -> None:
        """Keep the advisor to ask in `act`; called once, after `setup`, if it is
        `advised`."""
        return

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray | Decision:
        """Choose actions [n] or [n, A] for observations [n, *O] of the rows with
        indices `rows` [n], alone or as part of a `Decision`."""
        ...

    def interrupt(self, rows: np.ndarray) -> None:
        """Learn that somebody else acted in the rows with these indices, [n], after
        the planner's last answer: what it planned to do next no longer fits."""
        return

    def simulator_seconds(self) -> float:
        """Wall time that the last call of `act` took in a simulator."""
        return 0.0

    def maps(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        """What to draw of it, name -> [P, n] at observations [P, n, *O], such as the
        value of states to an explorer; nothing changes."""
        return {}

    def learn_on(self, computing: Computing) -> None:
        """Take in what updates run on; called before `setup` if it `learns` in a
        run."""
        return

    def visit(self, obs: np.ndarray, next_obs: np.ndarray, present: np.ndarray) -> None:
        """See a step of all rows, observations [P, E, *O] and what they led to, of the
        seeds in mask `present` [P], whoever acted; called if it `learns`."""
        return

    def observe(
        self, batch: Batch, step: int, has_data: np.ndarray
    ) -> dict[str, Tensor]:
        """Learn from a batch that the learner is updated on, without a bonus; returns
        values to log, [P] each. Called if it `learns`.

        Of the seeds outside the mask `has_data` [P] the batch holds nothing. Its
        tensors are reused: clone what you keep. `step` counts environment steps of one
        seed."""
        return {}

    def problems(self) -> dict[int, str]:
        """Which seeds, by index, cannot go on, and why: weights that are not finite."""
        return {}

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        return


class Decay(Protocol):
    """How the planner withdraws."""

    # whether it moves on evaluations: needs a planner that is better than random play
    listens: ClassVar[bool] = False

    def rate(self, step: int) -> float | np.ndarray:
        """Share of actions the planner takes, a number or [P], in [0, 1].

        `step` counts environment steps of one seed."""
        ...

    def observe(self, scores: np.ndarray) -> np.ndarray:
        """Take in an evaluation of the learner alone, `scores` [P, episodes]: 0 is
        random play, 1 the planner. Returns the seeds whose best weights are to be
        restored, [P] bool."""
        return np.zeros(len(scores), bool)

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        return


class Gate(Protocol):
    """How a planning rate becomes a choice of who acts now."""

    # whether it compares values of actions: the learner must have a critic
    needs_critic: ClassVar[bool] = False

    def planner_acts(self, moment: Moment) -> np.ndarray:
        """Mask [P, E], true where the planner is asked; it acts if `accepts` agrees."""
        ...

    def accepts(
        self, moment: Moment, planned: np.ndarray, own: np.ndarray
    ) -> np.ndarray:
        """Mask [P, E], true where the planner's action `planned` is taken instead of
        the learner's `own`, both [P, E] or [P, E, A]; it counts where the planner was
        asked."""
        return np.ones(moment.coin.shape, bool)

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        return


# --- what training consists of ---


class Collector(Protocol):
    """Plays in the run's environments and stores the transitions in the buffer."""

    def play_planner(self, transitions: int, noise: float = 0.0) -> None:
        """Let the planner take at least `transitions` steps for each seed; its calls
        are counted.

        A share `noise` of its actions are replaced by random ones; box actions get
        normal noise of this standard deviation. Its own actions stay as labels."""
        ...

    def play_random(self, transitions: int) -> None:
        """Take at least `transitions` uniformly random steps for each seed."""
        ...


class Buffer(Protocol):
    """The replay buffer as a start sees it."""

    @property
    def size(self) -> np.ndarray:
        """Transitions held by each seed, [P]."""
        ...


class Start(Protocol):
    """What the buffer is filled with before training."""

    # whether `fill` asks the planner for every one of them
    asks_planner: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """Transitions of each seed before training: those that `fill` adds, rounded up
        to a step of all rows, or those of `data`."""
        ...

    def data(self) -> SharedData | None:
        """The data set that all seeds share; ValueError says why it cannot be used.

        Its contents are not read, see `verify`."""
        return None

    def verify(self) -> None:
        """Read the data set; ValueError says which file is damaged."""
        return

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        """Add the first transitions."""
        ...


class Bonus(Protocol):
    """An intrinsic reward, computed for every sampled batch."""

    def use_world(self, world: World) -> None:
        """Take in the world; called before `setup`.

        Raises ValueError where the bonus cannot be used in it."""
        return

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str) -> Self:
        """Prepare for these seeds and return self."""
        ...

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The bonus [P, B], already scaled, and values to log, [P] each; learns from
        the batch."""
        ...

    def maps(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        """What to draw of it, name -> [P, n] at observations [P, n, *O]: "bonus",
        before it is scaled; nothing is learned."""
        return {}

    def visit(self, obs: np.ndarray, present: np.ndarray) -> None:
        """See what a step of all rows led to, [P, E, *O], for the seeds in mask
        `present` [P]; once for every step, sampled or not."""
        return

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        return


class Technique(Protocol):
    """A way to make a policy cheaper to deploy."""

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """Variants of `policy` by name, modules that a policy file can hold; `obs`
        [n, *O] are observations it acts on, `seed` owns all randomness.

        Raises `curriculum.shipping.layers.Unsupported` for a kind of policy it cannot
        take."""
        ...


class Chain(Technique):
    """Techniques one after the other: each takes what the one before has made."""

    def __init__(self, parts: Sequence[Technique]):
        self.parts = tuple(parts)

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The variants of every technique on the way, such as "student" and
        "student-int8"."""
        made: dict[str, nn.Module] = {}
        latest = {"": policy}
        for part in self.parts:
            found: dict[str, nn.Module] = {}
            for name, module in latest.items():
                for own, variant in part.compress(module, obs, seed).items():
                    found[f"{name}-{own}".lstrip("-")] = variant
            latest = found
            made |= found
        return made


class Format(Protocol):
    """A file format of data sets.

    A converter calls `metadata`, which is small, and then `read`. Both work through a
    file of any size in the memory of a few episodes, and trust nothing in it."""

    # ends of file names that mean this format, such as ".csv"
    suffixes: ClassVar[tuple[str, ...]] = ()

    def recognises(self, path: Path) -> bool:
        """Whether a file or folder looks like this format, at a glance."""
        return path.name.endswith(self.suffixes)

    def metadata(self, path: Path) -> dict[str, Any]:
        """What a file says about its data set, in the form of `manifest.json`: any of
        "spec", "env", "env_settings", "sources", "seeds" and "reward".

        Raises ValueError for a file that is not of this format."""
        return {}

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        """Read the episodes of a file in their order.

        A damaged episode is left out, and `report` is told why in a sentence that
        begins with its number in the file: "episode 3: reward is not finite at step
        7". Raises ValueError where the rest cannot be read."""
        ...

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        """Write a file that `read` gives back, whole or not at all.

        `manifest` describes the data set in the form of `manifest.json`; `metadata`
        gives it back. Raises ValueError, which names the episode, for one that does not
        fit."""
        ...


class Listener(Protocol):
    """Reports on a run: receives its records, and is never asked anything."""

    def check(self) -> None:
        """Raise ValueError, before anything is written, where it cannot report here,
        such as without a package that it needs."""
        return

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        """Begin to report on the run in `folder` and return self.

        `settings` holds the run's flags by name; `history` the records of the part of
        the run that was already reported on, before it was resumed."""
        ...

    def __call__(self, record: Record) -> None:
        """Report one record."""
        ...

    def close(self) -> None:
        """Write what is left to write."""
        return


def stream(seed: int, name: str) -> np.random.Generator:
    """The random generator that one seed owns for one purpose; streams of different
    names are independent."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def within(settings: object, low: float, high: float, *names: str) -> None:
    """Raise ValueError where a field of `settings` is no number in [low, high], or is
    infinite."""
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ValueError(f"{name} must be a number, got {value!r}")
        number = float(value)
        if low <= number <= high and abs(number) < INFINITY:
            continue
        if number == high:
            bounds = "finite"
        elif high == INFINITY:
            bounds = f"at least {low:g}"
        else:
            bounds = f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be {bounds}, got {value:g}")


def at_most(settings: object, high: float, *names: str) -> None:
    """Raise ValueError where a field of `settings` is so large that numbers overflow or
    an update never ends."""
    for name in names:
        value = getattr(settings, name)
        if not value <= high:
            raise ValueError(f"{name} must be at most {high:,g}, got {value:,g}")


def among(settings: object, *names: str) -> None:
    """Raise ValueError where a field of `settings` is not one of the values that its
    Literal type lists."""
    kinds = get_type_hints(type(settings))
    for name in names:
        value = getattr(settings, name)
        choices = get_args(kinds[name])
        if value not in choices:
            raise ValueError(f"no {name} {value!r}; there are: {', '.join(choices)}")
