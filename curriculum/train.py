"""Train: `python -m curriculum.train --decay exponential`."""

import itertools
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curriculum.setting import flags, plugins
from curriculum.setting.config import Config, flat

PROG = "python -m curriculum.train"
LISTENERS = ("table", "tensorboard", "progress")


def main(argv: list[str] | None = None) -> None:
    """Parse flags, find or make the run's folder, train, report."""
    argv = sys.argv[1:] if argv is None else argv
    config, resume = flags.parse(argv, PROG)
    from curriculum.contract import check_foreign

    with signals() as stop:
        try:
            check_foreign(config)
            config, folder, checkpoint = place(config, resume, argv)
            finished = run(config, folder, checkpoint, stop)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, status=1)
        except KeyboardInterrupt:
            flags.fail(PROG, "stopped at once; what was saved stands", 130)
    if not finished:
        name = signal.Signals(stop.signal).name
        flags.fail(
            PROG,
            f"stopped by {name} with a checkpoint; go on with: {PROG} --resume {folder}",
            128 + stop.signal,
        )


class Stop:
    """Whether a signal asked the run to end; it is obeyed at once while nothing is to
    be saved, or the second time."""

    def __init__(self) -> None:
        self.signal, self.something_to_save = 0, False

    def __call__(self) -> bool:
        return bool(self.signal)

    def catch(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        if self.signal or not self.something_to_save:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    stop = Stop()
    before = {
        number: signal.signal(number, stop.catch)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def place(
    config: Config, resume: str, argv: list[str]
) -> tuple[Config, Path, Path | None]:
    """The run's configuration, its folder, and the checkpoint to go on from."""
    from curriculum.run import folders

    parent = parent_of(config)
    if not resume:
        return config, folders.create(parent, config.run_name(), flat(config)), None
    folder, checkpoint = folders.find(parent, config.run_name(), resume)
    if folder is None:
        print(
            f"{PROG}: no unfinished run named {config.run_name()} in {parent}; starting one",
            file=sys.stderr,
        )
        return config, folders.create(parent, config.run_name(), flat(config)), None
    saved, _ = flags.parse(["--config", str(folder / "config.yaml")], PROG)
    wanted, _ = flags.parse(["--config", str(folder / "config.yaml"), *argv], PROG)
    old, new = flat(saved), flat(wanted)
    changed = [
        k
        for k in new
        if new[k] != old.get(k) and k not in ("steps", "name", "runs_dir", "device")
    ]
    if changed:
        given = ", ".join(f"{k} {new[k]}" for k in changed)
        raise ValueError(
            f"{folder} cannot go on with other settings ({given}); leave them out or start a new run"
        )
    folders.write(folder / "config.yaml", new)
    return wanted, folder, checkpoint


def parent_of(config: Config) -> Path:
    """The folder of all runs in this world."""
    world = plugins.make("env", config.env)
    title = world.title or plugins.name_of("env", config.env)
    return Path(config.runs_dir) / title.replace(":", "-").replace("/", "-")


def run(config: Config, folder: Path, checkpoint: Path | None, stop: Stop) -> bool:
    """Train in a folder with all listeners; returns whether the run came to its end."""
    from curriculum.learning.engine import choose
    from curriculum.replay.buffer import estimate_bytes
    from curriculum.run import folders
    from curriculum.run.loop import spec_of, train

    parts = config.plugged()
    needs = parts["learner"].needs
    spec, seeds = spec_of(parts["env"]), len(config.seeds)
    memory = estimate_bytes(
        spec, seeds, config.capacity, config.rows, config.sampling, needs
    )
    print(f"run {folder}  buffer memory {memory / 1e6:.0f} MB", file=sys.stderr)
    settings, history = flat(config), folders.history(folder, checkpoint)
    records = train(config, folder, checkpoint, stop)
    try:
        first = list(itertools.islice(records, 1))
        stop.something_to_save = True
    except BaseException:  # what cannot even begin leaves nothing behind
        if checkpoint is None:
            shutil.rmtree(folder)
        raise
    print(
        f"updates run {choose(config.compile, config.device, config.precision, config.updates)[1]}",
        file=sys.stderr,
    )
    listeners = [
        plugins.make("listener", name).open(folder, settings, history)
        for name in LISTENERS
    ]
    last: dict[str, Any] = {
        "baseline": {},
        "final": {},
        "compress": {},
        "time": {},
        "update": {},
    }
    last |= {line["kind"]: line["values"] for line in history}
    (folder / "result.json").unlink(missing_ok=True)
    try:
        for record in itertools.chain(first, records):
            for listener in listeners:
                listener(record)
            last[record.kind] = record.values
    except Exception:
        (folder / "error.txt").write_text(traceback.format_exc())
        print(f"the traceback stands in {folder / 'error.txt'}", file=sys.stderr)
        raise
    finally:
        for listener in listeners:
            listener.close()
    if not last["final"]:
        return False
    folders.finish(folder, settings, last)
    print(
        folders.report(
            folder, settings, last, getattr(parts["planner"], "needs", "observation")
        )
    )
    if last["compress"]:
        print(folders.compression(folder, settings, last["compress"]))
    return True


if __name__ == "__main__":
    main()
