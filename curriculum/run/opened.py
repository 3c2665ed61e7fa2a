"""A run that is opened to be used: no training, no buffer, no planner."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from curriculum.activity import phase
from curriculum.envs._base.spec import spec_of
from curriculum.learning.learner import Learner
from curriculum.learning.weights import Snapshot
from curriculum.run import advice, checkpoint, folders
from curriculum.run.contents import by_name
from curriculum.run.deployment import contracts_of
from curriculum.run.evaluation import (
    Episodes,
    Scale,
    final_episodes,
    play_learner,
    play_planner,
    score,
)
from curriculum.setting import flags, plugins, values
from curriculum.setting.config import Config, flat
from curriculum.shipping.numpy_runner import require_numbers
from curriculum.shipping.operations import Program, program_of
from curriculum.trust import Untrusted, trusting
from curriculum.types import Spec, State, World

Which = Literal["last", "best"]
T = TypeVar("T")
PARTS = ("seeds", "run", "learner", "scores")  # of a checkpoint


class Evaluation(NamedTuple):
    """Episodes of P seeds, [P, N] each, in order of `seeds` and of the episodes."""

    seeds: tuple[int, ...]
    reward: np.ndarray  # undiscounted return
    length: np.ndarray  # steps
    success: np.ndarray  # 0 or 1, nan where the world does not report success
    score: np.ndarray  # 0 random play, 1 the planner or the data

    @property
    def mean_reward(self) -> np.ndarray:
        """Mean return of each seed, [P]."""
        return self.reward.mean(-1)

    @property
    def success_rate(self) -> np.ndarray:
        """Share of successful episodes of each seed, [P]."""
        return self.success.mean(-1)


class Metrics(NamedTuple):
    """Records of one kind: their environment steps [R] and values [R, P] by tag, nan
    where a record has none."""

    steps: np.ndarray  # of the offline phase: its updates
    values: dict[str, np.ndarray]


class ActingPolicy:
    """The policy of one seed: observations to actions, without exploration."""

    def __init__(self, module: nn.Module, spec: Spec):
        self.module = module
        self.spec = spec

    def act(self, obs: np.ndarray) -> np.ndarray:
        """The action for one observation [*O], or actions [n] or [n, A] for a batch
        [n, *O]; numbers of box actions lie in [-1, 1]."""
        obs = np.asarray(obs, self.spec.obs_dtype)
        single = obs.shape == self.spec.obs_shape
        batch = obs[None] if single else obs
        if batch.shape[1:] != self.spec.obs_shape:
            raise ValueError(
                f"an observation has shape {self.spec.obs_shape}, a batch has one more "
                f"axis in front; got {obs.shape}"
            )
        output = self.scores(batch)
        require_numbers(output)
        action = output.argmax(-1) if self.spec.actions else output
        return action[0] if single else action

    def scores(self, obs: np.ndarray) -> np.ndarray:
        """What the policy computes for observations [n, *O]: scores [n, actions], of
        which the largest acts, or numbers [n, A] of box actions."""
        with torch.inference_mode():
            return self.module(torch.as_tensor(obs)).numpy()


class OpenedRun:
    """A finished or interrupted run, at its newest intact checkpoint.

    `loaded` says which entries of the checkpoint were loaded. Policies are "last", at
    that checkpoint, or "best" by the evaluations up to it, if there were any."""

    def __init__(self, folder: Path, trust: bool = False):
        self.folder = Path(folder)
        self.path = self.folder
        self.config = _config(self.folder, trust)
        self.seeds = self.config.seeds
        self.checkpoint, state = _newest_intact(self.folder)
        _require_same_seeds(self.checkpoint, state["seeds"], self.seeds)
        self.step: int = state["run"]["step"]  # environment steps of one seed
        self.updates: int = state["run"]["updates"]  # of the offline phase
        chosen = self.config.plugged()
        self.world: World = chosen["env"]
        self.spec = spec_of(self.world)
        self.learner: Learner = chosen["learner"].setup(
            self.spec, self.seeds, _device(self.config), self.config.precision
        )
        self.loaded = self._load(state)

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return folders.is_finished(self.folder)

    def _load(self, state: State) -> checkpoint.Loaded:
        try:
            selected, report = checkpoint.select(
                self.learner.state(), state["learner"], "learner/"
            )
        except ValueError as error:
            raise ValueError(f"{self.checkpoint} cannot be loaded: {error}") from None
        if report.missing:
            raise ValueError(
                f"{self.checkpoint} does not fit the learner in config.yaml: {report}"
            )
        self.learner.load(selected)
        scores = state["scores"]
        self.scale = Scale(scores["floor"], scores["ceiling"])
        # environment step and offline updates at which each seed's policy was trained
        self.moments: dict[Which, tuple[np.ndarray | int, np.ndarray | int]] = {
            "last": (self.step, self.updates),
            "best": (scores["best_step"], scores["best_update"]),
        }
        self.weights: dict[Which, Snapshot] = {"last": self.learner.snapshot()}
        if np.isfinite(scores["best_reward"]).any():  # there was an evaluation
            best = scores["best"].items()
            device = self.learner.device
            self.weights["best"] = {name: own.to(device) for name, own in best}
        return report

    @property
    def policies(self) -> tuple[Which, ...]:
        """The policies that there are of every seed."""
        return tuple(self.weights)

    def config_with(self, words: Sequence[str]) -> Config:
        """The run's settings, after words of a command line such as --planner."""
        path = self.folder / "config.yaml"
        return flags.read(["--config", str(path), *words]).config

    def about(self) -> dict[str, Any]:
        """What a report says of it, as JSON holds it."""
        return {
            "folder": str(self.folder),
            "checkpoint": self.checkpoint.name,
            "finished": self.finished,
            "step": self.step,
            "updates": self.updates,
            "settings": flat(self.config),
        }

    def policy(self, seed: int = 0, which: Which = "last") -> ActingPolicy:
        """The policy of a seed, given as in `seeds`."""
        if seed not in self.seeds:
            raise ValueError(f"no seed {seed}; there are: {_listed(self.seeds)}")
        with self.using(which):
            module = self.learner.export(self.seeds.index(seed))
        return ActingPolicy(module, self.spec)

    def program(self, seed: int, which: Which) -> Program:
        """What the policy of a seed computes; raises Unsupported where no policy file
        describes it."""
        return program_of(self.policy(seed, which).module)

    def contract(self, seed: int, which: Which) -> dict[str, Any]:
        """What a policy file says of the policy of a seed."""
        contracts = contracts_of(self.config, self.world, which, *self.moments[which])
        return contracts[self.seeds.index(seed)]

    def play(
        self, episodes: Sequence[int], which: Which, epsilon: float = 0.0
    ) -> Episodes:
        """Let the learner of every seed play episodes alone, [P, N]; a share `epsilon`
        of its actions is random."""
        with self.using(which):
            return play_learner(self.learner, self.world, episodes, epsilon=epsilon)

    def evaluate(
        self, episodes: Sequence[int] | None = None, which: Which = "last"
    ) -> Evaluation:
        """Let the learner of every seed play the given episode seeds alone.

        By default these are the run's final episodes, which chose no policy: then the
        result equals the final evaluation of a finished run. Scores are relative to
        random play and the planner, or the data, on those episodes, otherwise to their
        returns at the start of the run."""
        if episodes is None:
            episodes = self.final_episodes
        episodes = _checked_episodes(episodes)
        played = self.play(episodes, which)
        scores = score(played.reward, self.scale_of(episodes))
        return Evaluation(
            seeds=self.seeds,
            reward=played.reward,
            length=played.length,
            success=played.success,
            score=scores,
        )

    @property
    def final_episodes(self) -> range:
        """The episodes of the run's final evaluation."""
        return final_episodes(self.config.eval_episodes)

    def scale_of(self, episodes: Sequence[int]) -> Scale:
        """The scale of scores on these episodes: that of the final evaluation on its
        own episodes, that of the start of the run on others."""
        is_final = list(episodes) == list(self.final_episodes)
        if is_final and self.finished and self.config.evaluation:
            return self._final_scale()
        return self.scale

    def _final_scale(self) -> Scale:
        """Random play, and the planner or the data, on the final episodes."""
        values = self.metrics("final").values
        floor = values["final/random_reward"][-1, 0]
        if "final/planner_reward" in values:
            ceiling = values["final/planner_reward"][-1, 0]
            scored = self.config.eval_episodes
            if "final/planner_episodes" in values:
                scored = int(values["final/planner_episodes"][-1, 0])
            if scored < self.config.eval_episodes:
                floor = self._random_reward(scored)
            return Scale(floor, ceiling, scored)
        has_scores = np.isfinite(values["final/last_score"][-1]).any()
        ceiling = values["final/data_reward"][-1, 0] if has_scores else np.nan
        return Scale(floor, ceiling)

    def _random_reward(self, count: int) -> float:
        """Mean return of random play on the first final episodes, which records have on
        all of them."""
        played = play_planner(
            plugins.make("planner", "random"),
            self.world,
            self.spec,
            self.final_episodes,
            name="random play",
            hint=advice.EVALUATION,
        )
        return float(played.reward[:count].mean())

    def metrics(self, kind: str = "evaluate", offline: bool = False) -> Metrics:
        """All records of a kind: baseline, start, collect, update, time, evaluate,
        compress or final; or those of the `offline` phase."""
        records = [
            record
            for record in folders.records(self.folder)
            if ("updates" in record) == offline
        ]
        chosen = [record for record in records if record["kind"] == kind]
        if not chosen:
            kinds = sorted({record["kind"] for record in records})
            where = " in its offline phase" if offline else ""
            raise ValueError(
                f"{self.folder} has no records of kind {kind!r}{where}; "
                f"there are: {', '.join(kinds) or 'none'}"
            )
        tags = dict.fromkeys(tag for record in chosen for tag in record["values"])
        unknown = [np.nan] * len(self.seeds)
        values = {}
        for tag in tags:
            column = [record["values"].get(tag, unknown) for record in chosen]
            values[tag] = np.array(column, float)  # null is nan
        position = "updates" if offline else "step"
        return Metrics(np.array([record[position] for record in chosen]), values)

    @contextmanager
    def using(self, which: Which) -> Iterator[None]:
        """Give the learner the weights of a policy, and as many threads as the run had,
        for a while."""
        if which not in self.weights:
            raise ValueError(f"no policy {which!r}; there are: {_listed(self.weights)}")
        everyone = np.ones(len(self.seeds), bool)
        self.learner.restore(self.weights[which], everyone)
        try:
            with _threads(self.config.threads):
                yield
        finally:
            self.learner.restore(self.weights["last"], everyone)


def open_all(paths: Sequence[Path], open_one: Callable[[Path], T]) -> dict[str, T]:
    """Open runs or files, by their names, with folders in front where two are the
    same."""
    named = by_name(paths)
    found: dict[str, T] = {}
    with phase("open", len(named), "runs") as current:
        for name, place in named.items():
            found[name] = open_one(place)
            current.advance()
    return found


def _config(folder: Path, trust: bool) -> Config:
    path = folder / "config.yaml"
    if not path.is_file():
        raise ValueError(f"{folder} is not a run: it has no config.yaml")
    try:
        with trusting(trust):
            return flags.read(["--config", str(path)]).config
    except Untrusted:
        raise
    except ValueError as error:
        raise ValueError(f"{path} is damaged or was edited: {error}") from None


def _newest_intact(folder: Path) -> tuple[Path, State]:
    """The newest checkpoint that can be read, and the parts of it that are used."""
    problems = []
    for path in checkpoint.newest(folder / "checkpoints"):
        try:
            state = checkpoint.read(path, only=PARTS)
        except ValueError as error:
            problems.append(str(error))
            continue
        if problems and folders.is_finished(folder):
            raise ValueError(
                f"the last checkpoint of the finished run {folder} is damaged: "
                f"{problems[0]}; {path.name} is the newest intact one"
            )
        for problem in problems:
            print(f"skipped: {problem}", file=sys.stderr)
        return path, state
    if problems:
        raise ValueError(f"{folder} has no intact checkpoint: {'; '.join(problems)}")
    raise ValueError(
        f"{folder} has no checkpoint yet; resume it to train it: "
        f"python -m curriculum.train --resume {folder}"
    )


def _require_same_seeds(path: Path, found: list[int], seeds: tuple[int, ...]) -> None:
    if found != list(seeds):
        raise ValueError(
            f"{path} holds seeds {_listed(found)}, config.yaml has {_listed(seeds)}; "
            "restore config.yaml"
        )


def _checked_episodes(episodes: Sequence[int]) -> tuple[int, ...]:
    """The episode seeds; ValueError unless they are whole numbers of at least 0."""
    try:
        checked: tuple[int, ...] = values.checked(tuple[int, ...], episodes)
    except values.Mismatch as problem:
        raise ValueError(f"episodes {problem}") from None
    if not checked or min(checked) < 0:
        raise ValueError(
            "episodes must be at least one whole number, none below 0, "
            f"got {values.shown(episodes)}"
        )
    return checked


def _device(config: Config) -> str:
    """The run's device, or the CPU on a machine without it."""
    available = config.device == "cpu" or torch.cuda.is_available()
    return config.device if available else "cpu"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use as many threads as the run did, so that results are the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(count, os.cpu_count() or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _listed(choices: Iterable[object]) -> str:
    return ", ".join(map(str, choices))
