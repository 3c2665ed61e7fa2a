"""Suggestions for misspelled names."""

from collections.abc import Iterable, Sequence


def suggestion(given: str, names: Iterable[str]) -> str:
    """The end of a message about a name that does not exist: the similar name, if there
    is one."""
    found = closest(given, list(names))
    return f" (perhaps you meant {found})" if found else ""


def closest(given: str, names: Sequence[str]) -> str:
    """The name that fewest typing mistakes turn into `given`; empty if all names are
    far from it."""
    given = given[:100]
    allowed = max(1, len(given) // 3)
    if not given or not names:
        return ""
    distances = [_distance(given.lower(), name.lower()) for name in names]
    nearest = min(distances)
    return names[distances.index(nearest)] if nearest <= allowed else ""


def _distance(a: str, b: str) -> int:
    """Letters to insert, delete, replace or exchange with their neighbour until `a` is
    `b` (the optimal string alignment distance)."""
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            replaced = above[j - 1] + (letter != other)
            best = min(above[j] + 1, row[j - 1] + 1, replaced)
            exchanged = i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other
            if exchanged:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = above
        above = row
    return above[-1]
