"""The layout of a packed row, and the memory into which one call gathers the rows of
all its batches."""

import numpy as np
import torch
from torch import Tensor

from curriculum.types import Batch, Spec


OPTIONAL = tuple(Batch._field_defaults)  # columns that only some learners need


def widths(spec: Spec, needs: tuple[str, ...]) -> dict[str, int]:
    """Floats that each part of a transition takes in its packed row; pictures stand
    elsewhere."""
    unknown = sorted(set(needs) - set(OPTIONAL))
    if unknown:
        raise ValueError(
            f"no optional column {', '.join(unknown)}; there are: {', '.join(OPTIONAL)}"
        )
    obs = 0 if spec.frames else int(np.prod(spec.obs_shape))
    own = {
        "obs": obs,
        "action": 1 if spec.actions else spec.action_size,
        "reward": 1,
        "discount": 1,
        "next_obs": obs,
    }
    return own | dict.fromkeys(needs, 1)


class Batches:
    """`batches` batches [P, B] that every call of `gather` fills anew, and the indices
    that say with what."""

    def __init__(
        self,
        spec: Spec,
        width: dict[str, int],
        sizes: tuple[int, int, int],
        coins: int,
        far: bool,
        device: str,
    ):
        # (batches, P, B); whether windows go over many steps
        self.sizes, self.far, self.device = sizes, far, device
        # [P, batches, coins, B], each seed's in one piece
        self.coins = np.zeros((sizes[1], sizes[0], coins, sizes[2]))
        self.turned = self.coins.swapaxes(0, 1)  # [batches, P, coins, B]
        self.index = np.zeros(sizes, np.int64)
        self.rows = torch.zeros((self.index.size, sum(width.values())), device=device)
        # or what is gathered beside them: pictures, or the rows in which windows end
        self.more = self.rows
        parts = self._parts(self.rows, width)
        obs, next_obs = parts["obs"], parts["next_obs"]
        if spec.frames:
            each, picture = (
                2 * spec.frames if far else spec.frames + 1,
                spec.obs_shape[1:],
            )
            self.more = torch.zeros(
                (len(self.rows) * each, *picture), dtype=torch.uint8, device=device
            )
            shown = self.more.view(*sizes, each, *picture)
            obs, next_obs = (
                shown[:, :, :, : spec.frames],
                shown[:, :, :, -spec.frames :],
            )
        elif far:
            self.more = torch.zeros_like(self.rows)
            next_obs = self._parts(self.more, width)["next_obs"]
        self.copied = words(self.more)
        self.reward, self.discount = (
            parts["reward"].squeeze(-1),
            parts["discount"].squeeze(-1),
        )
        # a discrete action is a float in its row
        self.stored = parts["action"].squeeze(-1) if spec.actions else None
        self.action = (
            parts["action"] if self.stored is None else self.stored.to(torch.int64)
        )
        obs, next_obs = (each.view(*sizes, *spec.obs_shape) for each in (obs, next_obs))
        returned = (
            parts["mc_return"].squeeze(-1)
            if "mc_return" in parts
            else [None] * sizes[0]
        )
        fields = zip(
            obs,
            self.action,
            self.reward,
            self.discount,
            next_obs,
            returned,
            strict=True,
        )
        self.batches = [Batch(*each) for each in fields]

    def _parts(self, rows: Tensor, width: dict[str, int]) -> dict[str, Tensor]:
        return dict(
            zip(
                width,
                rows.view(*self.sizes, -1).split(list(width.values()), -1),
                strict=True,
            )
        )

    def gather(
        self, rows: Tensor, other: Tensor, more: np.ndarray | None
    ) -> list[Batch]:
        """Take `index` of the packed `rows`, and `more` of `other`, rows or `words`,
        where there is more to take."""
        wanted = [(rows, self.index.reshape(-1), self.rows)]
        if more is not None:
            wanted.append((other, more.reshape(-1), self.copied))
        if self.device == "cpu":
            for source, places, out in wanted:
                # a quarter quicker than index_select, where rows are short
                if out.dtype == torch.float32:
                    np.take(source.numpy(), places, 0, out.numpy(), "clip")
                else:
                    torch.index_select(source, 0, torch.from_numpy(places), out=out)
        else:
            sizes = [places.size for _, places, _ in wanted]
            sent = (
                torch.from_numpy(np.concatenate([places for _, places, _ in wanted]))
                .to(self.device)
                .split(sizes)
            )
            for (source, _, out), there in zip(wanted, sent, strict=True):
                torch.index_select(source, 0, there, out=out)
        if self.stored is not None:
            self.action.copy_(self.stored)
        return list(self.batches)


def words(pictures: Tensor) -> Tensor:
    """Pictures [n, H, W] uint8 as rows of eight pixels a number, which are copied a
    third quicker; others as is."""
    if pictures.dtype != torch.uint8:
        return pictures
    flat = pictures.view(len(pictures), -1)
    return flat.view(torch.int64) if flat.shape[1] % 8 == 0 else flat
