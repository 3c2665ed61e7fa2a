"""The configuration of a run: numbers and plug-ins, one field for each flag."""

import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_type_hints

from curriculum.setting import data_world, plugins, suggestions, techniques, values
from curriculum.setting.names import require_folder_name
from curriculum.types import INFINITY, SOURCES, Computing, at_most, within

# what a run without a name is named after
NAMING = ("planner", "learner", "decay")
# choices that name no plug-in
UNNAMED = (
    ("planner", ""),
    ("learner", ""),
    ("label_decay", ""),
    ("regularizer_decay", ""),
    ("exploration_decay", ""),
)
# former values of `engine`, of when it was called compile
ENGINE_OF_COMPILE = {"on": "compile", "off": "torch"}
MOST_THREADS = 4_096  # more than any machine has cores
MOST_COLLECTORS = 1_024
MOST_AHEAD = 64


@dataclass(kw_only=True)
class Config:
    """All settings of a run.

    A plug-in is an instance or a name: `Config(learner=IQL(expectile=0.9))`,
    `Config(learner="iql")`. An empty planner, learner or decay of a weight is replaced
    by the one that suits the world; other settings that are not given are those that
    the world suggests, if it does. A field whose name begins with that of a family is
    a flag of the family's group: `planner_budget` is `--planner.budget`."""

    env: Any = "gridworld"
    learner: Any = ""
    planner: Any = ""
    decay: Any = "exponential"
    gate: Any = "step"
    start: Any = "expert"
    bonus: Any = "none"
    # how the weight of the planner's labels falls, --learner.label-weight; none: it
    # stays; planning-rate: as the planner withdraws
    label_decay: Any = ""
    # how the term falls that keeps cql, calql and td3bc close to the data; none: it
    # stays; planning-rate: as the planner withdraws
    regularizer_decay: Any = ""
    # how --learner.exploration falls to its floor, by environment steps; none: it stays
    exploration_decay: Any = ""
    techniques: tuple[Any, ...] = ()

    # actions that each seed may ask the planner for, those of the start included; then
    # the learner acts alone. Evaluations are counted apart, each has this budget again;
    # 0: no limit
    planner_budget: int = 0
    # time limit for the planner's action in one row; if it is missed, the learner acts;
    # 0: no limit
    planner_deadline_ms: float = 0.0
    # episodes that measure the planner's own return; 0: as many as --eval-episodes, or
    # as the budget pays for
    planner_episodes: int = 0

    # share of the learner's steps at which the planner is asked, too: its action is
    # stored beside the learner's as a label, for --learner dagger and for
    # --learner.label-weight
    label_share: float = 0.0
    # restore a seed's best weights when its score falls by so much below its best one,
    # on a scale from random play to the planner; 0: never
    rollback: float = 0.0

    # gradient updates on the start's data before the first step: the offline phase. In
    # it, the numbers of steps between evaluations, records, checkpoints and
    # compressions are numbers of updates
    offline_updates: int = 0
    # forget the optimiser's running averages when the offline phase is over, so that
    # they do not carry over to the learner's own data
    reset_optimizer: bool = False
    # environment steps of each seed, those of the start not included; 0: the run ends
    # with its offline phase
    steps: int = 20_000
    # trained side by side; the result of each seed does not depend on the others
    seeds: tuple[int, ...] = (0,)
    rows: int = 8  # environments per seed, stepped together
    # processes that play: each has a planner and an equal share of --rows, and all feed
    # the learner; 0: training and playing take turns in one process
    collectors: int = 0
    # steps of every row that collectors play with the same weights
    round_steps: int = 8
    # rounds that collectors may play while the learner trains on one: more hide pauses
    # such as evaluations, and make the weights that play older; 0: they wait for it
    rounds_ahead: int = 1
    updates_per_step: float = 0.25  # gradient updates per environment step
    # whose transitions enter the buffer
    store: Literal["all", "planner", "learner"] = "all"
    capacity: int = 100_000  # transitions the buffer holds per seed
    # environment steps after which nothing is collected any more: training goes on from
    # the buffer alone, with the same clock; 0: never
    freeze_buffer_after: int = 0
    # how batches are drawn; fixed: by the weights in --shares; symmetric: half from the
    # start's data; annealed: from the start's data first, from the run's own later
    sampling: Literal["uniform", "fixed", "symmetric", "annealed"] = "uniform"
    # weights of the sources for --sampling fixed, such as expert=0.25 learner=0.75
    shares: tuple[str, ...] = ()
    # measure random play, the planner and the learner in the world; without, nothing
    # but the start plays in it, and it need not be installed: with --steps 0 only
    evaluation: bool = True
    eval_every: int = 2_000  # environment steps between evaluations
    # episodes of an evaluation, the same ones for every run and seed
    eval_episodes: int = 50
    # also evaluate planner and learner mixed at the current rate
    eval_mixed: bool = True
    # environment steps between records of collection and updates
    log_every: int = 500
    checkpoint_every: int = 5_000  # environment steps between checkpoints
    # policies that are written: the last one; also the best one by evaluations; all:
    # also one every --eval-every
    keep_policies: Literal["last", "best", "all"] = "best"
    # environment steps between maps of states visited, their novelty and value, in a
    # world with positions; at the end they become maps.gif, by the extra [video]; 0:
    # never
    map_every: int = 0
    # at the end, write a film of an episode (episode.gif) and show it in TensorBoard;
    # needs the extra [video]
    record: bool = False
    # at the end, estimate the return of the last and the best policy from the buffer
    # alone; fqe: fitted Q evaluation
    ope: Literal["", "fqe"] = ""
    # gradient updates of every such estimate: too few leave it near 0, more take longer
    ope_updates: int = 5_000
    # environment steps between compressions; 0: one at the end if --techniques are
    # given
    compress_every: int = 0
    # CPU threads for matrix products; more than one pays only for wide networks on an
    # idle machine
    threads: int = 1
    device: Literal["cpu", "cuda"] = "cpu"  # of the networks and the buffer
    # of matrix products at least 64 wide; bf32 and bf16 pay with AMX or on a GPU
    precision: Literal["fp32", "bf32", "bf16"] = "fp32"
    # how updates run; torch: one operation after the other; native: as machine code, by
    # the extra [fast]; compile: by torch.compile; auto: as native code where it pays,
    # as one captured graph on a GPU
    engine: Literal["auto", "torch", "native", "compile"] = "auto"
    # further programs that show the run, each by the extra of its name: wandb mlflow
    # trackio
    listeners: tuple[str, ...] = ()
    name: str = ""  # of the run's folder; default: planner-learner-decay
    # runs are written to <runs-dir>/<env>/<name>, also at a URL such as
    # s3://bucket/runs
    runs_dir: str = "runs"

    # former names of `offline_updates` and `engine`
    pretrain_updates: InitVar[int | None] = None
    compile: InitVar[str | None] = None

    _given = frozenset[str]()  # names of the settings that were given

    def __new__(cls, **given: Any) -> Self:
        """Note which settings are given: a world's suggestions do not replace them."""
        config = super().__new__(cls)
        config._given = frozenset(given)
        return config

    def __post_init__(self, pretrain_updates: int | None, compile: str | None) -> None:
        if pretrain_updates is not None:
            _warn_of_former_name("pretrain_updates", "offline_updates")
            self.offline_updates = pretrain_updates
            self._given |= {"offline_updates"}
        if compile is not None:
            _warn_of_former_name("compile", "engine")
            engine: Any = ENGINE_OF_COMPILE.get(compile, compile)
            self.engine = engine
            self._given |= {"engine"}
        self._check_types()
        self._check_plugins()
        self._take_world_of_data()
        self._follow_suggestions()
        self._check_ranges()
        self._check_seeds()
        if self.name:
            require_folder_name("name", self.name.replace(":", "-"))
        self.source_shares()
        if self.compress_every and not self.techniques:
            self.techniques = techniques.DEFAULT
        if self.techniques and not self.compress_every:
            # longer than either phase: due at the end only
            self.compress_every = self.steps + self.offline_updates

    def _follow_suggestions(self) -> None:
        """Replace what is not given by what suits the world."""
        world = plugins.make("env", self.env)
        learner = self.learner and plugins.name_of("learner", self.learner)
        for family, name in plugins.suited(world, learner).items():
            setattr(self, family, getattr(self, family) or name)
        chosen: dict[str, str] = {}
        given = {_setting(name) for name in self._given}
        for family in plugins.CHOSEN:
            plugin = getattr(self, family)
            chosen[family] = plugins.name_of(family, plugin)
            if not isinstance(plugin, str):
                given |= {f"{family}.{name}" for name in vars(plugin)}

        def start_size() -> int:
            return suggestions.size_of(plugins.make("start", self.start))

        suggested = suggestions.suggested(world, chosen, given, start_size)
        for field in fields(self):
            setting = _setting(field.name)
            if setting in suggested:
                setattr(self, field.name, suggested.pop(setting))
        for family, name in chosen.items():
            group = {
                setting.removeprefix(f"{family}."): value
                for setting, value in suggested.items()
                if setting.startswith(f"{family}.")
            }
            if group:
                setattr(self, family, plugins.make(family, name, **group))

    def _take_world_of_data(self) -> None:
        """Without a world of its own, a run that starts from a data set has that of the
        data."""
        path = getattr(self.start, "path", "")
        is_data = plugins.name_of("start", self.start) == "dataset"
        if "env" in self._given or not is_data or not path:
            return
        found = data_world.world_of(path, self.evaluation)
        self.env = plugins.make("env", found.env, **found.settings)

    def _check_types(self) -> None:
        """Bring every value to the type of its field."""
        kinds = get_type_hints(Config)
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                setattr(self, field.name, values.checked(kinds[field.name], value))
            except values.Mismatch as problem:
                raise ValueError(f"{field.name} {problem}") from None

    def _check_plugins(self) -> None:
        """Check that what is chosen exists and fits its family."""
        for family in plugins.CHOSEN:
            choice = getattr(self, family)
            if (family, choice) in UNNAMED or plugins.is_none(family, choice):
                continue
            plugins.check_choice(family, choice)
        techniques.check(self.techniques)

    def _check_ranges(self) -> None:
        within(self, 0, INFINITY, "steps", "offline_updates", "freeze_buffer_after")
        if not self.steps and not self.offline_updates:
            raise ValueError(
                "a run of 0 steps trains by offline updates only, and has none; give "
                "--offline-updates or --steps"
            )
        if not self.evaluation and (self.steps or self.techniques):
            raise ValueError(
                "--no-evaluation is for runs that train from data alone: it goes with "
                "--steps 0 and without --techniques, which are measured in the world"
            )
        within(self, 1, INFINITY, "rows", "capacity")
        within(self, 1, MOST_THREADS, "threads")
        within(self, 1, INFINITY, "eval_every", "eval_episodes")
        within(self, 1, INFINITY, "log_every", "checkpoint_every", "ope_updates")
        within(self, 0, INFINITY, "updates_per_step")
        at_most(self, 1_000, "updates_per_step")
        within(self, 0, INFINITY, "compress_every", "map_every", "planner_budget")
        within(self, 0, INFINITY, "planner_deadline_ms", "planner_episodes")
        within(self, 0, 1, "label_share")
        within(self, 0, INFINITY, "rollback")
        self._check_labels()
        self._check_collectors()

    def _check_collectors(self) -> None:
        within(self, 0, MOST_COLLECTORS, "collectors")
        within(self, 1, INFINITY, "round_steps")
        within(self, 0, MOST_AHEAD, "rounds_ahead")
        if self.collectors and self.rows % self.collectors:
            raise ValueError(
                f"{self.collectors} collectors share the {self.rows} rows of each seed "
                "equally; give --rows a multiple of --collectors"
            )

    def _check_labels(self) -> None:
        if self.label_share and self.store == "planner":
            raise ValueError(
                "labels are of the learner's steps, and --store planner keeps none of "
                "them; leave out --label-share, or choose --store all"
            )

    def _check_seeds(self) -> None:
        distinct = set(self.seeds)
        if not distinct or len(distinct) < len(self.seeds) or min(distinct) < 0:
            given = " ".join(map(str, self.seeds)) or "none"
            raise ValueError(
                f"seeds must be different whole numbers of at least 0, got {given}"
            )

    def source_shares(self) -> dict[str, float]:
        """Parse the weight of each source in `shares`."""
        given = " ".join(self.shares)
        weights: dict[str, float] = {}
        for share in self.shares:
            source, _, weight = share.partition("=")
            if source in weights:
                raise ValueError(f"shares names {source} twice, got {given}")
            try:
                weights[source] = float(weight)
            except ValueError:
                raise ValueError(
                    f"shares look like planner=0.5 learner=0.5, got {given}"
                ) from None
        unknown = sorted(set(weights) - set(SOURCES))
        if unknown:
            raise ValueError(
                f"shares names {', '.join(unknown)}; sources are: {', '.join(SOURCES)}"
            )
        if weights:
            total = sum(weights.values())
            if not (min(weights.values()) >= 0 and 0 < total < INFINITY):
                raise ValueError(
                    f"shares must be weights of at least 0 and not all 0, got {given}"
                )
        if (self.sampling == "fixed") != bool(weights):
            raise ValueError(
                "fixed sampling and shares go together: "
                "--sampling fixed --shares planner=0.5 learner=0.5"
            )
        return weights

    def require_data(self, size: int, batch_size: int) -> None:
        """Raise ValueError where the start, of so many transitions, is too small for
        the batches of the offline phase."""
        if self.offline_updates and size < batch_size:
            raise ValueError(
                f"offline updates draw {batch_size:,} transitions each from the start, "
                f"which holds {size:,}; choose a larger start (--start, --start.size) "
                "or lower --learner.batch-size"
            )

    @property
    def updates(self) -> float:
        """Gradient updates of the whole run."""
        return self.offline_updates + self.steps * self.updates_per_step

    @property
    def computing(self) -> Computing:
        """What updates are computed on, and how."""
        return Computing(self.device, self.precision, self.engine, self.updates)

    def is_frozen(self, step: int) -> bool:
        """Whether nothing is collected any more in the step that ends at `step`."""
        limit = self.freeze_buffer_after
        return 0 < limit < step

    def steps_to_collect(self, step: int) -> int:
        """Steps of all rows that are collected from environment step `step` on."""
        end = -(-self.steps // self.rows)
        if self.freeze_buffer_after:
            end = min(end, self.freeze_buffer_after // self.rows)
        return max(end - step // self.rows, 0)

    @property
    def ring_capacity(self) -> int:
        """Transitions that the ring of each seed holds: `capacity`, or the fewest
        possible in a run that collects none."""
        collects = self.steps > 0 or plugins.make("start", self.start).data() is None
        return self.capacity if collects else min(self.capacity, 2 * self.rows)

    def plugged(self) -> dict[str, Any]:
        """Make every plug-in, by flag; where none is chosen it is None."""
        made: dict[str, Any] = {}
        for family in plugins.CHOSEN:
            choice = getattr(self, family)
            if plugins.is_none(family, choice):
                made[family] = None
            else:
                made[family] = plugins.make(family, choice)
        return made

    def run_name(self) -> str:
        """Return the name of the run's folder."""
        chosen = {
            family: plugins.name_of(family, getattr(self, family)) for family in NAMING
        }
        return folder_name_in({"name": self.name, "steps": self.steps, **chosen})


def _warn_of_former_name(former: str, current: str) -> None:
    # shown where a `Config` is made
    warnings.warn(
        f"{former} is now {current}; the old name goes in the next release",
        FutureWarning,
        stacklevel=4,
    )


def folder_name_in(settings: Mapping[str, Any]) -> str:
    """The name of the folder of a run with these settings, as `flat` lists them."""
    if settings.get("name"):
        return str(settings["name"]).replace(":", "-")
    # neither planner nor decay has a part in a run without steps
    is_offline = settings.get("steps") == 0
    parts = ["offline"] if is_offline else []
    for family in ("learner",) if is_offline else NAMING:
        name = str(settings.get(family, ""))
        parts.append(Path(name).stem if name.endswith(".py") else name)
    name = "-".join(parts).replace(":", "-")
    require_folder_name("the name of planner, learner and decay", name)
    return name


def flat(config: Config) -> dict[str, Any]:
    """List every setting by the name of its flag, with underscores for dashes.

    This is the content of `config.yaml`."""
    settings: dict[str, Any] = {}
    for field in fields(Config):
        value = getattr(config, field.name)
        if field.name in plugins.CHOSEN:
            settings[field.name] = plugins.name_of(field.name, value)
        elif field.name == "techniques":
            settings[field.name] = [techniques.name_of(choice) for choice in value]
        else:
            settings[_setting(field.name)] = _plain(value)
    for family, plugin in config.plugged().items():
        if not is_dataclass(plugin):
            continue
        for field in fields(plugin):
            value = getattr(plugin, field.name)
            settings[f"{family}.{field.name}"] = _plain(value)
    for name, value in techniques.flat(config.techniques).items():
        settings[name] = _plain(value)
    return settings


def settings_of(config: Config, family: str, prefix: str = "") -> dict[str, Any]:
    """The settings of a plug-in, by their names behind a prefix."""
    start = f"{family}."
    return {
        prefix + name.removeprefix(start): value
        for name, value in flat(config).items()
        if name.startswith(start)
    }


def _setting(name: str) -> str:
    """The setting that a field of `Config` is: `planner_budget` is planner.budget."""
    family, _, rest = name.partition("_")
    if rest and family in plugins.CHOSEN:
        return f"{family}.{rest}"
    return name


def _plain(value: Any) -> Any:
    """Return a value as YAML stores it."""
    return list(value) if isinstance(value, tuple) else value
