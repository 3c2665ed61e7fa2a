"""Train: `python -m curriculum.train --decay exponential`."""

import itertools
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from curriculum.activity import phase
from curriculum.listeners.progress import Progress
from curriculum.setting import flags, plugins
from curriculum.setting.config import Config, flat
from curriculum.types import Listener, Record

PROG = "python -m curriculum.train"
LISTENERS = ("table", "tensorboard")  # beside the display of progress
# settings that a resumed run may change
CHANGEABLE = ("steps", "name", "runs_dir", "device")

Last = dict[str, Mapping[str, Any]]  # kind -> values of the last record of that kind


def main(argv: list[str] | None = None) -> None:
    """Parse flags, find or create the run's folder, train, report."""
    argv = sys.argv[1:] if argv is None else argv
    with signals() as stop, Progress().following() as progress:
        try:
            with phase("setup", 0, "", detail="loading settings and libraries"):
                config, resume = flags.parse(argv, PROG)
                from curriculum.contract import check_foreign

                check_foreign(config)
                config, folder, checkpoint = place(config, resume, argv)
            finished = run(config, folder, checkpoint, stop, progress)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, status=1)
        except KeyboardInterrupt:
            flags.fail(PROG, "stopped at once; earlier checkpoints are kept", 130)
    if not finished:
        name = signal.Signals(stop.signal).name
        flags.fail(
            PROG,
            f"stopped by {name} with a checkpoint; "
            f"continue with: {PROG} --resume {folder}",
            128 + stop.signal,
        )


# --- signals ---


class Stop:
    """Whether a signal has asked the run to end.

    The first signal lets the run write a checkpoint; without anything to save, and the
    second time, it interrupts at once."""

    def __init__(self) -> None:
        self.signal = 0
        self.something_to_save = False

    def __call__(self) -> bool:
        return bool(self.signal)

    def catch(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.signal or not self.something_to_save:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM instead of ending the process."""
    stop = Stop()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop.catch)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the folder ---


def place(
    config: Config, resume: str, argv: list[str]
) -> tuple[Config, Path, Path | None]:
    """The run's configuration, its folder, and the checkpoint to continue from."""
    from curriculum.run import folders

    parent = parent_of(config)
    name = config.run_name()
    if not resume:
        return config, folders.create(parent, name, flat(config)), None
    folder, checkpoint = folders.find(parent, name, resume)
    if folder is None:
        print(
            f"{PROG}: no unfinished run named {name} in {parent}; starting one",
            file=sys.stderr,
        )
        return config, folders.create(parent, name, flat(config)), None
    return _resumed_config(folder, argv), folder, checkpoint


def _resumed_config(folder: Path, argv: list[str]) -> Config:
    """The settings of a run, changed by the command line where that is allowed."""
    from curriculum.run import folders

    path = folder / folders.SETTINGS
    saved, _ = flags.parse(["--config", str(path)], PROG)
    wanted, _ = flags.parse(["--config", str(path), *argv], PROG)
    old = flat(saved)
    new = flat(wanted)
    changed = []
    for key, value in new.items():
        if key not in CHANGEABLE and value != old.get(key):
            changed.append(f"{key} {value}")
    if changed:
        raise ValueError(
            f"{folder} cannot continue with other settings ({', '.join(changed)}); "
            "leave them out or start a new run"
        )
    folders.write(path, new)
    return wanted


def parent_of(config: Config) -> Path:
    """The folder of all runs in this world."""
    world = plugins.make("env", config.env)
    name = plugins.name_of("env", config.env)
    if name.endswith(".py"):
        name = Path(name).stem
    title = world.title or name
    return Path(config.runs_dir) / title.replace(":", "-").replace("/", "-")


# --- training ---


def run(
    config: Config,
    folder: Path,
    checkpoint: Path | None,
    stop: Stop,
    progress: Progress | None = None,
) -> bool:
    """Train in a folder with all listeners; returns whether the run is finished."""
    from curriculum.run import folders
    from curriculum.run.loop import train

    _announce_memory(config, folder)
    settings = flat(config)
    _announce_suggestions(config, settings)
    history = folders.history(folder, checkpoint)
    records = train(config, folder, checkpoint, stop)
    first = _first_record(records, folder, resumed=checkpoint is not None)
    stop.something_to_save = True
    _announce_updates(config)
    folders.reopen(folder)
    listeners = _listeners(folder, settings, history, progress or Progress())
    last: Last = {line["kind"]: line["values"] for line in history}
    last |= _listen(itertools.chain(first, records), listeners, folder)
    if "final" not in last:
        return False
    folders.finish(folder, settings, last)
    _report(config, folder, settings, last)
    return True


def _announce_memory(config: Config, folder: Path) -> None:
    """Print where the run is and how much memory its buffer takes."""
    from curriculum.envs._base.spec import spec_of
    from curriculum.replay.buffer import estimate_bytes

    chosen = config.plugged()
    memory = estimate_bytes(
        spec_of(chosen["env"]),
        len(config.seeds),
        config.capacity,
        config.rows,
        config.sampling,
        chosen["learner"].needs,
    )
    print(f"run {folder}  buffer memory {memory / 1e6:.0f} MB", file=sys.stderr)


def _announce_suggestions(config: Config, settings: Mapping[str, Any]) -> None:
    """Print the settings that the world suggests and that the run follows."""
    from curriculum.setting import suggestions

    world = plugins.make("env", config.env)
    followed = suggestions.followed(world, settings)
    if not followed:
        return
    words = [f"{name} {value}".replace("_", "-") for name, value in followed.items()]
    name = world.title or settings["env"]
    print(f"{name} suggests: {', '.join(words)}; your flags win", file=sys.stderr)


def _announce_updates(config: Config) -> None:
    """Print how updates run, and why."""
    from curriculum.learning.engine import choose

    _, reason = choose(config.compile, config.device, config.precision, config.updates)
    print(f"updates run {reason}", file=sys.stderr)


def _first_record(
    records: Iterator[Record], folder: Path, resumed: bool
) -> list[Record]:
    """The first record, if any; a new run that cannot begin leaves no folder behind."""
    try:
        return list(itertools.islice(records, 1))
    except BaseException:
        if not resumed:
            shutil.rmtree(folder)
        raise


def _listeners(
    folder: Path,
    settings: dict[str, Any],
    history: list[dict[str, Any]],
    progress: Progress,
) -> list[Listener]:
    listeners: list[Listener] = []
    for name in LISTENERS:
        listeners.append(plugins.make("listener", name))
    listeners.append(progress)
    return [listener.open(folder, settings, history) for listener in listeners]


def _listen(
    records: Iterator[Record], listeners: Sequence[Listener], folder: Path
) -> Last:
    """Hand every record to every listener; returns the last values of each kind."""
    last: Last = {}
    try:
        for record in records:
            for listener in listeners:
                listener(record)
            last[record.kind] = record.values
    except Exception:
        file = folder / "error.txt"
        file.write_text(traceback.format_exc())
        print(f"the traceback is in {file}", file=sys.stderr)
        raise
    finally:
        for listener in listeners:
            listener.close()
    return last


def _report(config: Config, folder: Path, settings: dict[str, Any], last: Last) -> None:
    """Print what was learned, what it cost, and what compression does to it."""
    from curriculum.report.run_table import run_table

    values = {}
    for kind in last.values():
        for tag, value in kind.items():
            values[tag] = np.asarray(value, float)
    planner = config.plugged()["planner"]
    print(run_table(folder, settings, values, planner.needs))
    if "compress" in last:
        print(_compression(folder, settings, last["compress"]))


def _compression(
    folder: Path, settings: dict[str, Any], values: Mapping[str, Any]
) -> str:
    """Write and return the table of compressed policies."""
    from curriculum.report.run_table import variants
    from curriculum.shipping.compression import refusals, table

    figures = table(variants(values), refusals(folder / "compressed"))
    seeds = len(settings["seeds"])
    text = f"mean of {seeds} seed(s), the policy at the end of training\n\n{figures}\n"
    (folder / "compression.md").write_text(text)
    return f"\n{text.rstrip()}"


if __name__ == "__main__":
    main()
