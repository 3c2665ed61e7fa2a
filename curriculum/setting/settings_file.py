"""Read a YAML file of settings as text; the type of its field says what a text means.

A settings file is one flat mapping. Anchors, aliases, tags and nested values are
refused at once, so that reading takes time and memory in proportion to the file.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

LARGEST = 256 * 1024  # bytes
NULLS = ("", "~", "null", "Null", "NULL")  # without quotes

BOUNDARY = re.compile(r"\n(?=[^\s#-])")  # before the line of a setting
MOST_KEPT = 50_000  # settings

# the words of each setting, by name with underscores for dashes; None: null
Written = dict[str, list[str] | None]


def read(path: Path, flag: str = "--config") -> Written:
    """Read a settings file, which `flag` names; ValueError says what is wrong with
    it."""
    try:
        return _read_events(_events(_text(path)))
    except (yaml.YAMLError, ValueError, OSError) as error:
        reason = _reason(error)
        raise ValueError(f"{flag} {path}: {reason}") from None


def read_texts(path: Path, flag: str = "--config") -> dict[str, str]:
    """Read one of many similar settings files, with what `read` refuses refused: every
    value as one text, "none" for null.

    A setting that is written as in an earlier file is not parsed again."""
    texts: dict[str, str] = {}
    try:
        entries = BOUNDARY.split(_text(path))
        for lines in entries:
            texts |= _read_entry(lines)
    except (yaml.YAMLError, ValueError, OSError):
        entries = []
    if len(texts) == len(entries) > 0:
        return texts
    return _joined(read(path, flag))  # says what is wrong


@lru_cache(MOST_KEPT)
def _read_entry(lines: str) -> dict[str, str]:
    return _joined(_read_events(_events(lines)))


def _joined(written: Written) -> dict[str, str]:
    return {
        name: "none" if words is None else " ".join(words)
        for name, words in written.items()
    }


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror or error})"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line = error.problem_mark.line + 1
        return f"it is not valid YAML: {error.problem} in line {line}"
    if isinstance(error, yaml.YAMLError):
        return f"it is not valid YAML: {str(error).splitlines()[0]}"
    return str(error)


def _text(path: Path) -> str:
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than settings can be: {LARGEST // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from None


def _events(text: str) -> Iterator[yaml.Event]:
    """The events of a document, without those that settings do not need."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            where = f"line {_line(event)}"
            raise ValueError(f"{where} has an anchor or an alias; write values out")
        if getattr(event, "tag", None):
            raise ValueError(f"line {_line(event)} has a tag; leave it out")
        yield event


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1


def _read_events(events: Iterator[yaml.Event]) -> Written:
    written: Written = {}
    next(events)  # the stream begins
    if isinstance(next(events), yaml.StreamEndEvent):
        return written  # an empty file
    first = next(events)
    if isinstance(first, yaml.ScalarEvent) and _is_null(first):
        next(events)
    elif isinstance(first, yaml.MappingStartEvent):
        written = _read_mapping(events)
        next(events)  # the document ends
    else:
        raise _not_flat(first)
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise ValueError("it holds more than one document")
    return written


def _read_mapping(events: Iterator[yaml.Event]) -> Written:
    written: Written = {}
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        if not isinstance(key, yaml.ScalarEvent):
            raise _not_flat(key)
        name = key.value.replace("-", "_")
        if name in written:
            again = f"again in line {_line(key)}"
            raise ValueError(f"{name} is set twice, {again}")
        written[name] = _read_value(events, name)
    return written


def _read_value(events: Iterator[yaml.Event], name: str) -> list[str] | None:
    value = next(events)
    if isinstance(value, yaml.ScalarEvent):
        return None if _is_null(value) else [value.value]
    if not isinstance(value, yaml.SequenceStartEvent):
        raise _not_flat(value)
    words = []
    for item in events:
        if isinstance(item, yaml.SequenceEndEvent):
            break
        if not isinstance(item, yaml.ScalarEvent):
            raise _not_flat(item)
        if _is_null(item):
            raise ValueError(f"{name} has an empty entry in its list")
        words.append(item.value)
    return words


def _is_null(scalar: yaml.ScalarEvent) -> bool:
    is_plain: Any = scalar.style is None
    return is_plain and scalar.value in NULLS


def _not_flat(event: yaml.Event) -> ValueError:
    return ValueError(
        "it must be a flat list of `flag: value`, such as learner.discount: 0.99; "
        f"line {_line(event)} is not"
    )
