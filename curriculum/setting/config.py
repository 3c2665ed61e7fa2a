"""The configuration of a run: plain numbers and plug-ins, one field a flag."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from curriculum.setting import plugins
from curriculum.types import SOURCES, within


@dataclass(kw_only=True)
class Config:
    """Plug-ins are given as instances or by name: `Config(learner=IQL(expectile=0.9))`,
    `Config(learner="iql")`.

    A planner or a learner that is not named is the one that suits the world. A field
    whose name begins with that of a family is a flag in the family's group:
    `planner_budget` is `--planner.budget`."""

    env: Any = "gridworld"
    learner: Any = ""
    planner: Any = ""
    decay: Any = "exponential"
    gate: Any = "step"
    start: Any = "expert"
    bonus: Any = "none"
    techniques: tuple[Any, ...] = ()

    # calls a seed may make, the start's included, until the learner acts alone; 0: any
    # number
    planner_budget: int = 0
    # time for one row's action; a later one is dropped and the learner acts; 0: any
    planner_deadline_ms: float = 0.0
    # episodes that measure the planner's own return; 0: as many as --eval-episodes
    planner_episodes: int = 0

    steps: int = 20_000  # environment steps per seed, after the start
    # trained side by side; each is exactly what it would be alone
    seeds: tuple[int, ...] = (0,)
    rows: int = 8  # environments per seed, stepped together
    updates_per_step: float = 0.25  # gradient updates per environment step
    # gradient updates on the start's data before the first step
    pretrain_updates: int = 0
    # whose transitions enter the buffer
    store: Literal["all", "planner", "learner"] = "all"
    capacity: int = 100_000  # transitions the buffer holds per seed
    # fixed: by --shares; symmetric: half from the start's data; annealed: from the
    # start's data to the run's own
    sampling: Literal["uniform", "fixed", "symmetric", "annealed"] = "uniform"
    # weights of the sources for --sampling fixed, such as expert=0.25 learner=0.75
    shares: tuple[str, ...] = ()
    eval_every: int = 2_000  # environment steps between evaluations
    # episodes of an evaluation: the same for every run and seed
    eval_episodes: int = 50
    # also evaluate planner and learner mixed at the current rate
    eval_mixed: bool = True
    log_every: int = 500  # environment steps between records of collecting and updating
    checkpoint_every: int = 5_000  # environment steps between checkpoints
    # environment steps between compressions; 0: one at the end if --techniques are
    # given
    compress_every: int = 0
    # of the processor, for matrix products: more pays for wide networks on an idle
    # machine only
    threads: int = 1
    device: Literal["cpu", "cuda"] = "cpu"  # where networks and the buffer live
    # of products at least 64 wide: bf* pays with AMX or on a GPU
    precision: Literal["fp32", "bf32", "bf16"] = "fp32"
    # of updates: torch.compile, or on a GPU one captured graph
    compile: Literal["auto", "on", "off"] = "auto"
    name: str = ""  # of the run's folder; default: planner-learner-decay
    runs_dir: str = "runs"  # runs lie in <runs-dir>/<env>/<name>

    def __post_init__(self) -> None:
        infinity = float("inf")
        within(self, 1, infinity, "steps", "rows", "capacity", "threads")
        within(
            self,
            1,
            infinity,
            "eval_every",
            "eval_episodes",
            "log_every",
            "checkpoint_every",
        )
        within(
            self, 0, infinity, "updates_per_step", "pretrain_updates", "compress_every"
        )
        if (
            not self.seeds
            or len(set(self.seeds)) < len(self.seeds)
            or min(self.seeds) < 0
        ):
            given = " ".join(map(str, self.seeds)) or "none"
            raise ValueError(
                f"seeds must be different whole numbers of at least 0, got {given}"
            )
        within(
            self,
            0,
            infinity,
            "planner_budget",
            "planner_deadline_ms",
            "planner_episodes",
        )
        suited = plugins.suited(self.env)
        self.planner, self.learner = (
            self.planner or suited["planner"],
            self.learner or suited["learner"],
        )
        self.source_shares()
        if self.compress_every and not self.techniques:
            self.techniques = tuple(plugins.names("technique"))
        if self.techniques and not self.compress_every:
            self.compress_every = self.steps  # at the end

    def source_shares(self) -> dict[str, float]:
        """Weight of each source that `shares` names; ValueError where they make no
        sense."""
        pairs = [share.partition("=") for share in self.shares]
        try:
            weights = {source: float(weight) for source, _, weight in pairs}
        except ValueError:
            raise ValueError(
                f"shares look like planner=0.5 learner=0.5, got {' '.join(self.shares)}"
            ) from None
        if unknown := sorted(set(weights) - set(SOURCES)):
            raise ValueError(
                f"shares names {', '.join(unknown)}; sources are: {', '.join(SOURCES)}"
            )
        if weights and not (
            min(weights.values()) >= 0 and 0 < sum(weights.values()) < float("inf")
        ):
            raise ValueError(
                f"shares must be weights of at least 0 and not all 0, got {' '.join(self.shares)}"
            )
        if (self.sampling == "fixed") != bool(weights):
            raise ValueError(
                "fixed sampling and shares go together: --sampling fixed --shares planner=0.5 learner=0.5"
            )
        return weights

    @property
    def updates(self) -> float:
        """Gradient updates of the whole run."""
        return self.pretrain_updates + self.steps * self.updates_per_step

    def plugged(self) -> dict[str, Any]:
        """An instance of every plug-in, by flag; None for a bonus of "none"."""
        chosen = {family: getattr(self, family) for family in plugins.CHOSEN}
        return {
            f: None if f == "bonus" and c == "none" else plugins.make(f, c)
            for f, c in chosen.items()
        }

    def run_name(self) -> str:
        """The name of the run's folder."""
        chosen = [
            plugins.name_of(family, getattr(self, family))
            for family in ("planner", "learner", "decay")
        ]
        short = [Path(name).stem if name.endswith(".py") else name for name in chosen]
        return self.name or "-".join(short).replace(":", "-")


def flat(config: Config) -> dict[str, Any]:
    """Every setting by the name of its flag (underscores for dashes): what
    `config.yaml` holds and a flag would set."""
    settings: dict[str, Any] = {}
    for field in fields(Config):
        value, (family, _, rest) = (
            getattr(config, field.name),
            field.name.partition("_"),
        )
        if rest and family in plugins.CHOSEN:
            settings[f"{family}.{rest}"] = value
            continue
        if field.name in plugins.CHOSEN:
            settings[field.name] = plugins.name_of(field.name, value)
        elif field.name == "techniques":
            settings[field.name] = [plugins.name_of("technique", t) for t in value]
        else:
            settings[field.name] = list(value) if isinstance(value, tuple) else value
    for family, plugin in config.plugged().items():
        for field in fields(plugin) if hasattr(plugin, "__dataclass_fields__") else ():
            value = getattr(plugin, field.name)
            settings[f"{family}.{field.name}"] = (
                list(value) if isinstance(value, tuple) else value
            )
    return settings
