"""The executor that trains runs where flags say."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from curriculum.comparison.execution import Executor, Local
from curriculum.comparison.machines import Machines

ANSWER = 10.0  # seconds in which a cluster answers


@contextmanager
def opened(machines: Machines, words: Sequence[str]) -> Iterator[Executor]:
    """What trains runs on these machines; `words` name code that is trusted."""
    if machines.on == "local":
        yield Local(max(machines.jobs, 1), words)
        return
    from curriculum.comparison import cluster

    with cluster.connected(machines, words) as connected:
        yield connected


def require_answer(machines: Machines) -> None:
    """Raise ValueError where nothing listens at the address: Ray would try long."""
    address = machines.address
    host, colon, port = address.rpartition(":")
    if not colon or "//" in address:
        return  # auto, or a client's address
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(
            f"--address {address}: no Ray cluster answers there ({error}); start one "
            "with: ray start --head"
        ) from None
