"""Scaling of observations and rewards before a learner sees them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.scaling import DATA, ObsScale
from curriculum.learning.weights import Weights
from curriculum.types import Batch, Spec, State

RETURN_RANGE = 1000  # what `scale_returns` maps the range of returns to


@dataclass(kw_only=True)
class Normalizer:
    """Maps observations to about [-1, 1], for each seed on its own, and scales rewards.

    `ObsScale` decides feature by feature whether bounds or data set the scale. Images
    are left to the networks. Mean and scale lie in `weights`, since a policy is worth
    nothing without those it was trained with: snapshots and checkpoints hold both."""

    normalize_obs: bool = True
    # normalised observations are clipped to [-limit, limit]
    limit: float = 10.0
    pixel_center: float = 0.0  # subtracted from pixels in [0, 1], by the networks
    reward_scale: float = 1.0
    # divide rewards by the range of the first returns as well (IQL's rule for
    # locomotion)
    scale_returns: bool = False

    def setup(self, spec: Spec, seeds: int, device: str = "cpu") -> Self:
        """Prepare for observations of this kind and return self."""
        self.images = bool(spec.frames)
        self.active = self.normalize_obs and not self.images
        size = 1 if self.images else math.prod(spec.obs_shape)
        self.weights = Weights([(seeds, 1, size)] * 2, device)
        self.mean, self.scale = self.weights.blocks
        self.scale.fill_(1)
        self.reward_factor = torch.full((seeds, 1), self.reward_scale, device=device)
        if self.active:
            self.obs_scale = ObsScale(spec, seeds)
            self._use_scale(np.ones(seeds, bool))
        return self

    def add(self, obs: np.ndarray, present: np.ndarray | None = None) -> None:
        """Take in observations [P, n, *O] that were collected for the seeds in mask
        `present` [P]; the scale changes whenever they have doubled."""
        if not self.active or self.obs_scale.settled:
            return
        flat = obs.reshape(*obs.shape[:2], -1)
        self._use_scale(self.obs_scale.add(flat, present))

    @property
    def unseen(self) -> np.ndarray:
        """Seeds whose scale waits for the first observations, [P] bool."""
        if not self.active or self.obs_scale.settled:
            return np.zeros(len(self.mean), bool)
        return self.obs_scale.unseen

    def refresh(self) -> None:
        """Use all that was added for the scale, now."""
        if not self.active:
            return
        self.obs_scale.refresh()
        self._use_scale(np.ones(len(self.mean), bool))

    def fit(self, obs: Sequence[np.ndarray]) -> None:
        """Take in observations [n, *O] for every seed, and use them now."""
        for seed, own in enumerate(obs):
            if not len(own):
                continue
            present = np.arange(len(obs)) == seed
            self.add(np.broadcast_to(own, (len(obs), *own.shape)), present)
        self.refresh()

    def fit_shared(self, obs: Iterable[np.ndarray]) -> None:
        """Take in observations that all seeds share, [n, *O] at a time, and use all
        that was added now."""
        if self.active:
            for own in obs:
                self.add(np.broadcast_to(own, (len(self.mean), *own.shape)))
                if self.obs_scale.settled:
                    break
        self.refresh()

    def _use_scale(self, seeds: np.ndarray) -> None:
        """Overwrite mean and scale of the seeds in mask [P]."""
        for index in np.flatnonzero(seeds):
            self.mean[index, 0] = torch.from_numpy(self.obs_scale.mean[index])
            self.scale[index, 0] = torch.from_numpy(self.obs_scale.scale[index])

    def describe(self) -> str:
        """Say in one line how observations are scaled; empty where they are not."""
        if not self.active:
            return ""
        seeds = range(len(self.mean))
        kinds = dict.fromkeys(self.obs_scale.describe(seed) for seed in seeds)
        size = self.mean.shape[-1]
        return f"{size} features scaled: {' or, by seed, '.join(kinds)}"

    def fit_rewards(self, returns: Sequence[np.ndarray]) -> np.ndarray:
        """Scale rewards by the range of these episodes' returns, an array for every
        seed, if `scale_returns` says so.

        Seeds whose returns have no range stay as they are; returns the mask of those
        that are scaled as they should be, [P]."""
        fitted = np.ones(len(returns), bool)
        if not self.scale_returns:
            return fitted
        for seed, own in enumerate(returns):
            if len(own) < 2 or np.ptp(own) == 0:
                fitted[seed] = False
                continue
            factor = self.reward_scale * RETURN_RANGE / float(np.ptp(own))
            self.reward_factor[seed] = factor
        return fitted

    def normalize(self, obs: Tensor) -> Tensor:
        """Turn observations [P, B, *O] into [P, B, O]; images stay as they are."""
        if self.images:
            return obs
        if obs.dtype != torch.float32 or obs.dim() > 3:
            obs = obs.float().flatten(2)
        if not self.active:
            return obs
        scaled = (obs - self.mean).mul_(self.scale)
        return scaled.clamp_(-self.limit, self.limit)

    def normalize_array(self, obs: np.ndarray) -> np.ndarray:
        """`normalize` on the CPU without torch, of observations that are no images."""
        flat = obs.reshape(*obs.shape[:2], -1).astype(np.float32, copy=False)
        if not self.active:
            return flat
        mean, scale = self.weights.arrays
        scaled = flat - mean
        scaled *= scale
        limit = np.float32(self.limit)
        np.minimum(scaled, limit, out=scaled)
        np.maximum(scaled, -limit, out=scaled)
        return scaled

    def prepare(self, batch: Batch) -> Batch:
        """Normalise the observations of a batch and scale its rewards, returns and
        values."""
        obs = self.normalize(batch.obs)
        next_obs = self.normalize(batch.next_obs)
        batch = batch._replace(obs=obs, next_obs=next_obs)
        if self.reward_scale == 1 and not self.scale_returns:
            return batch
        factor = self.reward_factor
        batch = batch._replace(reward=batch.reward * factor)
        if batch.mc_return is not None:
            batch = batch._replace(mc_return=batch.mc_return * factor)
        if batch.label_value is not None:
            batch = batch._replace(label_value=batch.label_value * factor)
        return batch

    def export(self, seed: int) -> nn.Module:
        """The first layer of the policy of the seed with this index."""
        if self.images:
            return Scale(self.pixel_center)
        mean = self.mean[seed, 0].cpu().clone()
        scale = self.scale[seed, 0].cpu().clone()
        # bounds leave nothing to clip
        clips = self.active and (self.obs_scale.mode[seed] == DATA).any()
        return Normalize(mean, scale, self.limit if clips else 0.0)

    def state(self) -> State:
        """Return everything that `load` restores; `weights` hold the rest."""
        scale = self.obs_scale.state() if self.active else {}
        return {"obs_scale": scale, "reward_factor": self.reward_factor.clone()}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        if self.active:
            self.obs_scale.load(state["obs_scale"])
        self.reward_factor.copy_(state["reward_factor"])


class Normalize(nn.Module):
    """(x - mean) * scale, clipped to [-limit, limit] unless it is 0: the first layer of
    an exported policy."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, limit: float = 0.0):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """Observations [n, *O] -> [n, O]."""
        scaled = (x.float().flatten(1) - self.mean) * self.scale
        if self.limit:
            scaled = scaled.clamp(-self.limit, self.limit)
        return scaled


class Scale(nn.Module):
    """Images with values 0 .. 255 to [0, 1], less `center`: the first layer of an
    exported policy."""

    def __init__(self, center: float = 0.0):
        super().__init__()
        self.center = center

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, F, H, W] of the same shape."""
        return x.float() / 255 - self.center
