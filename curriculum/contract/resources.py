"""Whether a run fits the machine, estimated before anything is allocated."""

import math
import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from curriculum.envs._base.spec import spec_of
from curriculum.replay.buffer import estimate_bytes
from curriculum.setting.config import Config

FLOAT = 4  # bytes
COPIES = 4  # of each weight: itself, its gradient and Adam's two moments
GROUP_LIMITS = (  # of a container
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


class Need(NamedTuple):
    """Memory that a part of a run takes at least."""

    part: str
    bytes: int
    flags: str  # to lower


def check_resources(config: Config) -> None:
    """Raise ValueError where a run needs more than the machine has, or has batches that
    never fill."""
    _check_threads(config.threads)
    _check_batches(config)
    _check_memory(needs(config))


def _check_threads(threads: int) -> None:
    cores = os.cpu_count() or 1
    if threads > cores:
        raise ValueError(
            f"threads must be at most {cores}, the cores of this machine, got {threads}"
        )


def _check_batches(config: Config) -> None:
    chosen = config.plugged()
    learner = chosen["learner"]
    size = learner.batch_size
    data = chosen["start"].data()
    shared = len(data.reward) if data else 0
    held = config.capacity + shared
    if learner.n_step > held:
        raise ValueError(
            f"the buffer holds {held:,} transitions, a window of n-step rewards takes "
            f"{learner.n_step:,}; lower --learner.n-step"
        )
    config.require_data(chosen["start"].size, size)
    offered = chosen["start"].size + config.rows + config.steps
    most = min(held, offered)
    if config.updates and size > most:
        raise ValueError(
            f"a batch of {size:,} transitions never fills: the buffer will hold at "
            f"most {most:,} a seed; lower --learner.batch-size"
        )


def _check_memory(needed: list[Need]) -> None:
    total = sum(need.bytes for need in needed)
    available = machine_bytes()
    if total <= available:
        return
    largest = max(needed, key=lambda need: need.bytes)
    raise ValueError(
        f"this run needs at least {_gigabytes(total)} of memory, this machine has "
        f"{_gigabytes(available)}; {_gigabytes(largest.bytes)} are for "
        f"{largest.part}: lower {largest.flags}"
    )


def needs(config: Config) -> list[Need]:
    """The memory that the parts of a run take at least."""
    chosen = config.plugged()
    learner = chosen["learner"]
    spec = spec_of(chosen["env"])
    seeds = len(config.seeds)
    obs = math.prod(spec.obs_shape)
    inputs = 0 if spec.frames else obs
    weights = max(
        sum(a * b for a, b in pairwise((inputs, *widths)))
        for widths in (learner.hidden, learner.actor_hidden)
    )
    data = chosen["start"].data()
    buffer = estimate_bytes(
        spec,
        seeds,
        config.ring_capacity,
        config.rows,
        config.sampling,
        learner.columns,
        data,
    )
    batch = learner.batch_size * (2 * obs + sum(learner.hidden))
    return [
        Need("the buffer", buffer, "--capacity or the number of --seeds"),
        Need("networks", COPIES * FLOAT * seeds * weights, "--learner.hidden"),
        Need("batches", FLOAT * seeds * batch, "--learner.batch-size"),
        Need("environments", FLOAT * seeds * obs * config.rows, "--rows"),
        Need(
            "evaluation", FLOAT * seeds * obs * config.eval_episodes, "--eval-episodes"
        ),
    ]


def machine_bytes() -> float:
    """The memory of this machine, or of the container; inf where it is unknown."""
    limits = [math.inf]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in GROUP_LIMITS:
        if path.is_file() and path.read_text().strip().isdigit():
            limits.append(int(path.read_text()))
    return min(limits)


def _gigabytes(count: float) -> str:
    if count >= 1e13:
        return f"{count / 1e12:,.0f} TB"
    return f"{count / 1e9:,.1f} GB"
