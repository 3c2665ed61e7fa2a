"""Choose and order runs by what is known about them."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from curriculum.run.catalogue import STATES, Entry, mean
from curriculum.setting import plugins
from curriculum.setting.spelling import suggestion

OWN = ("name", "state", "step", "updates", "time")  # what every run has
CONDITION = re.compile(r"([^=!<>~]+)(<=|>=|!=|==?|<|>|~)(.*)", re.S)
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EXAMPLES = "learner=iql 'decay.half-life<4000' 'eval/score>=0.9' 'name~compare-2'"

Value = str | float | None  # None: the run has no such value


class Condition(NamedTuple):
    """What `--where` asks of a run."""

    key: str
    relation: str
    value: str

    def holds(self, entry: Entry) -> bool:
        """Whether a run has such a value, and it is as asked; numbers are compared as
        numbers."""
        found = value_of(entry, self.key)
        if found is None:
            return False
        if self.relation == "~":
            return self.value.lower() in text_of(found).lower()
        own: Any = _number(found)
        given: Any = _number(self.value)
        if own is None or given is None:
            own = text_of(found)
            given = self.value
        if self.relation in ORDERS:
            return ORDERS[self.relation](own, given)
        return (own == given) == (self.relation != "!=")


# --- names ---


def names(entries: Sequence[Entry]) -> list[str]:
    """Everything that some run has a value of: what all have, settings, tags."""
    settings = {name: None for entry in entries for name in entry.settings}
    tags = {tag for entry in entries for tag in entry.figures}
    return [*OWN, *settings, *sorted(tags)]


def is_result(key: str) -> bool:
    """Whether a name stands for what came of a run, not for what it was told."""
    return key in ("step", "updates", "time") or "/" in key


def value_of(entry: Entry, key: str) -> Value:
    """What a run has by this name."""
    if key in OWN:
        own: Value = getattr(entry, key)
        return own
    if key in entry.settings:
        return entry.settings[key]
    column = entry.figures.get(key)
    return None if column is None else mean(column)


def text_of(value: Value) -> str:
    """A value in full; empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def _number(value: Value) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _known(key: str, flag: str, known: Sequence[str]) -> str:
    """A name as runs have it; dashes may stand for the underscores of settings."""
    for name in (key, key.replace("-", "_")):
        if name in known:
            return name
    hint = suggestion(key, known)
    raise ValueError(
        f"{flag}: no run here has {plugins.values.shown(key)}{hint}; there are "
        f"{', '.join(OWN)}, the flags of curriculum.train such as learner and "
        "decay.half-life, and tags such as eval/score; --csv FILE has all in its head"
    )


# --- choosing ---


def conditions(texts: Sequence[str], known: Sequence[str]) -> list[Condition]:
    """Read what `--where` asks of runs that have these names."""
    return [_condition(text, known) for text in texts]


def _condition(text: str, known: Sequence[str]) -> Condition:
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise ValueError(
            f"--where takes conditions such as {EXAMPLES}, "
            f"got {plugins.values.shown(text)}"
        )
    key, relation, value = (part.strip() for part in parts.groups())
    key = _known(key, "--where", known)
    if key == "state" and relation != "~" and value not in STATES:
        raise plugins.unknown("state", value, STATES)
    is_compared = key in ("step", "updates") or "/" in key
    if is_compared and relation != "~" and _number(value) is None:
        raise ValueError(
            f"--where: {key} is a number, so {plugins.values.shown(value)} cannot be "
            "compared with it"
        )
    return Condition(key, relation, value)


def in_world(world: str, entries: Sequence[Entry]) -> list[Condition]:
    """What `--env` asks: the world as `curriculum.train` takes it, such as Hopper-v5.

    ValueError if no run is in it."""
    name, settings = plugins.resolve("env", world)
    found = [Condition("env", "=", name)]
    found += [Condition(f"env.{key}", "=", settings[key]) for key in settings]
    if not choose(entries, found):
        worlds = {
            entry.settings.get("env.id", entry.settings.get("env", ""))
            for entry in entries
        }
        raise plugins.unknown("run here in the world", world, sorted(worlds - {""}))
    return found


def choose(entries: Sequence[Entry], wanted: Sequence[Condition]) -> list[Entry]:
    """The runs for which all conditions hold."""
    return [entry for entry in entries if all(each.holds(entry) for each in wanted)]


# --- ordering ---


def sort_keys(keys: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names that `--sort` gives, as runs have them."""
    return [_known(key, "--sort", known) for key in keys]


def ordered(
    entries: Sequence[Entry], keys: Sequence[str], reverse: bool
) -> list[Entry]:
    """Runs by the first key, equal ones by the next: results from the largest or latest
    on, the rest ascending; `reverse` turns both. Runs without a value come last."""
    found = list(entries)
    for key in reversed(keys):
        is_descending = is_result(key) != reverse
        with_value = [entry for entry in found if text_of(value_of(entry, key))]
        without = [entry for entry in found if not text_of(value_of(entry, key))]
        with_value.sort(key=lambda entry: _rank(entry, key), reverse=is_descending)
        found = with_value + without
    return found


def _rank(entry: Entry, key: str) -> tuple[bool, float, str]:
    """Numbers before texts."""
    value = value_of(entry, key)
    number = _number(value)
    if number is None:
        return True, 0.0, text_of(value)
    return False, number, ""
