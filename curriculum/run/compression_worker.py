"""A process beside the training measures compressed policies, one moment after another.

The trainer writes the policies of all seeds, and observations, to the folder of a
moment and names that folder on the worker's standard input. The worker reads the run's
settings from a file, writes `measured.json` for every seed, and says through a pipe how
far it is. It ends as soon as its standard input is closed, so it outlives no trainer.
The terminal's Ctrl-C reaches the trainer alone.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from curriculum.calls import described
from curriculum.envs._base.spec import spec_of
from curriculum.files import write_text
from curriculum.replay.buffer import Split
from curriculum.run.compressing import IN_TRAINING, measure_policy
from curriculum.setting import flags, plugins, techniques
from curriculum.setting.config import Config
from curriculum.shipping.compression import REFERENCE, Results
from curriculum.trust import trusting

ENTRY = "from curriculum.run import compression_worker; compression_worker.work()"
SETTINGS = "worker.yaml"
LOG = "worker.txt"
OBSERVATIONS = "observations.safetensors"
MEASURED = "measured.json"
PATIENCE = 10  # by how much training comes first where both want a core
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Told(NamedTuple):
    """What a worker says: a seed of a moment is measured, or the moment is over."""

    moment: str  # name of its folder
    seed: int | None = None
    problem: str = ""  # why it could not be measured


# --- in the process that trains ---


class Worker:
    """A process that measures the moments in a folder, which holds its settings."""

    def __init__(self, folder: Path):
        self.log = folder / LOG
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
        # what this process can import, the worker can
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, str(folder), str(writing)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[writing],
                start_new_session=True,
            )
        os.close(writing)
        self.text = b""  # of a line that has not arrived to its end

    def measure(self, moment: str) -> None:
        """Ask for a moment."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `problem` says that it has ended
            self.process.stdin.write(moment.encode() + b"\n")
            self.process.stdin.flush()

    def hear(self) -> Iterator[Told]:
        """What has arrived since."""
        try:
            arrived = os.read(self.reading, 65_536)
        except BlockingIOError:
            return
        *lines, self.text = (self.text + arrived).split(b"\n")
        for line in lines:
            yield Told(*json.loads(line))

    def problem(self) -> str:
        """Why the process has ended; empty while it goes on."""
        status = self.process.poll()
        if status is None:
            return ""
        if status < 0:
            return f"its process was ended by {signal.Signals(-status).name}"
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process ended with status {status}"

    def close(self) -> None:
        """End the process."""
        self.process.kill()  # nothing happens if it has ended
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.reading)


def tidy(folder: Path) -> None:
    """Remove what a worker needed, but not what it had to say."""
    (folder / SETTINGS).unlink(missing_ok=True)
    log = folder / LOG
    if log.is_file() and not log.stat().st_size:
        log.unlink()


def write_observations(split: Split, folder: Path) -> None:
    """Write the observations of one seed to its folder of a moment."""
    arrays = {"used": split.used, "held_out": split.held_out}
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    (folder / MEASURED).unlink(missing_ok=True)
    (folder / OBSERVATIONS).write_bytes(safetensors.save(ordered))


def is_left(folder: Path) -> bool:
    """Whether the folder of one seed holds what a worker needs, or its result."""
    originals = folder / f"{REFERENCE}.cur", folder / OBSERVATIONS
    return (folder / MEASURED).is_file() or all(path.is_file() for path in originals)


def read_measured(folder: Path) -> Results:
    """The figures of one seed; nan where a number is unknown."""
    results = json.loads((folder / MEASURED).read_text())
    return {
        variant: {name: _known(value) for name, value in figures.items()}
        for variant, figures in results.items()
    }


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


# --- in the worker ---


def work() -> None:
    """Measure every moment that standard input names, until it is closed."""
    folder, pipe = Path(sys.argv[1]), int(sys.argv[2])
    os.nice(PATIENCE)
    torch.set_num_threads(1)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    # the settings are those of the trainer, which trusts them
    with trusting():
        config = flags.read(["--config", str(folder / SETTINGS)]).config
        while True:
            moment = asked.get()
            problem = ""
            try:
                for seed in config.seeds:
                    _measure(folder / moment / f"seed{seed}", config, seed)
                    _tell(pipe, Told(moment, seed))
            except (ValueError, OSError, SafetensorError) as error:
                problem = str(error)
            except Exception as error:
                problem = described(error)
            _tell(pipe, Told(moment, None, problem))


def _listen(asked: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        asked.put(line.strip())
    os._exit(1)


def _tell(pipe: int, told: Told) -> None:
    os.write(pipe, json.dumps(told).encode() + b"\n")


def _measure(folder: Path, config: Config, seed: int) -> None:
    """Measure the policy of one seed, unless that was done."""
    if (folder / MEASURED).is_file():
        return
    arrays = safetensors.load((folder / OBSERVATIONS).read_bytes())
    world = plugins.make("env", config.env)
    found = measure_policy(
        folder / f"{REFERENCE}.cur",
        Split(**arrays),
        [techniques.make(choice) for choice in config.techniques],
        world,
        spec_of(world),
        range(config.eval_episodes),
        seed,
        IN_TRAINING,
        _note,
    )
    write_text(folder / MEASURED, json.dumps(_plain(found.figures)))
    (folder / OBSERVATIONS).unlink()


def _note(owner: int, problem: str) -> None:
    """Keep in the log why the return of a compressed policy is nan."""
    print(problem, file=sys.stderr, flush=True)


def _plain(results: Results) -> dict[str, dict[str, float | None]]:
    """Figures as JSON holds them, null where a number is unknown."""
    return {
        variant: {
            name: value if np.isfinite(value) else None
            for name, value in figures.items()
        }
        for variant, figures in results.items()
    }
