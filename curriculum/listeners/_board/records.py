"""What the curves of a run are read from."""

from curriculum.types import Record


def position_of(record: Record) -> int:
    """Where a record lies on the axis of its tags."""
    return record.step if record.updates is None else record.updates
