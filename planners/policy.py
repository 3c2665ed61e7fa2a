"""A policy that was trained before: that of a run, or any policy file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.envs._base.spec import spec_of
from curriculum.planners._generators import SeedGenerators
from curriculum.run.mirror import readable
from curriculum.run.opened import OpenedRun
from curriculum.run.opened_file import FilePolicy, described_actions, require_fit
from curriculum.shipping import artefact, standalone
from curriculum.types import Planner, Rows, Spec, World, among

Act = Callable[[np.ndarray], np.ndarray]  # observations [n, *O] -> actions
INCLUDED = Path(__file__).with_name("_policies")  # policies of this package
EXPERT = "policy.safetensors"  # in the folder of a trained expert
RUN = "config.yaml"  # in the folder of a run


@dataclass(kw_only=True)
class Policy(Planner):
    """Acts without exploration. It must have been trained with the same observations
    and actions; the world may differ otherwise."""

    # a run's folder, a policy file such as seed0/policy-best.cur, the folder of an
    # `ars` expert, or the name of a policy that comes with this package
    path: str = ""
    seed: int | None = None  # whose policy, of a run's folder; None: the first seed's
    which: Literal["best", "last"] = "best"  # policy of a run's folder: best or last

    def __post_init__(self):
        among(self, "which")

    def check_world(self, world: World) -> None:
        self._read(spec_of(world), name_of(world))

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.spec = spec
        self.chosen = self._read(spec, name_of(rows.world))
        rows_per_seed = rows.count // len(seeds)
        self.owners = SeedGenerators(seeds, "policy planner", rows_per_seed)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.spec.actions:
            action = np.zeros(len(rows), np.int64)
        else:
            action = np.zeros((len(rows), self.spec.action_size), np.float32)
        # one call per seed: results may differ in the last bit with the batch size
        for _, own in self.owners.by_seed(rows):
            if own.any():
                action[own] = self.chosen(obs[own])
        return action

    def _read(self, spec: Spec, world: str) -> Act:
        """The policy; ValueError where there is none, or none for these spaces."""
        if not self.path:
            raise ValueError(
                "policy needs a run's folder or a policy file: --planner.path; "
                f"or the name of one that comes with this package: {_included()}"
            )
        given = readable(self.path)
        if (given / RUN).is_file():
            return self._of_run(given, spec, world)
        for path in (given, given / EXPERT, INCLUDED / f"{given}.safetensors"):
            if path.is_file() and path.suffix == ".cur":
                return _of_policy_file(path, spec, world)
            if path.is_file():
                return _of_arrays(path, spec, world)
        raise ValueError(
            f"there is no run and no policy file {given}; "
            f"policies that come with this package: {_included()}"
        )

    def _of_run(self, folder: Path, spec: Spec, world: str) -> Act:
        run = OpenedRun(folder)
        trained = run.spec
        same_actions = (trained.actions, trained.action_size)
        if trained.obs_shape != spec.obs_shape or trained.obs_dtype != spec.obs_dtype:
            raise ValueError(
                f"the run {folder} was trained with observations of shape "
                f"{trained.obs_shape} ({trained.obs_dtype}), those of {world} have "
                f"{spec.obs_shape} ({spec.obs_dtype})"
            )
        if same_actions != (spec.actions, spec.action_size):
            raise ValueError(
                f"the run {folder} was trained with {described_actions(trained)}, "
                f"{world} has {described_actions(spec)}"
            )
        seed = run.seeds[0] if self.seed is None else self.seed
        return run.policy(seed, self.which).act


def _of_policy_file(path: Path, spec: Spec, world: str) -> Act:
    """The policy of a policy file, with box actions in [-1, 1]."""
    policy = standalone.load_policy(path)
    require_fit(policy, path, spec, world)
    return FilePolicy(policy).act


def _of_arrays(path: Path, spec: Spec, world: str) -> Act:
    """The policy of a file of named arrays, which numpy alone runs."""
    forward = artefact.load(path)
    try:
        output = forward(np.zeros((1, *spec.obs_shape), np.float32))
    except ValueError as error:
        raise ValueError(f"{path} does not fit {world}: {error}") from None
    if output.shape[-1] != (spec.actions or spec.action_size):
        raise ValueError(
            f"{path} gives {output.shape[-1]} numbers, {world} has "
            f"{described_actions(spec)}"
        )

    def act(obs: np.ndarray) -> np.ndarray:
        numbers = forward(obs)
        if spec.actions:
            return numbers.argmax(-1)
        return numbers.clip(-1, 1)

    return act


def _included() -> str:
    """The names of the policies of this package."""
    return ", ".join(sorted(path.stem for path in INCLUDED.glob("*.safetensors")))
