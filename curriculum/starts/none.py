"""No start: training begins with an empty buffer."""

from dataclasses import dataclass

from curriculum.types import Buffer, Collector, Start


@dataclass(kw_only=True)
class Empty(Start):
    """Leave the buffer empty."""

    size = 0  # not a field: it has no flag

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        pass
