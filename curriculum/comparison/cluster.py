"""Train runs on a cluster, by Ray: the only module that imports it.

Every task is an actor of Ray, which has the cores and the share of a GPU that the task
asks for, and starts the same worker that trains a run on one machine. A node that does
not see the folder of the run trains in a folder of its own; what is new there is copied
each time the command looks at the task.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import ActorUnavailableError, RayError

from curriculum.comparison import transfer
from curriculum.comparison.execution import Executor
from curriculum.comparison.machines import Machines
from curriculum.comparison.transfer import Changes, Outbox
from curriculum.comparison.workers import Ending, Process, Report, Task
from curriculum.run.mirror import state_of

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AHEAD = 4  # tasks that wait in Ray beyond those that its nodes have room for
LOOK = 0.5  # seconds in which an actor waits for news of its worker
ROOM = 5.0  # seconds between looks at the size of the cluster
BEGINNING = 3.0  # seconds in which a task has begun, or waits for a node
MEGABYTE = 2**20
STORE_BYTES = 256 * MEGABYTE  # of objects, where Ray is started here
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
MARK = ".visible"  # a file in the folder of a run while it is trained
DEAD = re.compile(r"\b(dead|died|left|failed|killed|removed)\b")
MOST_LETTERS = 200  # of a reason
STRATEGIES = {"pack": "DEFAULT", "spread": "SPREAD"}


@contextmanager
def connected(machines: Machines, words: Sequence[str]) -> Iterator[Executor]:
    """Join a cluster, or start Ray here; `words` name code that is trusted."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ray.init(**_settings(machines))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"--address {machines.address}" if machines.address else "--on ray"
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{where}: cannot use Ray there: {reason}") from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray takes some for itself
    try:
        yield Cluster(machines, words)
    finally:
        ray.shutdown()


def _settings(machines: Machines) -> dict[str, Any]:
    """What `ray.init` is told."""
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if machines.address or os.environ.get("RAY_ADDRESS"):
        return settings | {"address": machines.address or None}
    has_dashboard = bool(machines.dashboard)
    settings |= {"address": "local", "include_dashboard": has_dashboard}
    settings |= {"object_store_memory": STORE_BYTES}
    if has_dashboard:
        settings["dashboard_host"] = machines.dashboard
    return settings


class Cluster:
    """Carries out tasks on the nodes of a cluster."""

    def __init__(self, machines: Machines, words: Sequence[str]):
        self.machines = machines
        self.words = words
        self.room = 0
        self.looked = -ROOM
        self.is_warned = False

    def has_room(self, running: int) -> bool:
        """Whether the nodes have room for another task, or a few may wait in Ray."""
        if self.machines.jobs:
            return running < self.machines.jobs
        now = time.monotonic()
        if now - self.looked > ROOM:
            self.looked = now
            self.room = int(ray.cluster_resources().get("CPU", 0))
        return running < self.room + AHEAD

    def start(self, task: Task) -> "ClusterJob":
        self._warn_of_demand(task)
        return ClusterJob(task, self.machines, self.words)

    def _warn_of_demand(self, task: Task) -> None:
        """Say once that no node is large enough for a task: nodes may still join."""
        if self.is_warned or any(_fits(task, node) for node in ray.nodes()):
            return
        self.is_warned = True
        gpus = f" and {task.gpus:g} of a GPU" if task.gpus else ""
        print(
            f"{task.title} asks for {task.threads} cores{gpus}, which no node of the "
            "cluster has; it waits for one that does",
            file=sys.stderr,
        )


def _fits(task: Task, node: Mapping[str, Any]) -> bool:
    """Whether a node is alive and has what a task asks for."""
    has = node["Resources"]
    enough = has.get("CPU", 0) >= task.threads and has.get("GPU", 0) >= task.gpus
    return bool(node["Alive"]) and enough


class ClusterJob:
    """A task on some node, as the command sees it."""

    def __init__(self, task: Task, machines: Machines, words: Sequence[str]):
        self.task = task
        token = uuid.uuid4().hex
        self.mark = task.folder / MARK
        self.mark.write_text(token)
        order = _Order(
            folder=str(task.folder.resolve()),
            token=token,
            until=task.until,
            threads=task.threads,
            words=tuple(words),
            cwd=os.getcwd(),
            scratch=machines.scratch,
        )
        seat: Any = ray.remote(_Seat)
        self.actor = seat.options(
            num_cpus=task.threads,
            num_gpus=task.gpus,
            scheduling_strategy=STRATEGIES[machines.placement],
            max_restarts=0,
        ).remote(order)
        self.looking: Any = self.actor.look.remote()
        self.has_begun = False
        self.latest: Report | None = None
        self.ended: Ending | None = None

    def report(self) -> Report | None:
        """The newest report since the last call; None if there is none."""
        self._look(0.0)
        latest, self.latest = self.latest, None
        return latest

    def ending(self) -> Ending | None:
        """How the task ended; None while it runs."""
        return self.ended

    def _look(self, timeout: float) -> bool:
        """Take in what the actor saw, if it has answered; returns whether it has."""
        if self.ended is not None:
            return True
        ready, _ = ray.wait([self.looking], timeout=timeout)
        if not ready:
            return False
        try:
            seen = ray.get(self.looking)
        except RayError as error:
            self.ended = Ending(_reason(error), is_lost=True)
            return True
        self.has_begun = True
        if seen.wants_files:
            everything = Outbox(self.task.folder).changes()
            self.actor.receive.remote(everything)
        transfer.write(self.task.folder, seen.changes)
        if seen.report:
            self.latest = seen.report | {"place": f"on {seen.node}"}
        self.ended = seen.ending
        if self.ended is None:
            self.looking = self.actor.look.remote()
        return True

    def ask_to_end(self) -> None:
        """Let the worker save a checkpoint and end."""
        if self.ended is None:
            self.actor.ask_to_end.remote()

    def wait(self, patience: float) -> None:
        """Wait for its end, up to so many seconds; a task that waits for a node has
        nothing to save."""
        if not self.has_begun:
            patience = min(patience, BEGINNING)
        ending = time.monotonic() + patience
        while self.ended is None and time.monotonic() < ending:
            self._look(LOOK)

    def close(self) -> None:
        """End it at once, if it has not ended."""
        self.mark.unlink(missing_ok=True)
        with suppress(RayError):
            ray.kill(self.actor)


def _reason(error: RayError) -> str:
    """Why an actor is gone."""
    if isinstance(error, ActorUnavailableError):
        return "its node does not answer"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("node" in line.lower() and DEAD.search(line) for line in lines):
        return "its node is gone"
    reason = lines[-1][:MOST_LETTERS] if lines else type(error).__name__
    return f"its worker on the cluster is gone: {reason}"


# --- on a node ---


class _Order(NamedTuple):
    """What an actor is told."""

    folder: str  # of the run, where the command is
    token: str  # in a file of it, by which a node knows that it sees the folder
    until: float
    threads: int
    words: tuple[str, ...]
    cwd: str
    scratch: str


class _Seen(NamedTuple):
    """What an actor sees of its worker."""

    node: str
    report: Report | None = None
    ending: Ending | None = None
    changes: Changes = Changes({}, ())
    wants_files: bool = False  # of the run so far


class _Seat:
    """Starts a worker and watches it."""

    def __init__(self, order: _Order):
        self.order = order
        self.node = ray.util.get_node_ip_address()
        self.process: Process | None = None
        self.outbox: Outbox | None = None
        with suppress(FileNotFoundError):  # of a machine with other folders
            os.chdir(order.cwd)
        folder = Path(order.folder)
        if not order.scratch and _is_visible(folder / MARK, order.token):
            self._begin(folder)

    def _begin(self, folder: Path) -> None:
        order = self.order
        self.process = Process(folder, order.words, order.until, order.threads)

    def receive(self, everything: Changes) -> None:
        """Begin in a folder of this node, with what there is of the run."""
        scratch = self.order.scratch
        if scratch:
            Path(scratch).mkdir(parents=True, exist_ok=True)
        parent = tempfile.mkdtemp(prefix="curriculum-", dir=scratch or None)
        folder = Path(parent) / Path(self.order.folder).name
        folder.mkdir()
        transfer.write(folder, everything)
        self.outbox = Outbox(folder, state_of(folder))
        self._begin(folder)

    def look(self) -> _Seen:
        """What is new, within a moment."""
        if self.process is None:
            return _Seen(self.node, wants_files=True)
        self.process.wait(LOOK)
        ending = self.process.ending()  # before the files: then they are the last ones
        seen = _Seen(self.node, self.process.report(), ending)
        if self.outbox is None:
            return seen
        changes = self.outbox.changes()
        if ending is not None:
            shutil.rmtree(self.outbox.folder.parent, ignore_errors=True)
        return seen._replace(changes=changes)

    def ask_to_end(self) -> None:
        """Let the worker save a checkpoint and end."""
        if self.process:
            self.process.ask_to_end()


def _is_visible(mark: Path, token: str) -> bool:
    """Whether this node sees the file that the command has written."""
    try:
        return mark.read_text() == token
    except OSError:
        return False
