"""Train: `python -m curriculum.train --decay exponential`."""

import itertools
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curriculum.activity import Aborted, Interrupted, phase
from curriculum.calls import ending_calls, without_exits
from curriculum.files import write_text
from curriculum.listeners.progress import Progress
from curriculum.setting import flags, listening, plugins
from curriculum.setting.config import Config, flat
from curriculum.setting.places import parent_of
from curriculum.trust import trusting_words
from curriculum.types import Listener, Record

if TYPE_CHECKING:
    from curriculum.run.folders import Found
    from curriculum.run.lock import Lock
    from curriculum.setting.command_line import Command

PROG = "python -m curriculum.train"
PICTURES = (".png", ".svg", ".pdf")
# settings that a resumed run may change
CHANGEABLE = (
    *("steps", "offline_updates", "runs_dir", "device", "threads", "engine"),
    *("ope", "ope_updates", "record", "listeners"),
)
# settings, or groups of them, that have no part as long as a run trains from a data set
# alone: it may change them when it goes on with steps
ONLINE = (
    *("planner", "decay", "gate", "updates_per_step", "store", "capacity"),
    *("sampling", "shares", "eval_mixed"),
)

Last = dict[str, Mapping[str, Any]]  # kind -> values of the last record of that kind


def main(argv: list[str] | None = None) -> None:
    """Parse flags, find or create the run's folder, train, report."""
    argv = sys.argv[1:] if argv is None else argv
    place = None
    status = 2  # refused before training
    trust = trusting_words(argv)
    with signals() as stop, Progress().following(stop) as progress, trust:
        try:
            with phase("setup", 0, "", detail="loading settings and libraries"):
                wanted, argv = without_preview(argv)
                config, resume = flags.parse(argv, PROG)
                from curriculum.contract import check_foreign
                from curriculum.run.fitting import require_learner_fits

                check_foreign(config)
                require_learner_fits(config)
                listening.require_listeners(config.listeners)
                if wanted is None:
                    place = find_place(config, resume, argv)
            if wanted is not None:
                preview(config, wanted, resume)
                return
            if place is None:  # the run is finished
                return
            status = 1  # failed while training
            with place.lock:
                finished = run(place, stop, progress)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, status)
        except MemoryError:
            flags.fail(PROG, "there is not enough memory for this run", status)
        except Interrupted:
            finished = False
    if not finished:
        folder = place.folder if place else None
        flags.fail(PROG, stop.message(PROG, folder), 128 + stop.signal)


# --- before a run ---


def without_preview(argv: list[str]) -> tuple[str | None, list[str]]:
    """The picture that --preview names, empty for none, and the other words; None
    where no preview is asked for."""
    if flags.asks_for_help(argv):
        return None, argv
    found = None
    words: list[str] = []
    for flag in flags.scan(argv):
        if flag.name != "preview":
            words += [f"--{flag.name}", *flag.values]
        elif len(flag.values) > 1:
            raise ValueError("--preview takes the name of one picture, or nothing")
        else:
            found = "".join(flag.values)
    return found, words


def preview(config: Config, picture: str, resume: str) -> None:
    """Print what a run would do, and draw it if a picture is named."""
    from curriculum.report import figures
    from curriculum.report import preview as report
    from curriculum.run.preview import preview as look_ahead

    if resume:
        raise ValueError("--preview is for a run that begins; leave out --resume")
    path = Path(picture)
    if picture and path.suffix not in PICTURES:
        known = ", ".join(PICTURES)
        raise ValueError(f"--preview {picture}: a picture ends with one of {known}")
    with phase("preview", 0, "", detail="measuring a few seconds of the run"):
        found = look_ahead(config)
    print(report.text(found, drawn=picture))
    if picture:
        figures.save(report.figure(found), path)


# --- signals ---


class Stop:
    """Whether a signal has asked the command to end.

    The first one lets it write a checkpoint: long work asks for it (see
    `curriculum.activity`). The second one ends it at once."""

    def __init__(self) -> None:
        self.signal = 0
        self.at_once = False

    def __call__(self) -> bool:
        return bool(self.signal)

    def catch(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.signal:
            self.at_once = True
            raise Aborted
        self.signal = number
        name = signal.Signals(number).name
        # not by print: a signal may arrive while another line is printed
        os.write(2, f"\n{name}: stopping; once more to stop at once\n".encode())

    def message(self, prog: str, folder: Path | None) -> str:
        """Say what stopped the command and how it goes on in a folder."""
        from curriculum.run.mirror import shown

        how = "at once by" if self.at_once else "by"
        stopped = f"stopped {how} {signal.Signals(self.signal).name}"
        if folder is None or not folder.is_dir():
            return f"{stopped} before anything was written"
        saved = list(folder.glob("**/checkpoints/step-*"))
        where = "with a checkpoint" if saved else "before the first checkpoint"
        words = f"{prog} --resume {shlex.quote(shown(folder))}"
        return f"{stopped} {where}; continue with: {words}"


@contextmanager
def signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM instead of ending the process; calls of plug-ins that
    hang are ended."""
    stop = Stop()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop.catch)
    try:
        with ending_calls():
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def carry_out(
    command: "Command",
    words: list[str],
    prog: str,
    lower: str = "",
    stopped: str = "stopped",
) -> None:
    """Check what a command is asked for, then do it.

    Ends the program with one sentence, and status 2 where the command is refused, 1
    where it fails, 128 and its number after a signal. `lower` names the flag that saves
    memory, `stopped` is said after a signal."""
    from curriculum.setting.command_line import read

    status = 2  # refused before any work
    trust = trusting_words(words)
    with signals() as stop, Progress().following(stop), trust, suppress(Interrupted):
        try:
            work = command.prepare(read(command, words, prog))
            status = 1
            work()
        except (ValueError, OSError) as error:
            flags.fail(prog, error, status)
        except MemoryError:
            advice = f"; lower {lower}" if lower else ""
            flags.fail(prog, f"there is not enough memory{advice}", status)
        return
    flags.fail(prog, stopped, 128 + stop.signal)


# --- the folder ---


class Place(NamedTuple):
    """Where a run is written, and where it continues."""

    config: Config
    folder: Path
    checkpoint: Path | None  # to continue from
    lock: "Lock"  # of the folder
    created: bool = False  # the folder, by this process


def find_place(config: Config, resume: str, argv: list[str]) -> Place | None:
    """Create a folder, or find the one to resume; None if that run is finished."""
    from curriculum.run import folders

    if not resume:
        return _new_place(config)
    if resume != "auto":
        found = folders.find(resume)
    else:
        parent = parent_of(config)
        name = config.run_name()
        newest = folders.find_newest(parent, name)
        if newest is None:
            print(
                f"{PROG}: no unfinished run named {name} in {parent}; starting one",
                file=sys.stderr,
            )
            return _new_place(config)
        found = newest
    try:
        place = resumed_place(found, argv)
    except BaseException:
        found.lock.release()
        raise
    if place is None:
        found.lock.release()
    return place


def _new_place(config: Config) -> Place:
    from curriculum.run import folders

    lock = folders.create(parent_of(config), config.run_name(), flat(config))
    return Place(config, lock.folder, None, lock, created=True)


def resumed_place(found: "Found", argv: list[str]) -> Place | None:
    """Where a run continues, with the settings that a command line changes; None if it
    is finished."""
    from curriculum.run import checkpoint, folders

    folder = found.folder
    saved, config = _settings(folder, argv)
    _require_no_shorter(folder, config, saved)
    newest = checkpoint.newest(folder / "checkpoints")[:1]
    is_longer = config.updates != saved.updates
    estimates = (saved.ope, saved.ope_updates)
    is_estimated = not config.ope or (config.ope, config.ope_updates) == estimates
    is_done = folders.is_finished(folder) and newest == [found.checkpoint]
    if is_done and is_estimated and not is_longer:
        more = f"--steps {saved.steps}"
        if not saved.steps:
            more = f"--offline-updates {saved.offline_updates}"
        print(
            f"{folder} is finished: nothing to do; to train it on, give more than "
            f"{more}",
            file=sys.stderr,
        )
        return None
    return Place(config, folder, found.checkpoint, found.lock)


def _require_no_shorter(folder: Path, config: Config, saved: Config) -> None:
    """Raise ValueError where a run would become shorter, or its offline phase longer
    than it was at environment step 0."""
    if config.steps < saved.steps:
        raise ValueError(
            f"{folder} is a run of {saved.steps:,} steps, which cannot become one of "
            f"{config.steps:,}; give at least as many --steps or start a new run"
        )
    before = saved.offline_updates
    if config.offline_updates < before:
        raise ValueError(
            f"{folder} is a run of {before:,} offline updates, which cannot become one "
            f"of {config.offline_updates:,}; give at least as many --offline-updates "
            "or start a new run"
        )
    if config.offline_updates > before and saved.steps:
        raise ValueError(
            f"the online phase of {folder} follows {before:,} offline updates, which "
            "cannot become more; start a new run"
        )


def _settings(folder: Path, argv: list[str]) -> tuple[Config, Config]:
    """The settings of a run, and what a command line makes of them where that is
    allowed."""
    from curriculum.run import folders

    path = folder / folders.SETTINGS
    with trusting_words(argv):
        saved, _ = flags.parse(["--config", str(path)], PROG)
        wanted, _ = flags.parse(["--config", str(path), *argv], PROG)
    changed = _forbidden_changes(saved, wanted)
    if changed:
        raise ValueError(
            f"{folder} cannot continue with other settings ({', '.join(changed)}); "
            "leave them out or start a new run"
        )
    return saved, wanted


def _forbidden_changes(saved: Config, wanted: Config) -> list[str]:
    """The settings that differ and may not, each with its new value."""
    from curriculum.run import fitting

    changeable: tuple[str, ...] = CHANGEABLE
    if not fitting.collects(saved, plugins.make("start", saved.start)):
        changeable += ONLINE
    old = flat(saved)
    return [
        f"{key} {value}"
        for key, value in flat(wanted).items()
        if key.partition(".")[0] not in changeable and value != old.get(key)
    ]


# --- training ---


def run(
    place: Place, stop: Callable[[], bool], progress: Progress | None = None
) -> bool:
    """Train in a folder with all listeners; returns whether the run is finished."""
    from curriculum.run import folders, loop

    config, folder = place.config, place.folder
    settings = flat(config)
    _announce_suggestions(config, settings)
    history = folders.history(folder, place.checkpoint)
    try:
        if config.record:
            _require_pictures(config)
        _announce_memory(config, folder)
        prepared = loop.prepare(config, folder, place.checkpoint)
        if place.checkpoint:
            folders.set_aside_later(folder, place.checkpoint)
        if not place.created:
            folders.write(folder / folders.SETTINGS, settings)
        records = loop.advance(prepared, stop)
        first = list(itertools.islice(records, 1))
    except Exception:
        if place.created:
            folders.discard(folder)
        raise
    _announce_updates(config, prepared.trainer.explanation)
    last: Last = {line["kind"]: line["values"] for line in history}
    listeners = _listeners(progress or Progress(), config.listeners)
    records = itertools.chain(first, records)
    last |= _listen(records, listeners, folder, settings, history)
    if "final" not in last:
        return False
    folders.finish(folder, settings, last)
    _report(config, folder, settings, last)
    if config.record:
        _record(folder)
    if config.map_every:
        _film_maps(folder)
    _require_healthy(config, last)
    return True


def _require_pictures(config: Config) -> None:
    """Raise ValueError where --record could not make its film at the end."""
    from curriculum.run.playing.record import require_pictures

    try:
        require_pictures(plugins.make("env", config.env))
    except ValueError as error:
        raise ValueError(f"--record: {error}") from None


def _record(folder: Path) -> None:
    """Write a film of the learner, and show it in TensorBoard."""
    from curriculum.listeners._board import events
    from curriculum.run.playing.record import record

    made = record(folder)
    file = events.EventFile(folder / f"seed{made.seed}")
    file.write([events.film("eval/episode", made.path.read_bytes())], made.step)
    file.close()
    print(f"film           {made.path}")


def _film_maps(folder: Path) -> None:
    """Write a film of the maps, if films can be written here."""
    from curriculum.run.playing.map_film import write

    print(f"maps           {write(folder)}")


def _require_healthy(config: Config, last: Last) -> None:
    """Raise ValueError, at the very end, if some seeds were stopped."""
    flags_of_seeds = last["final"]["final/stopped"]
    pairs = zip(config.seeds, flags_of_seeds, strict=True)
    stopped = [str(seed) for seed, was_stopped in pairs if was_stopped]
    if stopped:
        raise ValueError(
            f"seeds that were stopped: {', '.join(stopped)}; their results are those "
            "of their last good policy, the other seeds have finished"
        )


def _announce_memory(config: Config, folder: Path) -> None:
    """Print where the run is and how much memory its buffer takes."""
    from curriculum.envs._base.spec import spec_of
    from curriculum.replay.buffer import estimate_bytes

    chosen = config.plugged()
    memory = estimate_bytes(
        spec_of(chosen["env"]),
        len(config.seeds),
        config.ring_capacity,
        config.rows,
        config.sampling,
        chosen["learner"].columns,
        chosen["start"].data(),
    )
    print(f"run {folder}  buffer memory {memory / 1e6:.0f} MB", file=sys.stderr)


def _announce_suggestions(config: Config, settings: Mapping[str, Any]) -> None:
    """Print the settings that the world suggests and that the run follows."""
    from curriculum.run import fitting
    from curriculum.setting import suggestions

    world = plugins.make("env", config.env)
    followed = suggestions.followed(world, settings)
    if not fitting.collects(config, plugins.make("start", config.start)):
        # nobody asks the planner
        followed = {
            name: value
            for name, value in followed.items()
            if name.partition(".")[0] != "planner"
        }
    if not followed:
        return
    words = [f"{name.replace('_', '-')} {value}" for name, value in followed.items()]
    name = world.title or settings["env"]
    print(f"{name} suggests: {', '.join(words)}; your flags win", file=sys.stderr)


def _announce_updates(config: Config, explanation: str) -> None:
    """Print how updates run, and why."""
    from curriculum.learning.engine import is_emulated

    if is_emulated(config.precision, config.device):
        print(
            f"this processor has no bfloat16 instructions: --precision "
            f"{config.precision} is slower here than fp32, and less exact",
            file=sys.stderr,
        )
    print(f"updates run {explanation}", file=sys.stderr)


def _listeners(progress: Progress, more: Sequence[str]) -> list[Listener]:
    names = dict.fromkeys([*listening.ALWAYS, *more])
    made: list[Listener] = [plugins.make("listener", name) for name in names]
    return [*made, progress]


def _listen(
    records: Iterator[Record],
    listeners: Sequence[Listener],
    folder: Path,
    settings: dict[str, Any],
    history: list[dict[str, Any]],
) -> Last:
    """Hand every record to every listener; returns the last values of each kind."""
    last: Last = {}
    with ExitStack() as stack:
        opened = []
        for listener in listeners:
            opened.append(listener.open(folder, settings, history))
            stack.callback(opened[-1].close)
        try:
            with without_exits():
                for record in records:
                    for listener in opened:
                        listener(record)
                    last[record.kind] = record.values
        except Exception:
            _keep_traceback(folder / "error.txt")
            raise
    return last


def _keep_traceback(path: Path) -> None:
    with suppress(OSError):  # on a full disk, the error itself is what counts
        write_text(path, traceback.format_exc())
        print(f"the traceback is in {path}", file=sys.stderr)


def _report(config: Config, folder: Path, settings: dict[str, Any], last: Last) -> None:
    """Print what was learned, what it cost, and what compression does to it."""
    from curriculum.data.manifest import package_version
    from curriculum.report import run_page
    from curriculum.report.run_table import run_table
    from curriculum.run.mirror import shown

    values = {}
    for kind in last.values():
        for tag, value in kind.items():
            values[tag] = np.asarray(value, float)
    planner = config.plugged()["planner"]
    print(run_table(str(folder), settings, values, planner.needs))
    place = shown(folder)
    page = run_page.write(folder, place, settings, planner.needs, package_version())
    print(f"report         {page}")
    if place != str(folder):
        print(f"copied to      {place}")
    if "compress" in last:
        floor = float(np.mean(values.get("eval/random_reward", np.nan)))
        print(_compression(folder, settings, last["compress"], floor))


def _compression(
    folder: Path, settings: dict[str, Any], values: Mapping[str, Any], floor: float
) -> str:
    """Write and return the tables of compressed policies; `floor` is the return of
    random play."""
    from curriculum.report.compression_table import tables, variants_of
    from curriculum.run.compressing import numpy_threads, refusals

    found = variants_of(values, tuple(settings["seeds"]))
    refused = refusals(folder / "compressed")
    figures = tables(found, floor, refused, numpy_threads())
    text = f"Compressed policies at the end of training.\n\n{figures}\n"
    write_text(folder / "compression.md", text)
    return f"\n{text.rstrip()}"


if __name__ == "__main__":
    main()
