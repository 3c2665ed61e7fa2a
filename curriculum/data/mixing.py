"""Mix and split data sets, in whole episodes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest
from curriculum.types import Episode, Spec, stream


class Part(NamedTuple):
    """Episodes of one data set."""

    data: DataSet
    indices: np.ndarray  # [m] of episodes
    sources: np.ndarray  # uint8: what its sources are called in the mixture

    def episode(self, index: int) -> Episode:
        """One episode, with the sources of the mixture."""
        episode = self.data.episode(index)
        assert episode.source is not None
        return episode._replace(source=self.sources[episode.source])


def mixed_manifest(data: Sequence[DataSet]) -> Manifest:
    """The manifest of a mixture; ValueError where data sets do not fit together."""
    first = data[0].manifest
    for other in data[1:]:
        _require_alike(data[0], other)
    sources: list[str] = []
    seeds: list[int] = []
    for each in data:
        sources += each.manifest.sources
        seeds += each.manifest.seeds
    return Manifest(
        spec=first.spec,
        env=first.env,
        env_settings=_shared_settings(data),
        sources=tuple(dict.fromkeys(sources)),
        seeds=tuple(dict.fromkeys(seeds)),
        reward=first.reward,
        made={"of": [each.folder.name for each in data]},
    )


def _shared_settings(data: Sequence[DataSet]) -> dict[str, Any]:
    """The settings of the world that all data sets have."""
    differing = differing_settings(data)
    first = data[0].manifest.env_settings
    return {name: first[name] for name in first if name not in differing}


def differing_settings(data: Sequence[DataSet]) -> list[str]:
    """Settings of the world in which data sets differ: a mixture does not have them."""
    settings = [each.manifest.env_settings for each in data]
    names = sorted({name for each in settings for name in each})
    return [
        name
        for name in names
        if any(each.get(name) != settings[0].get(name) for each in settings)
    ]


def _require_alike(one: DataSet, other: DataSet) -> None:
    pairs = {
        "worlds": (one.manifest.env, other.manifest.env),
        "observations": (_obs(one.manifest.spec), _obs(other.manifest.spec)),
        "actions": (_actions(one.manifest.spec), _actions(other.manifest.spec)),
        "rewards": (one.columns.reward.dtype.name, other.columns.reward.dtype.name),
    }
    for what, (first, second) in pairs.items():
        if first != second:
            raise ValueError(
                f"{one.folder} and {other.folder} cannot be mixed, their {what} "
                f"differ: {first} and {second}"
            )


def _obs(spec: Spec) -> str:
    stack = f" of {spec.frames} frames" if spec.frames else ""
    return f"{spec.obs_dtype} {list(spec.obs_shape)}{stack}"


def _actions(spec: Spec) -> str:
    return (
        f"{spec.actions} discrete" if spec.actions else f"a box of {spec.action_size}"
    )


def mix(
    data: Sequence[DataSet],
    shares: Sequence[float] | None,
    names: Sequence[str],
    seed: int,
) -> Iterator[Episode]:
    """Episodes of several data sets in random order, so many that their transitions are
    in the proportion of these shares; all of them without shares. `names` are those of
    all sources."""
    wanted = [each.transitions for each in data]
    if shares is not None:
        sizes = zip(wanted, shares, strict=True)
        per_share = min(size / share for size, share in sizes)
        wanted = [round(share * per_share) for share in shares]
    parts = []
    for number, (each, most) in enumerate(zip(data, wanted, strict=True)):
        order = stream(seed, f"mix {number}").permutation(len(each))
        reached = each.columns.length[order].cumsum()
        count = int(np.searchsorted(reached, most)) + 1
        own = [names.index(name) for name in each.manifest.sources]
        parts.append(Part(each, order[:count], np.array(own, np.uint8)))
    owners = np.repeat(np.arange(len(parts)), [len(part.indices) for part in parts])
    indices = np.concatenate([part.indices for part in parts])
    for place in stream(seed, "mix").permutation(len(owners)):
        yield parts[owners[place]].episode(int(indices[place]))


def split(data: DataSet, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of the episodes in their order, the first with this share of
    them; ValueError where one would be empty."""
    count = round(share * len(data))
    if not 0 < count < len(data):
        raise ValueError(
            f"{data.folder} has {len(data)} episodes; a share of {share:g} leaves none "
            "for one of the two"
        )
    order = stream(seed, "split").permutation(len(data))
    return np.sort(order[:count]), np.sort(order[count:])
