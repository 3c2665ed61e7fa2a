"""Random batches for the checks of learners and bonuses."""

import numpy as np
import torch
from torch import Tensor

from curriculum.contract.promises import BrokenPromise
from curriculum.types import Batch, Spec, stream

SIZE = 16


def random_obs(spec: Spec, seeds: tuple[int, ...], name: str) -> np.ndarray:
    """Draw observations [P, B, *O], each seed from its own stream."""
    return np.stack([_obs(spec, stream(seed, name)) for seed in seeds])


def random_batch(
    spec: Spec,
    seeds: tuple[int, ...],
    number: int,
    needs: tuple[str, ...] = (),
    discount: float = 0.99,
    n_step: int = 1,
) -> Batch:
    """Draw batch `number` with the columns in `needs`; windows have up to `n_step`
    steps."""
    unknown = sorted(set(needs) - set(Batch._fields))
    if unknown:
        columns = ", ".join(Batch._fields[5:])
        raise BrokenPromise(
            f"needs names {unknown[0]!r}; optional columns of a batch are: {columns}"
        )
    name = f"contract {number}"
    generators = [stream(seed, name) for seed in seeds]
    terminated = _stack([g.random(SIZE) < 0.1 for g in generators])
    optional: dict[str, Tensor] = {}
    if "mc_return" in needs:
        optional["mc_return"] = _stack([g.normal(size=SIZE) for g in generators])
    if "label" in needs:
        optional["label"] = _actions(spec, generators)
    if "has_label" in needs:
        optional["has_label"] = _stack([g.random(SIZE) < 0.5 for g in generators])
    if "soft_label" in needs:
        drawn = [g.dirichlet(np.ones(spec.actions), SIZE) for g in generators]
        optional["soft_label"] = _stack(drawn)
    if "label_value" in needs:
        optional["label_value"] = _stack([g.normal(size=SIZE) for g in generators])
    if "label_stake" in needs:
        optional["label_stake"] = _stack([g.random(SIZE) for g in generators])
    if {"action_window", "window_taken"} & set(needs):
        optional |= _windows(spec, generators, n_step)
    return Batch(
        obs=torch.as_tensor(random_obs(spec, seeds, f"{name} obs")),
        action=_actions(spec, generators),
        reward=_stack([g.normal(size=SIZE) for g in generators]),
        discount=discount * (1 - terminated),
        next_obs=torch.as_tensor(random_obs(spec, seeds, f"{name} next_obs")),
        **optional,
    )


def copy_of(batch: Batch) -> list[Tensor]:
    """Copy the columns that a batch has."""
    return [column.clone() for column in batch if column is not None]


def _obs(spec: Spec, rng: np.random.Generator) -> np.ndarray:
    shape = (SIZE, *spec.obs_shape)
    low = np.maximum(spec.obs_low.astype(float), -3)
    high = np.minimum(spec.obs_high.astype(float), 3)
    if spec.obs_dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return (low + (high - low) * rng.random(shape)).astype(spec.obs_dtype)


def _actions(spec: Spec, generators: list[np.random.Generator]) -> Tensor:
    if spec.actions:
        drawn = [g.integers(spec.actions, size=SIZE) for g in generators]
        return torch.as_tensor(np.stack(drawn))
    return _stack([g.uniform(-1, 1, (SIZE, spec.action_size)) for g in generators])


def _windows(
    spec: Spec, generators: list[np.random.Generator], n_step: int
) -> dict[str, Tensor]:
    """Windows of 1 to `n_step` steps."""
    steps = [_actions(spec, generators) for _ in range(n_step)]
    window = torch.stack(steps, 2)  # [P, B, n] or [P, B, n, A]
    length = _stack([g.integers(1, n_step + 1, SIZE) for g in generators])
    taken = torch.arange(n_step) < length.unsqueeze(-1)  # [P, B, n]
    mask = taken if spec.actions else taken.unsqueeze(-1)
    return {"action_window": window * mask, "window_taken": taken.float()}


def _stack(arrays: list[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.stack(arrays), dtype=torch.float32)
