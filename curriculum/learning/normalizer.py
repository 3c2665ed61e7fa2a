"""Scaling of observations and rewards before a learner sees them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.types import Batch, Spec, State

RETURN_RANGE = 1000  # what `scale_returns` maps the range of returns to


@dataclass(kw_only=True)
class Normalizer:
    """Maps observations to about [-1, 1], for each seed on its own, and scales rewards.

    Bounded observations are mapped by their bounds, unbounded ones are standardised by
    the data that `fit` is given. Images are left to the networks."""

    normalize_obs: bool = True
    reward_scale: float = 1.0
    # divide rewards by the range of the first returns as well (IQL's rule for
    # locomotion)
    scale_returns: bool = False

    def setup(self, spec: Spec, seeds: int, device: str = "cpu") -> Self:
        """Prepare for observations of this kind and return self."""
        self.images = bool(spec.frames)
        size = 1 if self.images else math.prod(spec.obs_shape)
        self.mean = torch.zeros(seeds, 1, size, device=device)
        self.scale = torch.ones(seeds, 1, size, device=device)
        self.reward_factor = torch.full((seeds, 1), self.reward_scale, device=device)
        low = np.ravel(spec.obs_low)
        high = np.ravel(spec.obs_high)
        bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
        active = self.normalize_obs and not self.images
        self.standardizes = active and not bounded
        if active and bounded:
            self._use_bounds(low, high)
        return self

    def _use_bounds(self, low: np.ndarray, high: np.ndarray) -> None:
        lower = torch.as_tensor(low, dtype=torch.float32)
        upper = torch.as_tensor(high, dtype=torch.float32)
        self.mean[:] = (upper + lower) / 2
        self.scale[:] = 2 / (upper - lower).clamp(min=1e-6)

    def fit(self, obs: Sequence[np.ndarray]) -> None:
        """Standardise unbounded observations by these, [n, *O] for every seed.

        Seeds with fewer than two observations stay as they are."""
        if not self.standardizes:
            return
        for seed, own in enumerate(obs):
            if len(own) < 2:
                continue
            flat = torch.as_tensor(own, dtype=torch.float32).flatten(1)
            self.mean[seed, 0] = flat.mean(0)
            self.scale[seed, 0] = 1 / flat.std(0).clamp(min=1e-3)

    def fit_rewards(self, returns: Sequence[np.ndarray]) -> None:
        """Scale rewards by the range of these episodes' returns, an array for every
        seed, if `scale_returns` says so.

        Seeds whose returns have no range stay as they are."""
        if not self.scale_returns:
            return
        for seed, own in enumerate(returns):
            if len(own) < 2 or np.ptp(own) == 0:
                continue
            factor = self.reward_scale * RETURN_RANGE / float(np.ptp(own))
            self.reward_factor[seed] = factor

    def normalize(self, obs: Tensor) -> Tensor:
        """Turn observations [P, B, *O] into [P, B, O]; images stay as they are."""
        if self.images:
            return obs
        if obs.dtype != torch.float32 or obs.dim() > 3:
            obs = obs.float().flatten(2)
        return (obs - self.mean).mul_(self.scale)

    def prepare(self, batch: Batch) -> Batch:
        """Normalise the observations of a batch and scale its rewards and returns."""
        obs = self.normalize(batch.obs)
        next_obs = self.normalize(batch.next_obs)
        batch = batch._replace(obs=obs, next_obs=next_obs)
        if self.reward_scale == 1 and not self.scale_returns:
            return batch
        reward = batch.reward * self.reward_factor
        if batch.mc_return is None:
            return batch._replace(reward=reward)
        mc_return = batch.mc_return * self.reward_factor
        return batch._replace(reward=reward, mc_return=mc_return)

    def export(self, seed: int) -> nn.Module:
        """The first layer of the policy of the seed with this index."""
        if self.images:
            return Scale()
        mean = self.mean[seed, 0].cpu().clone()
        scale = self.scale[seed, 0].cpu().clone()
        return Normalize(mean, scale)

    def state(self) -> State:
        """Return everything that `load` restores."""
        return {
            "mean": self.mean.clone(),
            "scale": self.scale.clone(),
            "reward_factor": self.reward_factor.clone(),
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.mean.copy_(state["mean"])
        self.scale.copy_(state["scale"])
        self.reward_factor.copy_(state["reward_factor"])


class Normalize(nn.Module):
    """(x - mean) * scale, the first layer of an exported policy."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Observations [n, *O] -> [n, O]."""
        return (x.float().flatten(1) - self.mean) * self.scale


class Scale(nn.Module):
    """Images with values 0 .. 255 to [0, 1], the first layer of an exported policy."""

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, F, H, W] of the same shape."""
        return x.float() / 255
