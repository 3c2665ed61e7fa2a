"""Compression techniques in settings: names, chains such as `distil+quantize`, and the
settings of each technique under its own name, `--distil.hidden 128 128`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from curriculum.setting import plugins
from curriculum.setting.description import Description
from curriculum.types import Chain, Technique

LINK = "+"  # between the techniques of a chain
# measured by --compress-every where --techniques names none
DEFAULT = ("quantize", "prune+quantize", "distil+quantize")


def links(choice: str) -> list[str]:
    """The names of the techniques of a chain, in order; one for a single technique."""
    return choice.split(LINK)


def group(name: str) -> str:
    """The name under which settings of a technique are given: that of its file, or of
    its class in lower case where it is named as module:Class."""
    if name.endswith(".py"):
        return Path(name).stem
    return name.rpartition(":")[2].lower()


def groups(choices: Iterable[str]) -> dict[str, str]:
    """The names of the techniques of all chains, by the group of their settings; none
    is imported."""
    return {group(name): name for choice in choices for name in links(choice)}


def describe(choices: Iterable[str]) -> dict[str, Description]:
    """Describe the techniques of all chains, by the group of their settings."""
    return {
        prefix: plugins.describe("technique", name)
        for prefix, name in groups(choices).items()
    }


def make(
    choice: Technique | str, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Technique:
    """Make a technique or a chain from its name, with settings by group."""
    if not isinstance(choice, str):
        return plugins.make("technique", choice)
    given = settings or {}
    made = []
    for name in links(choice):
        own = given.get(group(name), {})
        try:
            made.append(plugins.make("technique", name, **own))
        except ValueError as error:
            raise ValueError(f"--techniques {name}: {error}") from None
    return made[0] if len(made) == 1 else Chain(made)


def check(choices: Sequence[Technique | str]) -> None:
    """Raise ValueError unless all exist, differ from one another, and a technique has
    the same settings wherever it is used."""
    for choice in choices:
        for part in parts(choice):
            plugins.check_choice("technique", part)
    names = [name_of(choice) for choice in choices]
    if len(set(names)) < len(names):
        raise ValueError(
            f"techniques must differ from one another, got {' '.join(names)}"
        )
    known: dict[str, Any] = {}
    for choice in choices:
        for name, value in flat([choice]).items():
            if known.setdefault(name, value) != value:
                raise ValueError(f"{name} must be the same in all techniques")


def name_of(choice: Technique | str) -> str:
    """The name of a technique or a chain, as --techniques takes it."""
    return LINK.join(plugins.name_of("technique", part) for part in parts(choice))


def flat(choices: Iterable[Technique | str]) -> dict[str, Any]:
    """The settings of all techniques, by flag: {"distil.hidden": (32, 32)}."""
    found: dict[str, Any] = {}
    for choice in choices:
        for part in parts(make(choice)):
            prefix = group(plugins.name_of("technique", part))
            if is_dataclass(part):
                for field in fields(part):
                    found[f"{prefix}.{field.name}"] = getattr(part, field.name)
    return found


def parts(choice: Technique | str) -> tuple[Technique | str, ...]:
    """The techniques of a chain, or the technique itself."""
    if isinstance(choice, str):
        return tuple(links(choice))
    return choice.parts if isinstance(choice, Chain) else (choice,)
