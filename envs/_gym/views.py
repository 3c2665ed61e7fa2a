"""How an environment is seen: which parts of its observations, and as what."""

from collections.abc import Iterator, Sequence

import gymnasium as gym

from curriculum.envs._gym.pictures import Keys, PictureView, is_picture
from curriculum.envs._gym.spaces import FlatView

View = FlatView | PictureView
Spaces = dict[Keys, gym.Space]  # by the keys that lead to them


def view_of(
    spaces: Spaces, env_id: str, *, frames: int, largest_code: int | None
) -> View:
    """A single picture as a stack of `frames`, anything else as numbers.

    `largest_code` bounds uint8 boxes that hold codes. ValueError for spaces that can be
    neither, and for pictures beside other parts."""
    pictures = [keys for keys, space in spaces.items() if is_picture(space)]
    if not pictures:
        return FlatView(spaces, env_id, largest_code)
    (keys, space), *others = spaces.items()
    if others:
        names = [name_of(keys) for keys in spaces]
        other = next(name for name in names if name != name_of(pictures[0]))
        raise ValueError(
            f"{env_id} shows pictures beside other parts ({', '.join(names)}), which "
            "no network here takes together; choose some of them, such as "
            f"--env.parts {name_of(pictures[0])} or --env.parts {other}"
        )
    assert is_picture(space)
    return PictureView(space, keys, frames, env_id)


def parts_of(
    space: gym.Space, chosen: Sequence[str], env_id: str
) -> tuple[Spaces, list[str]]:
    """The parts of an observation that are not text, and the names of those that are.

    Only those named or inside of those named in `chosen`, unless that is empty;
    ValueError for a name that does not exist."""
    found = dict(_parts(space))
    names = {name for keys in found for name in _names_of(keys)}
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(
            f"{env_id} shows no part {unknown[0]!r}; "
            f"there are: {', '.join(sorted(names)) or 'none'}"
        )
    spaces: Spaces = {}
    text = []
    for keys, part in found.items():
        if chosen and not _names_of(keys) & set(chosen):
            continue
        if getattr(part.dtype, "kind", "") == "U":
            text.append(name_of(keys))
        else:
            spaces[keys] = part
    if not spaces:
        raise ValueError(f"{env_id} shows nothing but text: {space}")
    return spaces, text


def name_of(keys: Keys) -> str:
    """The name of a part: the keys that lead to it, joined by dots."""
    return ".".join(map(str, keys))


def _names_of(keys: Keys) -> set[str]:
    """The names of a part and of the dictionaries and tuples that it is in."""
    return {name_of(keys[:depth]) for depth in range(1, len(keys) + 1)}


def _parts(space: gym.Space, keys: Keys = ()) -> Iterator[tuple[Keys, gym.Space]]:
    """The spaces inside dictionaries and tuples, with the keys that lead to them."""
    if isinstance(space, gym.spaces.Dict):
        for name, part in space.spaces.items():
            yield from _parts(part, (*keys, name))
    elif isinstance(space, gym.spaces.Tuple):
        for index, part in enumerate(space.spaces):
            yield from _parts(part, (*keys, index))
    else:
        yield keys, space
