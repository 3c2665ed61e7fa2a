"""Plug-ins inside others: a name and settings such as simulations=32 horizon=20."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from curriculum.setting import plugins

# types of values that a setting of a type accepts; other types accept only themselves
ACCEPTED: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    bool: (bool,),
}


def make_inner(family: str, name: str, settings: Sequence[str], **defaults: Any) -> Any:
    """Make the plug-in of this name with settings "name=value".

    `defaults` replace the plug-in's own ones, where it has such a field. ValueError
    says which setting does not exist or is of another type."""
    fields = plugins.describe(family, name).fields
    types = {field.name: field.type for field in fields}
    known = {key: value for key, value in defaults.items() if key in types}
    return plugins.make(family, name, **known | parse(family, settings, types))


def parse(
    family: str, settings: Sequence[str], types: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of settings "name=value", by the types of the plug-in's fields."""
    return dict(_parse(family, text, types) for text in settings)


def _parse(family: str, text: str, types: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and value of a setting "name=value", whose value is JSON or else text."""
    name, equals, given = text.partition("=")
    if not equals:
        raise ValueError(f"settings of a {family} look like name=value, got {text!r}")
    if name not in types:
        raise plugins.unknown("setting", name, list(types))
    expected = types[name]
    value: Any = given
    if expected is not str:
        with suppress(json.JSONDecodeError):
            value = json.loads(given)
    if type(value) not in ACCEPTED.get(expected, (type(value),)):
        raise ValueError(
            f"the setting {name} is of type {expected.__name__}, got {given!r}"
        )
    if isinstance(value, list):
        value = tuple(value)
    return name, value
