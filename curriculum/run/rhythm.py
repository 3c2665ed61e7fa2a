"""When something is due that happens every so many steps or updates."""

from collections.abc import Iterable


def is_due(every: int, previous: int, now: int, end: int) -> bool:
    """Whether a multiple of `every` lies behind `previous`, at `now` at the latest, or
    `now` is the end; never for 0."""
    if every == 0:
        return False
    return now // every > previous // every or now >= end


def until_next(rhythms: Iterable[int], now: int, end: int) -> int:
    """How far it is from `now` to the next multiple of any rhythm, or to the end;
    rhythms of 0 are never due."""
    distances = [every - now % every for every in rhythms if every]
    return min([*distances, end - now])
