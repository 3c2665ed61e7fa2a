"""When a record was made."""

from curriculum.types import Record


def name_of(record: Record) -> str:
    """What the files of a record are called."""
    if record.updates is not None:
        return f"update-{record.updates:09d}"
    return f"step-{record.step:09d}"


def moment_of(record: Record) -> str:
    """When a record was made, in words."""
    if record.updates is not None:
        return f"{record.updates:,} offline updates"
    return f"{record.step:,} environment steps"
