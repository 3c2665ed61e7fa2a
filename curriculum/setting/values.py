"""Values of settings: read from text, or checked, by the type of their field."""

import math
import os
import types
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

LARGEST = 2**63 - 1  # whole number that arrays hold
MUST = "must be "  # begins most messages
LONGEST = 60  # characters of a value that a message repeats
TRUE = ("true", "yes", "on")
FALSE = ("false", "no", "off")
INFINITE = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}  # in YAML


class Mismatch(ValueError):
    """A value that is not of the type of its field.

    The message ends a sentence that begins with the name of the setting."""


# --- text ---


def read(kind: Any, words: Sequence[str]) -> Any:
    """Read the words that were written for a field of type `kind`.

    Raises Mismatch."""
    origin = get_origin(kind)
    if origin in (tuple, list):
        return _read_several(kind, words)
    if origin in (Union, types.UnionType):
        return _read_union(kind, words)
    if not words:
        raise Mismatch("needs a value")
    if len(words) > 1:
        raise Mismatch(f"takes one value, got {shown(' '.join(words))}")
    return _read_one(kind, words[0])


def read_null(kind: Any) -> None:
    """Read null for a field of type `kind`; raises Mismatch unless it allows None."""
    if type(None) not in get_args(kind):
        raise Mismatch(
            "has no value (null); write '' for empty text, or leave the line out"
        )


def _read_one(kind: Any, word: str) -> Any:
    if get_origin(kind) is Literal:
        return _read_choice(get_args(kind), word)
    if kind is bool:
        return _read_bool(word)
    if kind is int:
        return _read_whole(word)
    if kind is float:
        return _read_number(word)
    if kind is Path:
        return Path(word)
    if kind in (str, Any):
        return word
    raise Mismatch(f"cannot be given as text: its type is {kind}")


def _read_several(kind: Any, words: Sequence[str]) -> Any:
    origin = get_origin(kind)
    inner = get_args(kind) or (str, ...)
    if origin is list or inner[1:] == (...,):
        return origin(_read_one(inner[0], word) for word in words)
    if len(words) != len(inner):
        raise Mismatch(f"takes {len(inner)} values, got {len(words)}")
    return tuple(_read_one(*pair) for pair in zip(inner, words, strict=True))


def _read_union(kind: Any, words: Sequence[str]) -> Any:
    options = get_args(kind)
    if type(None) in options and [word.lower() for word in words] == ["none"]:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return read(option, words)
        except Mismatch as problem:
            problems.append(problem)
    if type(None) in options:
        problems.append(Mismatch(f"must be none, got {shown(' '.join(words))}"))
    raise _of_all(problems)


def _of_all(problems: Sequence[Mismatch]) -> Mismatch:
    """What is wrong with a value that may be one of several kinds: what each of them
    must be, or what is wrong with the first one where that is something else."""
    texts = [str(problem).partition(", got ") for problem in problems]
    if not all(text.startswith(MUST) and got for text, got, _ in texts):
        return problems[0]
    kinds = " or ".join(text.removeprefix(MUST) for text, _, _ in texts)
    return Mismatch(f"{MUST}{kinds}, got {texts[0][2]}")


def _read_choice(choices: Sequence[Any], word: str) -> Any:
    for choice in choices:
        if str(choice) == word:
            return choice
    names = [str(choice) or "''" for choice in choices]
    one_of = "one of " if names[1:] else ""
    raise Mismatch(f"{MUST}{one_of}{', '.join(names)}, got {shown(word)}")


def _read_bool(word: str) -> bool:
    lower = word.lower()
    if lower in TRUE:
        return True
    if lower in FALSE:
        return False
    raise Mismatch(f"must be true or false, got {shown(word)}")


def _read_whole(word: str) -> int:
    """Read 1000000, 1_000_000 or 1e6."""
    problem = Mismatch(f"must be a whole number, got {shown(word)}")
    try:
        number = Decimal(word)
    except InvalidOperation:
        raise problem from None
    if not number.is_finite():
        raise problem
    # how many digits it has comes first: huge exponents overflow
    if number.adjusted() > len(str(LARGEST)) or abs(number) > LARGEST:
        raise Mismatch(f"must be smaller than 2**63, got {shown(word)}")
    if number != int(number):
        raise problem
    return int(number)


def _read_number(word: str) -> float:
    number = INFINITE.get(word.lower())
    if number is None:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
    if math.isnan(number):
        raise Mismatch(f"must be a number, got {shown(word)}")
    return number


# --- values of Python ---


def checked(kind: Any, value: Any) -> Any:
    """Return a value as a field of type `kind` holds it: numbers of numpy as numbers
    of Python, sequences as tuples.

    Raises Mismatch. Types that this module does not know accept everything."""
    origin = get_origin(kind)
    if origin is tuple:
        return _checked_tuple(kind, value)
    if origin in (Union, types.UnionType):
        return _checked_union(kind, value)
    if origin is Literal:
        return _checked_choice(get_args(kind), value)
    if kind is bool:
        return _checked_bool(value)
    if kind is int:
        return _checked_whole(value)
    if kind is float:
        return _checked_number(value)
    if kind is str:
        return _checked_text(value)
    return value


def _checked_tuple(kind: Any, value: Any) -> tuple[Any, ...]:
    inner = get_args(kind) or (Any, ...)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise Mismatch(f"must be a list of {_several(inner[0])}, got {shown(value)}")
    if inner[1:] == (...,):
        return tuple(checked(inner[0], item) for item in value)
    if len(value) != len(inner):
        raise Mismatch(f"must have {len(inner)} values, got {shown(value)}")
    return tuple(checked(*pair) for pair in zip(inner, value, strict=True))


def _several(kind: Any) -> str:
    return {int: "whole numbers", float: "numbers", str: "texts"}.get(kind, "values")


def _checked_union(kind: Any, value: Any) -> Any:
    problems = []
    for option in get_args(kind):
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return checked(option, value)
        except Mismatch as problem:
            problems.append(problem)
    if type(None) in get_args(kind):
        problems.append(Mismatch(f"must be None, got {shown(value)}"))
    raise _of_all(problems)


def _checked_choice(choices: Sequence[Any], value: Any) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return value
    return _read_choice(choices, value if isinstance(value, str) else repr(value))


def _checked_bool(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise Mismatch(f"must be True or False, got {shown(value)}")


def _checked_whole(value: Any) -> int:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    is_whole = isinstance(value, Integral) or (
        is_number and math.isfinite(value) and value == int(value)
    )
    if not is_number or not is_whole:
        raise Mismatch(f"must be a whole number, got {shown(value)}")
    if abs(int(value)) > LARGEST:
        raise Mismatch(f"must be smaller than 2**63, got {shown(value)}")
    return int(value)


def _checked_number(value: Any) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and isinstance(value, Integral) and abs(int(value)) > LARGEST:
        raise Mismatch(f"must be smaller than 2**63, got {shown(value)}")
    if not is_number or math.isnan(value):
        raise Mismatch(f"must be a number, got {shown(value)}")
    return float(value)


def _checked_text(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise Mismatch(f"must be text, got {shown(value)}")


def shown(value: Any) -> str:
    """A given value as a message repeats it."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a longer number"
    try:
        text = repr(value)
    except ValueError:  # of a whole number that is too long
        text = type(value).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
