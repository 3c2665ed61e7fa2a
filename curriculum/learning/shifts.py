"""Random shifts of images (DrQ: Kostrikov et al. 2020, arXiv 2004.13649)."""

import torch
from torch import Tensor

from curriculum.learning.noise import Noise
from curriculum.types import Batch


def shifted(batch: Batch, pixels: int, noise: Noise) -> Batch:
    """A batch whose images are shifted by up to so many pixels, `obs` and `next_obs`
    on their own; the images of one stack move together."""
    obs = shift(batch.obs, _draw(batch.obs, pixels, noise))
    next_obs = shift(batch.next_obs, _draw(batch.next_obs, pixels, noise))
    return batch._replace(obs=obs, next_obs=next_obs)


def shift(images: Tensor, offset: Tensor) -> Tensor:
    """Images [P, B, F, H, W] that begin `offset` [P, B, 2] pixels further down and
    right; what lies outside repeats the edge."""
    height, width = images.shape[-2:]
    row = _sources(height, offset[..., 0])  # [P, B, H]
    column = _sources(width, offset[..., 1])  # [P, B, W]
    rows = row[:, :, None, :, None].expand(images.shape)
    columns = column[:, :, None, None, :].expand(images.shape)
    return images.gather(-2, rows).gather(-1, columns)


def _draw(images: Tensor, pixels: int, noise: Noise) -> Tensor:
    """Offsets [P, B, 2] from -pixels to pixels, uniform."""
    drawn = noise.uniform(images.shape[1], 2) * (2 * pixels + 1)
    return drawn.long() - pixels


def _sources(size: int, offset: Tensor) -> Tensor:
    """Which pixel each of `size` is taken from, [P, B, size]."""
    position = torch.arange(size, device=offset.device)
    return (position + offset.unsqueeze(-1)).clamp(0, size - 1)
