"""The executor that trains runs where flags say."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from curriculum.comparison.execution import Executor, Local
from curriculum.comparison.machines import Machines


@contextmanager
def opened(machines: Machines, words: Sequence[str]) -> Iterator[Executor]:
    """What trains runs on these machines; `words` name code that is trusted."""
    if machines.on == "local":
        yield Local(max(machines.jobs, 1), words)
        return
    from curriculum.comparison import cluster

    with cluster.connected(machines, words) as connected:
        yield connected
