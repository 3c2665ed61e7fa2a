"""A cluster of Ray: several nodes on one machine, one of which is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TEXT = (
    "--start expert none --seeds 0 1 --steps 2000 --eval-every 1000 --eval-episodes 4 "
    "--checkpoint-every 200 --log-every 1000 --learner.hidden 16 --no-eval-mixed "
    "--learner.batch-size 16 --learner dqn --offline-updates 0 --start.size 64"
)
# nodes with so many cores; a line "kill N" on its input kills all processes of one
NODES = """
import os, signal, sys
from pathlib import Path
from ray.cluster_utils import Cluster

def children(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            own = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if own == parent:
            number = int(path.parent.name)
            found += [*children(number), number]
    return found

memory = 100 * 2**20
cluster = Cluster()
nodes = [
    cluster.add_node(num_cpus=int(cores), object_store_memory=memory,
                     include_dashboard=False)
    for cores in sys.argv[1:]
]
print(cluster.address, flush=True)
for line in sys.stdin:
    [raylet] = nodes[int(line.split()[1])].all_processes["raylet"]
    for number in [*children(raylet.process.pid), raylet.process.pid]:
        os.kill(number, signal.SIGKILL)
    print("killed", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A cluster in a process of its own."""

    def __init__(self, *cores: int):
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODES, *map(str, cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._read()

    def _read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self, number: int) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"kill {number}\n")
        self.process.stdin.flush()
        assert self._read() == "killed"

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes(0, 1, 1)  # the head, and two that train
    yield made
    made.end()


def command(runs: Path, *more: str) -> list[str]:
    words = [*TEXT.split(), "--runs-dir", str(runs), "--name", "it", *more]
    return [sys.executable, "-m", "curriculum.compare", *words]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison on this machine."""
    runs = tmp_path_factory.mktemp("local")
    subprocess.run(command(runs, "--split-seeds", "--jobs", "2"), check=True)
    return runs / "gridworld" / "it"


def contents(folder: Path) -> dict[str, bytes]:
    """Policies, and the results, none of which clocks have measured."""
    names = ("policy-last.cur", "policy-best.cur", "verdicts.csv")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names
        for path in folder.rglob(name)
    }


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_node_that_is_lost_costs_nothing_and_nothing_finished_is_repeated(
    nodes: Nodes, local: Path, tmp_path: Path, is_shared: bool
):
    more = ["--split-seeds", "--on", "ray", "--address", nodes.address]
    if not is_shared:
        more += ["--scratch", str(tmp_path / "scratch")]
    process = subprocess.Popen(
        command(tmp_path, *more), stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "gridworld" / "it"
    ending = time.monotonic() + 120
    while True:
        finished = {path.parent for path in folder.glob("*/*/result.json")}
        begun = {path.parents[1] for path in folder.glob("*/*/checkpoints/step-*")}
        if finished and len(begun - finished) == 2:
            break
        assert time.monotonic() < ending
        time.sleep(0.02)
    times = {run: (run / "result.json").stat().st_mtime_ns for run in finished}
    nodes.kill(2)
    _, printed = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    assert "goes on from its last checkpoint (retry 1 of 3)" in printed
    again = {run: (run / "result.json").stat().st_mtime_ns for run in finished}
    assert again == times
    assert contents(folder) == contents(local)


def test_a_command_that_is_killed_goes_on_by_the_same_command(
    nodes: Nodes, local: Path, tmp_path: Path
):
    more = ["--split-seeds", "--on", "ray", "--address", nodes.address]
    process = subprocess.Popen(command(tmp_path, *more), start_new_session=True)
    folder = tmp_path / "gridworld" / "it"
    ending = time.monotonic() + 120
    while not list(folder.glob("*/*/checkpoints/step-*")):
        assert time.monotonic() < ending
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command(tmp_path, *more), check=True, timeout=240)
    assert contents(folder) == contents(local)
