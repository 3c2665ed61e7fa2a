"""Summarize finished runs, each on one page: `report.html`.

    python -m curriculum.summarize RUN...

The page needs no network: figures, tables, settings, commands and a conclusion are in
it. The same is written in Markdown, and the numbers as CSV, beside it. `train` and
`compare` write such a page at their end.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from curriculum import train
from curriculum.setting import flags
from curriculum.setting.command_line import Command, Words

PROG = "python -m curriculum.summarize"
COMPARISON = "compare.yaml"  # in the folder of one


def main(argv: list[str] | None = None) -> None:
    """Write the page of every folder that is named."""
    words = sys.argv[1:] if argv is None else argv
    train.carry_out(COMMAND, words, PROG)


def prepare(words: Words) -> Callable[[], None]:
    """Check that there are finished runs."""
    if not words.positional:
        raise ValueError(f"usage: {PROG} {COMMAND.usage}")
    works = [_work_at(word) for word in words.positional]

    def write_all() -> None:
        for work in works:
            print(f"report  {work()}")

    return write_all


def _work_at(word: str) -> Callable[[], str]:
    """What writes the page of a folder, also at a URL, and says where."""
    from curriculum.files import is_url
    from curriculum.run import mirror
    from curriculum.storage import Remote

    if not is_url(word):
        work = _work(Path(word))
        return lambda: str(work())
    folder = mirror.opened(Remote(word))
    lock = mirror.lock(folder)
    try:
        work = _work(folder)
    except BaseException:
        lock.release()
        raise

    def write() -> str:
        with lock:
            return f"{word.rstrip('/')}/{work().name}"

    return write


def _work(folder: Path) -> Callable[[], Path]:
    """What writes the page of a folder."""
    from curriculum.data.manifest import package_version
    from curriculum.report import run_page
    from curriculum.run import folders, mirror

    path = folder / folders.SETTINGS
    if (folder / COMPARISON).is_file():
        raise ValueError(
            f"{folder} is a comparison; its report is written again by: "
            f"python -m curriculum.compare --resume {mirror.shown(folder)}"
        )
    if not path.is_file():
        raise ValueError(f"{folder} is not a run: it has no {folders.SETTINGS}")
    if not folders.is_finished(folder):
        raise ValueError(
            f"{folder} is not finished; continue it with: "
            f"python -m curriculum.train --resume {mirror.shown(folder)}"
        )
    config = flags.read(["--config", str(path)], PROG).config
    needs = config.plugged()["planner"].needs
    settings = yaml.safe_load(path.read_text())  # as they were written
    place = mirror.shown(folder)
    return lambda: run_page.write(folder, place, settings, needs, package_version())


COMMAND = Command(
    "RUN...",
    "Summarize finished runs, each on one page: report.html in its folder.",
    (),
    prepare,
    positional=-1,
)


if __name__ == "__main__":
    main()
