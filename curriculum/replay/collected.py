"""What a seed has collected, read back from its ring as episodes."""

from collections.abc import Iterator

import numpy as np
import torch

from curriculum.replay.buffer import Buffer
from curriculum.types import Episode


def episodes(buffer: Buffer, p: int) -> Iterator[Episode]:
    """What seed `p` has collected and still holds, as episodes in the order in which
    they began; rewards as the world gave them.

    An episode of which a part was not stored or is evicted is cut there."""
    columns = buffer.episodes.columns
    for slots in chains(buffer, p):
        last = slots[-1]
        places = buffer.ring.offset[p, 0] + slots
        source: np.ndarray = buffer.sources.at(places)
        reward = columns.reward[p, slots] - np.float32(buffer.reward_shift)
        yield Episode(
            observation=_observations(buffer, places),
            action=_actions(buffer, places),
            reward=reward,
            next_observation=_observations(buffer, places, after=True),
            terminated=bool(columns.terminated[p, last]),
            truncated=bool(columns.truncated[p, last]),
            source=source,
        )


def chains(buffer: Buffer, p: int) -> Iterator[np.ndarray]:
    """Slots [T] of linked transitions that seed `p` holds, each chain in order."""
    ring = buffer.ring
    columns = buffer.episodes.columns
    slots = ring.slots(p)
    numbers = np.arange(ring.evicted[p], ring.added[p])
    distance = columns.distance[p, slots]
    begins = (distance == 0) | (numbers - distance < ring.evicted[p])
    ahead = columns.ahead[p].tolist()
    for slot in slots[begins].tolist():
        chain = [slot]
        while ahead[slot]:
            slot += ahead[slot]
            chain.append(slot)
        yield np.array(chain)


def _observations(
    buffer: Buffer, places: np.ndarray, after: bool = False
) -> np.ndarray:
    """Observations [T, *O] at these places, or those `after` each step."""
    if buffer.frames:
        return buffer.frames.obs(places, after)
    obs = _column(buffer, "next_obs" if after else "obs", places)
    shaped = obs.reshape(-1, *buffer.spec.obs_shape)
    return shaped.astype(buffer.spec.obs_dtype, copy=False)


def _actions(buffer: Buffer, places: np.ndarray) -> np.ndarray:
    """Actions [T] or [T, A]."""
    action = _column(buffer, "action", places)
    return action[:, 0].astype(np.int64) if buffer.spec.actions else action


def _column(buffer: Buffer, name: str, places: np.ndarray) -> np.ndarray:
    """A column [T, width] of the packed transitions at these places."""
    column = buffer.storage.flat[:, buffer.layout.column(name)]
    there = torch.from_numpy(places).to(buffer.device)
    return column[there].cpu().numpy()
