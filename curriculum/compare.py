"""Compare settings on shared seeds.

    python -m curriculum.compare --start expert random --seeds 0 1 2 3 4

Any flag of `curriculum.train` may take several values, and every combination is an arm;
`--arm "NAME: FLAGS"` is one by hand; `--with RUN` adds a finished run. All arms share
seeds and evaluation episodes, so differences are paired. `--resume auto` or `--resume
FOLDER` continues a comparison that was interrupted.
"""

import math
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from curriculum import train
from curriculum.activity import Interrupted, Phase, overhearing, phase
from curriculum.files import write_text
from curriculum.listeners.progress import Progress
from curriculum.setting import arms, flags
from curriculum.setting.config import Config, flat
from curriculum.setting.names import require_folder_name
from curriculum.trust import require_trust, trusting_words

if TYPE_CHECKING:
    from curriculum.report.curves import Curve
    from curriculum.run.lock import Lock

PROG = "python -m curriculum.compare"
DESCRIPTION = "compare.yaml"
TABLE = "table.md"  # exists once the comparison is finished
FIRST_SHARE = 0.05  # of the first arm, from which on time is estimated
MOST_LETTERS = 100  # of the name of an arm's folder
USAGE = f"usage: {PROG} [FLAGS OF curriculum.train] [--arm 'NAME: FLAGS'] [--with RUN]"


def main(argv: list[str] | None = None) -> None:
    """Train every arm, then draw one figure and write one table."""
    argv = sys.argv[1:] if argv is None else argv
    if flags.asks_for_help(argv):
        print(f"{USAGE}\n\n{__doc__}")
        return
    found = None
    status = 2  # refused before training
    trust = trusting_words(argv)
    with train.signals() as stop, Progress().following(stop) as progress, trust:
        try:
            if arms.names_only_finished_runs(argv):
                compare_finished(argv)
                return
            with phase("setup", 0, "", detail="loading settings and libraries"):
                found = find_comparison(argv)
            if found is None:  # it is finished
                return
            status = 1  # failed while training
            with found.lock:
                finished = compare(found, stop, progress)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, status)
        except Interrupted:
            finished = False
    if not finished:
        folder = found.lock.folder if found else None
        flags.fail(PROG, stop.message(PROG, folder), 128 + stop.signal)


class Comparison(NamedTuple):
    """What is compared, and where."""

    configs: dict[str, Config]  # of the arms to train, by name
    folders: dict[str, str]  # of the arms, by name
    finished: dict[str, "Curve"]  # of the runs given by --with, by name
    lock: "Lock"  # of the folder


def find_comparison(argv: list[str]) -> Comparison | None:
    """Create the folder of a comparison, or find the one to resume; None if that one is
    finished."""
    resume, words = _without_resume(argv)
    if resume and resume != "auto":
        if (Path(resume) / TABLE).is_file():
            print(f"{resume} is finished: nothing to do", file=sys.stderr)
            return None
        return _found(Path(resume), [])
    configs, finished = _read_arms(words)
    first = next(iter(configs.values()))
    parent = train.parent_of(first)
    name = first.name or "compare"
    if resume:
        unfinished = _unfinished(parent, name)
        if unfinished:
            return _found(unfinished, words)
        print(
            f"{PROG}: no unfinished comparison named {name} in {parent}; starting one",
            file=sys.stderr,
        )
    from curriculum.run.folders import create

    arm_folders = _folder_names(configs)
    described = {
        "command": f"{PROG} {shlex.join(words)}",
        "name": name,
        "arms": arm_folders,
    }
    lock = create(parent, name, described, file=DESCRIPTION)
    return Comparison(configs, arm_folders, finished, lock)


def _without_resume(argv: list[str]) -> tuple[str, list[str]]:
    """The value of --resume, and the command line without it and --trust."""
    resume = ""
    words: list[str] = []
    for flag in flags.scan(argv):
        if flag == flags.Flag("trust", []):
            continue
        if flag.name != "resume":
            words += [f"--{flag.name}", *flag.values]
        elif len(flag.values) == 1:
            resume = flag.values[0]
        else:
            raise ValueError("--resume takes one value: auto, or a comparison's folder")
    if resume and resume != "auto" and words:
        raise ValueError(
            f"--resume {resume} continues with the arms it has; "
            f"leave out {' '.join(words)}"
        )
    return resume, words


def _unfinished(parent: Path, name: str) -> Path | None:
    """The newest unfinished comparison of exactly this name."""
    found = []
    for path in parent.glob(f"*/{DESCRIPTION}"):
        unfinished = not (path.parent / TABLE).is_file()
        if unfinished and _read_description(path).get("name") == name:
            found.append(path)
    if not found:
        return None
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _found(folder: Path, words: list[str]) -> Comparison:
    """Lock a comparison to be resumed, which has the arms of `words` if these are
    given."""
    from curriculum.run.lock import Lock

    described = _read_description(folder / DESCRIPTION)
    if not isinstance(described.get("arms"), dict):
        raise ValueError(
            f"--resume {folder}: no comparison that can be resumed "
            f"(a folder with {DESCRIPTION}, in which its arms are listed)"
        )
    command = f"{PROG} {shlex.join(words)}"
    if words and command != described["command"]:
        raise ValueError(
            f"{folder} compares other arms ({described['command']}); "
            "give another --name, or leave out --resume"
        )
    lock = Lock(folder)
    try:
        start = len(shlex.split(PROG))
        own = shlex.split(described["command"])[start:]
        _require_trust_of_code(own, folder / DESCRIPTION)
        configs, finished = _read_arms(own)
        if configs.keys() != described["arms"].keys():
            raise ValueError(
                f"{folder}/{DESCRIPTION} lists other arms than its command"
            )
    except BaseException:
        lock.release()
        raise
    return Comparison(configs, described["arms"], finished, lock)


def _require_trust_of_code(words: Iterable[str], path: Path) -> None:
    """Ask for trust in the code that the command in a file names."""
    for word in words:
        # module:Class or the path of a file, also inside the flags of an arm
        if re.search(r"\S:\S|\.py\b|--trust", word):
            require_trust(f"{word} in {path}", word)


def _folder_names(names: Iterable[str]) -> dict[str, str]:
    """The folder of each arm: its name, without what a folder's name must not have."""
    found: dict[str, str] = {}
    for name in names:
        short = re.sub(r"[^\w.-]+", "-", name)[:MOST_LETTERS].rstrip("-. ")
        require_folder_name(f"the name of the arm {name!r},", short)
        folder = short
        number = 1
        while folder in found.values():
            number += 1
            folder = f"{short}-{number}"
        found[name] = folder
    return found


def compare(comparison: Comparison, stop: train.Stop, progress: Progress) -> bool:
    """Train the arms that are not finished, and write figure and table; returns whether
    all of it was done."""
    from curriculum.report.curves import read_curve

    folder = comparison.lock.folder
    curves: dict[str, Curve] = {}
    total = len(comparison.configs)
    hint = "--steps, or leave out arms"

    def hear(inner: Phase) -> None:
        """Count what is done of the present arm, too."""
        if inner.name == ("online" if config.steps else "offline"):
            current.share = share_done(len(curves), inner.share, total)
            current.share_is_estimate = True

    with phase("comparison", total, "arms", hint) as current, overhearing(hear):
        for name, config in comparison.configs.items():
            current.report(len(curves), f"now {name}")
            run = folder / comparison.folders[name]
            number = len(curves) + 1
            print(f"\narm {number} of {total}: {name}", file=sys.stderr)
            if not _train_arm(config, run, stop, progress):
                return False
            curves[name] = read_curve(run)
            current.report(len(curves))
    curves |= comparison.finished
    _report(curves, folder)
    return True


def share_done(arms: int, of_next: float, total: int) -> float:
    """Share of a comparison that is done: `arms` of `total`, and a share of the next.

    It is 0 as long as the first arm has hardly begun: other work precedes its steps, so
    nothing is known about the time that is left."""
    if arms == 0 and of_next < FIRST_SHARE:
        return 0.0
    return (arms + of_next) / total


def compare_finished(argv: list[str]) -> Path:
    """Compare the finished runs that a command line names, without training.

    Returns the folder of figure and table."""
    from curriculum.report.curves import read_curve
    from curriculum.run import folders

    given = {flag.name: flag.values for flag in flags.scan(argv)}
    runs = arms.parse(argv).finished
    curves = {run.name: read_curve(run) for run in runs}
    if len(curves) < 2:
        raise ValueError("give at least two runs of different names by --with")
    first = next(iter(curves.values()))
    _check_pairs(curves, first.seeds, first.episodes)
    [parent] = given.get("runs-dir") or [str(runs[0].resolve().parents[1])]
    [name] = given.get("name") or ["compare"]
    world = runs[0].resolve().parent.name
    command = {"command": shlex.join([PROG, *argv])}
    lock = folders.create(Path(parent) / world, name, command, file=DESCRIPTION)
    with lock:
        _report(curves, lock.folder)
    return lock.folder


def _report(curves: Mapping[str, "Curve"], folder: Path) -> None:
    """Draw the figure, write the table and print it."""
    from curriculum.report.tables import comparison

    _draw(curves, folder / "curves.png")
    table = comparison(curves)
    write_text(folder / TABLE, table + "\n")
    print(f"\n{table}\n\nfigure  {folder}/curves.png\ntable   {folder}/{TABLE}")


def _train_arm(config: Config, run: Path, stop: train.Stop, progress: Progress) -> bool:
    """Train one arm in the folder `run`, or what is left of it; returns whether it is
    finished."""
    from curriculum.run import folders
    from curriculum.run.lock import Lock

    if (run / folders.SETTINGS).is_file():
        if folders.is_finished(run):
            return True
        found = folders.find(str(run))
        place = train.Place(config, run, found.checkpoint, found.lock)
    else:
        run.mkdir(exist_ok=True)  # it is there if the process was killed here before
        lock = Lock(run)
        folders.write(run / folders.SETTINGS, flat(config))
        place = train.Place(config, run, None, lock, created=True)
    with place.lock:
        return train.run(place, stop, progress)


def _read_arms(argv: list[str]) -> tuple[dict[str, Config], dict[str, "Curve"]]:
    """The settings of the arms to train, and the curves of finished ones, by name."""
    from curriculum.contract import check_foreign
    from curriculum.report.curves import read_curve

    wanted = arms.parse(argv)
    configs = {
        name: flags.parse(words, PROG).config
        for name, words in wanted.command_lines.items()
    }
    for name, words in wanted.command_lines.items():
        if "--resume" in words:
            raise ValueError(f"arm {name}: --resume is a flag of the whole comparison")
    seeds = _shared_seeds(configs)
    finished = {path.name: read_curve(path) for path in wanted.finished}
    first = next(iter(configs.values()))
    _check_pairs(finished, seeds, first.eval_episodes)
    for config in configs.values():
        check_foreign(config)
    return configs, finished


def _shared_seeds(configs: Mapping[str, Config]) -> list[int]:
    """The seeds of all arms; they must share the evaluation episodes as well."""
    seeds = {config.seeds for config in configs.values()}
    if len(seeds) > 1:
        raise ValueError("all arms must share their seeds; give --seeds once")
    episodes = {config.eval_episodes for config in configs.values()}
    if len(episodes) > 1:
        raise ValueError(
            "all arms must share their evaluation episodes; give --eval-episodes once"
        )
    return list(seeds.pop())


def _check_pairs(
    finished: Mapping[str, "Curve"], seeds: list[int], episodes: int
) -> None:
    """Raise ValueError for finished runs whose figures cannot be paired with those of
    the others: other seeds or other final episodes."""
    for name, curve in finished.items():
        if curve.seeds != seeds:
            raise ValueError(
                f"every arm must have the seeds {seeds}; "
                f"the run {name} given by --with has {curve.seeds}"
            )
        if curve.episodes != episodes:
            raise ValueError(
                f"the run {name} given by --with has {curve.episodes} final episodes, "
                f"the others have {episodes}; all must have as many (--eval-episodes)"
            )


def _draw(curves: Mapping[str, "Curve"], path: Path) -> None:
    """Draw the learning curves between the returns of random play and of the planner,
    or the data."""
    from curriculum.report import figures

    planners = _baselines(curves, "planner")
    # one line for all arms, or one for each where their planners differ
    planner = next(iter(planners.values()), None)
    differ = len(set(planners.values())) > 1
    data = set(_baselines(curves, "data").values())
    first = next(iter(curves.values()))
    lines = {name: (curve.steps, curve.reward) for name, curve in curves.items()}
    are_offline = {curve.is_offline for curve in curves.values()}
    axis = figures.STEPS
    if True in are_offline:
        axis = figures.UPDATES
    if len(are_offline) > 1:
        axis = f"{figures.STEPS}; of offline runs, updates"
    figure = figures.learning_curves(
        lines,
        xlabel=axis,
        random=first.baselines["random"],
        planner=planners if differ else planner,
        data=data.pop() if len(data) == 1 else None,
    )
    figures.save(figure, path)


def _baselines(curves: Mapping[str, "Curve"], name: str) -> dict[str, float]:
    """The known returns of "planner" or "data", by arm."""
    returns = {arm: curve.baselines[name] for arm, curve in curves.items()}
    return {arm: value for arm, value in returns.items() if math.isfinite(value)}


if __name__ == "__main__":
    main()
