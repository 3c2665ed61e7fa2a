"""Names of folders: what is safe on every file system."""

import re

MOST_BYTES = 200  # of the 255 of a file system: a number may follow
# path separators, control characters, and what Windows refuses
FORBIDDEN = re.compile(r'[/\\\x00-\x1f\x7f<>"|?*]')
RULES = (
    "use letters, digits and characters such as - _ . + =, no slashes, "
    "no - or . in front, no . or space at the end"
)


def require_folder_name(what: str, name: str) -> None:
    """Raise ValueError where `name`, which is `what`, cannot name a folder."""
    length = len(name.encode(errors="replace"))
    if length > MOST_BYTES:
        raise ValueError(
            f"{what} has {length} bytes, at most {MOST_BYTES} are possible: "
            f"{name[:40]!r}..."
        )
    misplaced = name != name.strip() or name.startswith(("-", ".")) or name[-1:] == "."
    if not name or misplaced or FORBIDDEN.search(name) or not _is_encodable(name):
        raise ValueError(f"{what} {name!r} cannot name a folder; {RULES}")


def _is_encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
