"""A process that plays: some rows of every seed, with a planner and weights of its own.

It is told what to play through its standard input and answers through a pipe, in the
messages of `curriculum.run.messages`. Every answer holds the state from which another
process could go on. It ends as soon as its standard input is closed, so it outlives no
trainer. The terminal's Ctrl-C reaches the trainer alone.
"""

import contextlib
import io
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from curriculum.calls import described
from curriculum.envs._base.spec import spec_of
from curriculum.replay.layout import Transition
from curriculum.run import messages
from curriculum.run.collector import Collector
from curriculum.run.guard import set_up
from curriculum.run.health import Health
from curriculum.run.ledger import Ledger
from curriculum.run.mixture import Mixture
from curriculum.setting import flags, plugins
from curriculum.setting.config import Config
from curriculum.trust import trusting
from curriculum.types import State, stream

ENTRY = "from curriculum.run import collection_worker; collection_worker.work()"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE = 2.0  # seconds in which a process ends whose input is closed
# of a step, [P, E, ...] each
# what acts and values states; the rest of what training moves stays with the learner
ACTING = ("net/", "target/", "normalizer")


# --- in the process that trains ---


class Link:
    """A worker process that plays a share of the rows."""

    def __init__(self, settings: Path, index: int):
        reading, writing = os.pipe()
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
        # what this process can import, the worker can
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, str(settings), str(index), str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        self.reading = reading
        self.inbox = messages.Inbox(reading)

    def send(self, order: State) -> None:
        """Tell the worker what to do; one that has ended is noticed by `receive`."""
        assert self.process.stdin is not None
        with contextlib.suppress(messages.Ended):
            messages.write(self.process.stdin.fileno(), order)

    def receive(self, look: Callable[[], None]) -> State:
        """The next answer; see `messages.Inbox`."""
        return self.inbox.receive(look)

    def problem(self) -> str:
        """How the process has ended."""
        status = self.process.wait()
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def close(self) -> None:
        """End the process, which has nothing to save."""
        self.process.kill()  # nothing happens if it has ended
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.reading)


# --- in the worker ---


def work() -> None:
    """Carry out what standard input says, until it is closed."""
    settings, index, pipe = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    orders: queue.SimpleQueue[State | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    # the settings are those of the trainer, which trusts them
    with trusting(), contextlib.suppress(messages.Ended):
        worker: Worker | None = None
        while (order := orders.get()) is not None:
            notes = io.StringIO()
            with contextlib.redirect_stderr(notes):
                try:
                    if worker is None:
                        config = flags.read(["--config", str(settings)]).config
                        worker = Worker(config, index)
                    answer = worker.answer(order)
                except (ValueError, OSError) as error:
                    answer = {"problem": str(error)}
                except Exception as error:
                    answer = {"problem": described(error)}
            messages.write(pipe, answer | {"notes": notes.getvalue()})
        if worker is not None:
            worker.collector.close()


def _listen(orders: "queue.SimpleQueue[State | None]") -> None:
    while (order := messages.read(sys.stdin.buffer)) is not None:
        orders.put(order)
    orders.put(None)
    # a planner that is being asked must not keep the process
    threading.Event().wait(PATIENCE)
    os._exit(1)


def seeds_of(seeds: tuple[int, ...], index: int) -> tuple[int, ...]:
    """The seeds of one worker's random numbers: those of workers differ, and each
    depends on one seed of the run only."""
    return tuple(
        int(stream(seed, f"collector {index}").integers(2**31)) for seed in seeds
    )


class Worker:
    """Plays the share `index` of the rows: P seeds of E / N rows each."""

    def __init__(self, config: Config, index: int):
        self.config = config
        world = plugins.make("env", config.env)
        spec = spec_of(world)
        seeds = seeds_of(config.seeds, index)
        rows_each = config.rows // config.collectors
        rows = world.rows([stream(seed, "environment") for seed in seeds], rows_each)
        learner = plugins.make("learner", config.learner)
        self.learner = learner.setup(spec, seeds, "cpu", config.precision)
        self.health = Health(config.seeds)
        self.mixture = Mixture(
            planner=set_up(plugins.make("planner", config.planner), rows, spec, seeds),
            learner=self.learner,
            gate=plugins.make("gate", config.gate),
            spec=spec,
            seeds=seeds,
            rows_per_seed=rows_each,
            deadline_ms=config.planner_deadline_ms,
            label_share=config.label_share,
        )
        self.tape = _Tape(self.mixture)
        self.collector = Collector(
            rows=rows,
            spec=spec,
            mixture=self.mixture,
            random=plugins.make("planner", "random").setup(rows, spec, seeds),
            buffer=self.tape,
            store="all",
            health=self.health,
            perturb=self.learner.head.explore,
        )
        self.collector.noise = [stream(seed, "start noise") for seed in seeds]
        self.collector.ledger = cast(Ledger, self.tape)

    def answer(self, order: State) -> State:
        """Carry out an order, and answer with the state after it."""
        found: State = {}
        if order["do"] == "reset":
            self.collector.reset()
        elif order["do"] == "load":
            found["inexact"] = self._load(order["state"])
        else:
            found |= self._play(order)
        knows_success = self.collector.door.knows_success
        return found | {
            "state": self.state(),
            "knows_success": knows_success.reshape(self.mixture.shape)[:, 0],
            "has_cells": self.collector.grid is not None,
        }

    def _play(self, order: State) -> State:
        """Play a round; see `curriculum.run.collectors.Round`."""
        self.tape.begin()
        self._use_weights(order["weights"])
        for seed in np.flatnonzero(~order["healthy"] & self.health.healthy).tolist():
            self.health.healthy[seed] = False
            self.health.problems.setdefault(self.config.seeds[seed], "stopped")
        before = set(self.health.problems)
        self.mixture.limit = self.mixture.use.calls + order["granted"]
        steps = order["steps"]
        transitions = steps * self.mixture.shape[1]
        self.learner.exploration_now[:] = order["exploration"][0]
        self.collector.start_steps = 0
        self.collector.begin_start(self.tape.end_step)
        if order["kind"] == "planner":
            self.collector.play_planner(transitions, order["noise"])
        elif order["kind"] == "random":
            self.collector.play_random(transitions)
        else:
            for step in range(steps):
                self.learner.exploration_now[:] = order["exploration"][step]
                self.collector.collect(order["rate"][step], step)
                self.tape.end_step()
        stopped = [
            [self.config.seeds.index(seed), problem]
            for seed, problem in self.health.problems.items()
            if seed not in before
        ]
        return self.tape.stacked() | {"stopped": stopped}

    def _use_weights(self, weights: State) -> None:
        for name, vector in weights.items():
            self.learner.weights.members[name].vector.copy_(vector)

    def state(self) -> State:
        """Everything that another process needs to go on from here."""
        collector = self.collector
        return {
            "rows": collector.rows.save(),
            "mixture": self.mixture.state(),
            "random": collector.random.state(),
            "noise": [each.bit_generator.state for each in collector.noise],
            "exploration": [g.bit_generator.state for g in self.learner.explorers],
            "learner_noise": self.learner.head.noise.state(),
            "health": self.health.state(),
        }

    def _load(self, state: State) -> np.ndarray:
        """Go on from a state; returns the seeds whose rows did not come back as they
        were saved, [P] bool."""
        collector = self.collector
        differing = collector.door.load(state["rows"])
        collector.obs = collector.door.obs
        self.mixture.load(state["mixture"])
        collector.random.load(state["random"])
        for generator, saved in zip(collector.noise, state["noise"], strict=True):
            generator.bit_generator.state = saved
        explorers = zip(self.learner.explorers, state["exploration"], strict=True)
        for generator, saved in explorers:
            generator.bit_generator.state = saved
        self.learner.head.noise.load(state["learner_noise"])
        self.health.load(state["health"])
        by_seed: np.ndarray = differing.reshape(self.mixture.shape)
        return np.asarray(by_seed.any(1))


def _told(mixture: Mixture) -> dict[str, np.ndarray]:
    """The fields of a transition that tell more of a decision than its action, where
    the planner gives them: zeros [P, E, ...]."""
    guard = mixture.guard
    shapes = {
        "soft_label": ("weights", (guard.spec.actions,)),
        "label_value": ("value", ()),
        "label_stake": ("stake", ()),
    }
    return {
        name: np.zeros((*mixture.shape, *shape))
        for name, (part, shape) in shapes.items()
        if part in guard.planner.gives
    }


class _Tape:
    """Records what a collector plays, in place of a buffer and a ledger."""

    def __init__(self, mixture: Mixture):
        self.mixture = mixture
        self.told = _told(mixture)
        self.begin()

    def begin(self) -> None:
        """Forget everything."""
        self.fields: dict[str, list[np.ndarray]] = {}
        self.cells: list[np.ndarray] = []
        self.successes: list[np.ndarray] = []
        self.use: list[dict[str, np.ndarray]] = []
        self.counted = self.mixture.use.counts()

    def add(self, *given: Any) -> None:
        """Record a step as the buffer sees it, or the successes that the ledger
        sees."""
        if isinstance(given[0], Transition):
            for name, value in given[0]._asdict().items():
                if value is None and name in self.told:  # the planner was not asked
                    value = self.told[name]
                if value is not None:
                    self.fields.setdefault(name, []).append(np.array(value))
        else:
            self.successes.append(np.array(given[2]))

    def visit(self, cell: np.ndarray) -> None:
        """Record the cells in which the rows stand, as the ledger sees them."""
        self.cells.append(np.array(cell))

    def end_step(self) -> None:
        """Record what the planner was asked for in this step."""
        counts = self.mixture.use.counts()
        self.use.append({name: counts[name] - self.counted[name] for name in counts})
        self.counted = counts

    def stacked(self) -> State:
        """Everything, [steps, ...] by name."""
        steps = {name: np.stack(values) for name, values in self.fields.items()}
        for name, values in (("cell", self.cells), ("success", self.successes)):
            if values:
                steps[name] = np.stack(values)
        used: State = {}
        for name in self.counted:
            used[name] = np.stack([each[name] for each in self.use])
        # a list: arrays hold no wall times
        used["seconds"] = used["seconds"].tolist()
        return {"fields": steps, "use": used}
