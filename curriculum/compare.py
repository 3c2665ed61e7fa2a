"""Compare settings on shared seeds.

    python -m curriculum.compare --start expert random --seeds 0 1 2 3 4

Any flag of `curriculum.train` may take several values, and every combination is an arm;
`--arm "NAME: FLAGS"` is one by hand; `--with RUN` adds a finished run. All arms share
seeds and evaluation episodes, so differences are paired.
"""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from curriculum import train
from curriculum.activity import phase
from curriculum.listeners.progress import Progress
from curriculum.setting import arms, flags
from curriculum.setting.config import Config, flat

if TYPE_CHECKING:
    from curriculum.report.curves import Curve

PROG = "python -m curriculum.compare"
USAGE = f"usage: {PROG} [FLAGS OF curriculum.train] [--arm 'NAME: FLAGS'] [--with RUN]"


def main(argv: list[str] | None = None) -> None:
    """Train every arm, then draw one figure and write one table."""
    argv = sys.argv[1:] if argv is None else argv
    if flags.asks_for_help(argv):
        print(f"{USAGE}\n\n{__doc__}")
        return
    try:
        if arms.names_only_finished_runs(argv):
            compare_finished(argv)
            return
        with Progress().following() as progress:
            compare(argv, progress)
    except (ValueError, OSError) as error:
        flags.fail(PROG, error, status=1)
    except KeyboardInterrupt:
        message = "stopped; add arms that are finished to another comparison by --with"
        flags.fail(PROG, message, status=130)


def compare(argv: list[str], progress: Progress) -> Path:
    """Train the arms that a command line describes.

    Returns the folder of runs, figure and table."""
    with phase("setup", 0, "", detail="loading settings and libraries"):
        configs, finished = _read_arms(argv)
    from curriculum.report.curves import read_curve
    from curriculum.run import folders

    first = next(iter(configs.values()))
    lock = folders.create(
        train.parent_of(first),
        first.name or "compare",
        {"command": shlex.join([PROG, *argv])},
        file="compare.yaml",
    )
    folder = lock.folder
    curves: dict[str, Curve] = {}
    hint = "--steps, or leave out arms"
    with phase("comparison", len(configs), "arms", hint) as current:
        for name, config in configs.items():
            current.report(len(curves), f"now {name}")
            curves[name] = read_curve(_train_arm(name, config, folder, progress))
            current.report(len(curves))
    curves |= finished
    _report(curves, folder)
    return folder


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
    _check_seeds(curves, next(iter(curves.values())).seeds)
    [parent] = given.get("runs-dir") or [str(runs[0].resolve().parents[1])]
    [name] = given.get("name") or ["compare"]
    world = runs[0].resolve().parent.name
    command = {"command": shlex.join([PROG, *argv])}
    lock = folders.create(Path(parent) / world, name, command, file="compare.yaml")
    with lock:
        _report(curves, lock.folder)
    return lock.folder


def _report(curves: Mapping[str, "Curve"], folder: Path) -> None:
    """Draw the figure, write the table and print it."""
    from curriculum.report.tables import comparison

    _draw(curves, folder / "curves.png")
    table = comparison(curves)
    (folder / "table.md").write_text(table + "\n")
    print(f"\n{table}\n\nfigure  {folder}/curves.png\ntable   {folder}/table.md")


def _read_arms(argv: list[str]) -> tuple[dict[str, Config], dict[str, "Curve"]]:
    """The settings of the arms to train, and the curves of finished ones, by name."""
    from curriculum.contract import check_foreign
    from curriculum.report.curves import read_curve

    wanted = arms.parse(argv)
    configs = {
        name: flags.parse(words, PROG).config
        for name, words in wanted.command_lines.items()
    }
    seeds = _shared_seeds(configs)
    finished = {path.name: read_curve(path) for path in wanted.finished}
    _check_seeds(finished, seeds)
    for config in configs.values():
        check_foreign(config)
    return configs, finished


def _shared_seeds(configs: Mapping[str, Config]) -> list[int]:
    """The seeds of all arms."""
    distinct = {config.seeds for config in configs.values()}
    if len(distinct) > 1:
        raise ValueError("all arms must share their seeds; give --seeds once")
    return list(distinct.pop())


def _check_seeds(finished: Mapping[str, "Curve"], seeds: list[int]) -> None:
    for name, curve in finished.items():
        if curve.seeds != seeds:
            raise ValueError(
                f"every arm must have the seeds {seeds}; "
                f"the run {name} given by --with has {curve.seeds}"
            )


def _train_arm(name: str, config: Config, folder: Path, progress: Progress) -> Path:
    """Train one arm; returns the folder of its run."""
    from curriculum.run import folders

    print(f"\narm {name}", file=sys.stderr)
    folder_name = re.sub(r"[^\w.-]+", "-", name)
    lock = folders.create(folder, folder_name, flat(config))
    place = train.Place(config, lock.folder, None, lock)
    train.run(place, train.Stop(), progress)
    return lock.folder


def _draw(curves: Mapping[str, "Curve"], path: Path) -> None:
    """Draw the learning curves between the returns of random play and planner."""
    from curriculum.report import figures

    returns = {name: curve.baselines["planner"] for name, curve in curves.items()}
    first = next(iter(curves.values()))
    lines = {name: (curve.steps, curve.reward) for name, curve in curves.items()}
    # one line for all arms, or one for each where their planners differ
    differ = len(set(returns.values())) > 1
    figure = figures.learning_curves(
        lines,
        random=first.baselines["random"],
        planner=returns if differ else first.baselines["planner"],
    )
    figures.save(figure, path)


if __name__ == "__main__":
    main()
