"""On which machines runs are trained: flags that `compare` and `sweep` share."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from curriculum.comparison.execution import RETRIES

MOST_JOBS = 1_000
MOST_RETRIES = 1_000
KINDS: dict[str, Any] = {
    "jobs": int,
    "on": Literal["local", "ray"],
    "address": str,
    "placement": Literal["pack", "spread"],
    "gpu-share": float,
    "retries": int,
    "scratch": str,
    "dashboard": str,
}
HELP = {
    "jobs N": "runs that are trained at the same time, in processes of their own (1; "
    "on a cluster, as many as it has room for)",
    "on local|ray": "train on this machine, or on a cluster by Ray (the extra [ray]); "
    "each run asks for --threads cores and, with --device cuda, a GPU",
    "address HOST:PORT": "the Ray cluster to join; auto: the one that runs on this "
    "machine; without it, Ray is started here for this command",
    "placement pack|spread": "fill one node after the other, or all alike (pack)",
    "gpu-share SHARE": "share of a GPU that a run with --device cuda asks for (1)",
    "retries N": "times that a run goes on from its last checkpoint after its worker "
    f"or its node was lost ({RETRIES})",
    "scratch FOLDER": "train in this folder of each node and copy what is new to the "
    "runs folder; nodes that do not see the runs folder do so in any case, in their "
    "folder of temporary files",
    "dashboard HOST": "serve Ray's dashboard at this address of the machine, such as "
    "127.0.0.1, where Ray is started here; needs ray[default] (none)",
}
# flags that say something about Ray only
OF_RAY = ("address", "placement", "gpu-share", "scratch", "dashboard")


class Machines(NamedTuple):
    """Where runs are trained, and how many at a time."""

    on: str = "local"
    jobs: int = 0  # 0: one here, as many as there is room for on a cluster
    address: str = ""
    placement: str = "pack"
    gpu_share: float = 1.0
    retries: int = RETRIES
    scratch: str = ""
    dashboard: str = ""

    @property
    def are_many(self) -> bool:
        """Whether runs are trained side by side."""
        return self.on == "ray" or self.jobs > 1

    @property
    def text(self) -> str:
        """How many runs are trained at a time, and where."""
        if self.on == "local":
            return f"{max(self.jobs, 1)} at a time"
        return f"{self.jobs} at a time by Ray" if self.jobs else "by Ray"


def read(given: Mapping[str, Any]) -> Machines:
    """The machines that flags name; ValueError for those that do not fit together."""
    machines = Machines(
        **{
            name.replace("-", "_"): value
            for name, value in given.items()
            if name in KINDS
        }
    )
    if "jobs" in given and not 1 <= machines.jobs <= MOST_JOBS:
        raise ValueError(
            f"--jobs must be between 1 and {MOST_JOBS:,}, got {machines.jobs:,}"
        )
    if not 0 <= machines.retries <= MOST_RETRIES:
        raise ValueError(
            f"--retries must be between 0 and {MOST_RETRIES:,}, got "
            f"{machines.retries:,}"
        )
    if not 0 < machines.gpu_share <= 1:
        raise ValueError(
            "--gpu-share must be above 0 and at most 1, got "
            + f"{machines.gpu_share:g}"
        )
    others = [f"--{name}" for name in OF_RAY if name in given]
    if machines.on == "local" and others:
        raise ValueError(f"{' '.join(others)} goes with --on ray")
    if machines.on == "ray":
        _require_ray()
    if machines.dashboard and machines.address:
        raise ValueError(
            "--dashboard is for a Ray that this command starts; leave out --address"
        )
    return machines


def _require_ray() -> None:
    if find_spec("ray") is None:
        raise ValueError(
            "--on ray needs Ray: pip install 'planning-curriculum[ray]'; --jobs N "
            "trains N runs at a time on this machine without it"
        )
