"""The space of a search: flags, and the values that each may take."""

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from curriculum.setting.spelling import suggestion

Value = str | int | float
Settings = dict[str, Value]  # a value for every parameter, by flag
FORM = re.compile(
    r"\s*(?:--)?(?P<flag>[\w.-]+)\s*=\s*(?P<kind>\w+)\s*\((?P<rest>.*)\)\s*"
)
CHOICE = "choice"
RANGES = ("uniform", "loguniform", "int", "logint")
MOST_CORNERS = 64  # combinations of choices that are checked before a search
DIGITS = 4  # that drawn numbers have
BETWEEN = 1 / math.pi  # a share at which hardly any range has a whole number
EXAMPLE = "learner.alpha=loguniform(0.01,10)"


class Parameter(NamedTuple):
    """A flag and its possible values."""

    flag: str  # without dashes in front
    kind: str  # choice, or one of RANGES
    low: float = 0.0  # of a range
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def is_logarithmic(self) -> bool:
        """Whether a range is searched evenly in the logarithm."""
        return self.kind.startswith("log")

    @property
    def is_whole(self) -> bool:
        """Whether a range holds whole numbers only."""
        return self.kind.endswith("int")

    def at(self, share: float) -> Value:
        """The value at a share of the way from one end to the other, in [0, 1)."""
        if self.kind == CHOICE:
            return self.choices[int(share * len(self.choices))]
        # every whole number has the same share of the way
        half = 0.5 if self.is_whole else 0.0
        low, high = self.low - half, self.high + half
        if self.is_logarithmic:
            number = low * (high / low) ** share
        else:
            number = low + (high - low) * share
        return self.rounded(number)

    def rounded(self, number: float) -> float | int:
        """A number as it is written in a flag: a whole one, or one of a few digits,
        within the range."""
        rounded = round(number) if self.is_whole else float(f"{number:.{DIGITS}g}")
        return type(rounded)(min(max(rounded, self.low), self.high))


def parse(texts: Sequence[str]) -> list[Parameter]:
    """Read parameters such as `learner.alpha=loguniform(0.01,10)`; ValueError says
    what is wrong with one."""
    if not texts:
        raise ValueError(f'--search needs a flag and its values, such as "{EXAMPLE}"')
    found = [_parse(text) for text in texts]
    flags = [parameter.flag for parameter in found]
    for flag in flags:
        if flags.count(flag) > 1:
            raise ValueError(f"--search names {flag} twice; give it once")
    return found


def _parse(text: str) -> Parameter:
    match = FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f'--search looks like "{EXAMPLE}" or "learner=choice(iql,cql)", got '
            f"{text[:80]!r}"
        )
    flag, kind, rest = match["flag"], match["kind"], match["rest"]
    values = [value.strip() for value in rest.split(",")]
    if kind == CHOICE:
        if "" in values or len(set(values)) < len(values):
            raise ValueError(
                f"--search {flag}: choices must be different values between commas, "
                f"got {rest[:80]!r}"
            )
        for value in values:
            try:
                shlex.split(value)
            except ValueError:
                raise ValueError(
                    f"--search {flag}: a quotation mark is missing in {value[:80]!r}"
                ) from None
        return Parameter(flag, kind, choices=tuple(values))
    if kind not in RANGES:
        known = (*RANGES, CHOICE)
        hint = suggestion(kind, known)
        raise ValueError(
            f"--search {flag}: no {kind[:40]!r}; there are: {', '.join(known)}{hint}"
        )
    return _range(flag, kind, values)


def _range(flag: str, kind: str, values: Sequence[str]) -> Parameter:
    try:
        low, high = map(float, values)
    except ValueError:
        raise ValueError(
            f"--search {flag}: {kind} takes two numbers, its ends, got "
            f"{', '.join(values)[:80]!r}"
        ) from None
    found = Parameter(flag, kind, low, high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"--search {flag}: {kind} needs a lower end below its upper end, got "
            f"{low:g} and {high:g}"
        )
    if found.is_logarithmic and low <= 0:
        raise ValueError(
            f"--search {flag}: {kind} needs ends above 0, got {low:g}; choose "
            f"{kind.removeprefix('log') if found.is_whole else 'uniform'}"
        )
    if found.is_whole and (low != int(low) or high != int(high)):
        raise ValueError(f"--search {flag}: {kind} needs whole numbers as ends")
    return found


def words(settings: Mapping[str, Value]) -> list[str]:
    """The words of a command line that set these values; a choice may be of several
    words."""
    found: list[str] = []
    for flag, value in settings.items():
        found += [f"--{flag}", *shlex.split(str(value))]
    return found


def corners(space: Sequence[Parameter]) -> Iterator[Settings]:
    """Settings that show whether all of a space can be had: all choices, with every
    range at one of its ends or in between."""
    choices = [parameter for parameter in space if parameter.kind == CHOICE]
    ranges = [parameter for parameter in space if parameter.kind != CHOICE]
    names = [parameter.flag for parameter in choices]
    every = itertools.product(*(parameter.choices for parameter in choices))
    for values in itertools.islice(every, MOST_CORNERS):
        chosen: Settings = dict(zip(names, values, strict=True))
        yield chosen | {each.flag: each.rounded(each.low) for each in ranges}
        if ranges:
            yield chosen | {each.flag: each.rounded(each.high) for each in ranges}
            yield chosen | {each.flag: each.at(BETWEEN) for each in ranges}
