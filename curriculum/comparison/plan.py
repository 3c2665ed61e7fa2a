"""Which arms a comparison has, and in which folder: a new one, or the one in which the
same arms were begun."""

import copy
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from curriculum.comparison import options
from curriculum.comparison.options import Options
from curriculum.contract import check_foreign
from curriculum.files import is_url
from curriculum.report import measures
from curriculum.report.curves import Curve, joined, read_curve
from curriculum.report.measures import Terms
from curriculum.run import mirror
from curriculum.run.contents import by_name
from curriculum.run.folders import create
from curriculum.run.lock import Lock
from curriculum.setting import arms, flags
from curriculum.setting.config import Config, flat
from curriculum.setting.listening import require_listeners
from curriculum.setting.names import require_folder_name
from curriculum.setting.places import parent_of
from curriculum.storage import folder_at
from curriculum.trust import require_trust

PROG = "python -m curriculum.compare"
DESCRIPTION = "compare.yaml"
TABLE = "table.md"  # exists once the comparison is finished
SEED = "seed-"  # begins the folder of one seed of an arm
SPLIT = "split_seeds"  # in the description: whether there are such folders
MOST_LETTERS = 100  # of the name of an arm's folder

Settings = dict[str, dict[str, Any]]  # of every arm, by name


class Comparison(NamedTuple):
    """What is compared, and where."""

    configs: dict[str, Config]  # of the arms to train, by name
    folders: dict[str, str]  # of the arms, by name
    finished: dict[str, Curve]  # of the runs given by --with, by name
    lock: Lock  # of the folder
    options: Options
    words: list[str]  # of the command line, which name trusted code
    is_split: bool = False  # whether every seed of an arm has a run of its own

    def runs_of(self, name: str) -> dict[Path, Config]:
        """The runs of an arm, by folder: one, or one for each seed."""
        folder = self.folder_of(name)
        config = self.configs[name]
        if not self.is_split:
            return {folder: config}
        return {
            folder / f"{SEED}{seed}": _of_seed(config, seed) for seed in config.seeds
        }

    def folder_of(self, name: str) -> Path:
        """The folder of an arm."""
        return self.lock.folder / self.folders[name]


def _of_seed(config: Config, seed: int) -> Config:
    own = copy.copy(config)
    own.seeds = (seed,)
    return own


def find(argv: list[str]) -> Comparison:
    """Create the folder of a comparison, or find the one to go on with."""
    wanted, words = options.read(argv)
    if wanted.folder:
        if words:
            raise ValueError(
                f"--resume {wanted.folder} continues with the arms it has; "
                f"leave out {' '.join(words)}"
            )
        return _resumed(wanted, argv)
    configs, finished = read_arms(words)
    first = next(iter(configs.values()))
    parent = parent_of(first, wanted.study)
    name = first.name or "compare"
    settings = {arm: flat(config) for arm, config in configs.items()}
    seen = mirror.looked_into(parent, (DESCRIPTION, TABLE))
    begun = _begun(seen, name, settings)
    if begun:
        lock = mirror.lock(mirror.writable(parent, begun.name))
        _announce(lock.folder)
        described = _read_description(begun / DESCRIPTION)
        is_split = _is_split(described, lock.folder, wanted)
        folders = described["arms"]
        return Comparison(configs, folders, finished, lock, wanted, argv, is_split)
    if wanted.resume:
        _require_no_other(seen, name)
        print(
            f"{PROG}: no unfinished comparison named {name} in {parent}; starting one",
            file=sys.stderr,
        )
    folders = folder_names(configs)
    described = {
        "command": shlex.join([*PROG.split(), *_without(argv, "resume", "trust")]),
        "name": name,
        "arms": folders,
        SPLIT: wanted.split_seeds,
        "settings": settings,
    }
    lock = create(parent, name, described, file=DESCRIPTION)
    is_split = wanted.split_seeds
    return Comparison(configs, folders, finished, lock, wanted, argv, is_split)


def _is_split(described: Mapping[str, Any], folder: Path, wanted: Options) -> bool:
    """Whether a comparison that was begun has a run for each seed; prints where the
    command line now says something else."""
    is_split = bool(described.get(SPLIT))
    if is_split != wanted.split_seeds:
        how = "a run for every seed" if is_split else "one run for all seeds of an arm"
        print(f"{folder} was begun with {how}, and goes on so", file=sys.stderr)
    return is_split


def _without(argv: Iterable[str], *names: str) -> list[str]:
    """A command line without some flags."""
    words: list[str] = []
    for flag in flags.scan([*argv]):
        if flag.name not in names:
            words += [f"--{flag.name}", *flag.values]
    return words


def _announce(folder: Path) -> None:
    text = f"{PROG}: going on with {folder}"
    if (folder / TABLE).is_file():
        text = (
            f"{folder} is finished: nothing is trained, its report is written again; "
            "to train anew, give another --name"
        )
    print(text, file=sys.stderr)


# --- the folder ---


def _described(parent: Path, name: str) -> list[tuple[Path, dict[str, Any]]]:
    """The comparisons of exactly this name, newest first."""
    found = []
    for path in parent.glob(f"*/{DESCRIPTION}"):
        described = _read_description(path)
        if described.get("name") == name and isinstance(described.get("arms"), dict):
            found.append((path.stat().st_mtime_ns, path.parent, described))
    found.sort(key=lambda each: each[0], reverse=True)
    return [(folder, described) for _, folder, described in found]


def _begun(parent: Path, name: str, settings: Settings) -> Path | None:
    """The newest comparison of this name whose arms have these settings."""
    for folder, described in _described(parent, name):
        saved = described.get("settings")
        if isinstance(saved, dict) and not _changed(saved, settings):
            return folder
    return None


def _require_no_other(parent: Path, name: str) -> None:
    """Raise ValueError if an unfinished comparison of this name has other arms."""
    for folder, described in _described(parent, name):
        if not (folder / TABLE).is_file():
            raise ValueError(
                f"{folder} compares other arms ({described.get('command')}); "
                "give another --name, or leave out --resume"
            )


def _changed(saved: Mapping[str, Any], settings: Settings) -> str:
    """Where the settings of arms differ from those that were saved, empty if they do
    not; settings that did not exist then do not count."""
    if saved.keys() != settings.keys():
        return "its arms"
    now = yaml.safe_load(yaml.safe_dump(settings))  # as they were saved
    for arm, group in saved.items():
        for name, value in group.items():
            if now[arm].get(name) != value:
                return f"{name} of the arm {arm}, then {value}"
    return ""


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _resumed(wanted: Options, argv: list[str]) -> Comparison:
    """Lock a comparison that `--resume` names; options that are given win over those it
    was begun with."""
    place = folder_at(wanted.folder)
    if isinstance(place, Path):
        _description_of(place)  # nothing is written to another folder
        folder = place
    else:
        folder = mirror.opened(place)
    lock = mirror.lock(folder)
    try:
        described = _description_of(folder)
        own = shlex.split(described["command"])[len(shlex.split(PROG)) :]
        _require_trust_of_code(own, folder / DESCRIPTION)
        given = _without(argv, "resume", "trust")
        merged, words = options.read([*own, *given])
        configs, finished = read_arms(words)
        settings = {arm: flat(config) for arm, config in configs.items()}
        saved = described.get("settings", settings)
        changed = _changed(saved, settings)
        if changed or configs.keys() != described["arms"].keys():
            raise ValueError(
                f"the command in {folder}/{DESCRIPTION} has other settings now than "
                f"when it was begun ({changed or 'its arms'}); begin a new comparison"
            )
    except BaseException:
        lock.release()
        raise
    _announce(folder)
    wanted = merged._replace(resume=wanted.resume)
    folders = described["arms"]
    is_split = bool(described.get(SPLIT))
    words = [*argv, *own]
    return Comparison(configs, folders, finished, lock, wanted, words, is_split)


def _description_of(folder: Path) -> dict[str, Any]:
    """The description of a comparison that `--resume` names."""
    described = _read_description(folder / DESCRIPTION)
    has_command = isinstance(described.get("command"), str)
    if not isinstance(described.get("arms"), dict) or not has_command:
        raise ValueError(
            f"--resume {mirror.shown(folder)}: no comparison that can be resumed "
            f"(a folder with {DESCRIPTION}, in which its arms are listed)"
        )
    return described


def _require_trust_of_code(words: Iterable[str], path: Path) -> None:
    """Ask for trust in the code that the command in a file names."""
    for flag in flags.scan([*words]):
        is_place = flag.name in ("runs-dir", "with") or flag.name.endswith(flags.PLACE)
        for word in (f"--{flag.name}", *flag.values):
            if is_place and is_url(word) and not word.endswith(".py"):
                continue
            # module:Class or the path of a file, also inside the flags of an arm
            if re.search(r"\S:\S|\.py\b|--trust", word):
                require_trust(f"{word} in {path}", word)


def folder_names(names: Iterable[str]) -> dict[str, str]:
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


# --- the arms ---


def read_arm(comparison: Comparison, name: str) -> Curve:
    """The curve of an arm that is finished; ValueError if it has not recorded what is
    to be compared."""
    curve = joined([read_curve(run) for run in comparison.runs_of(name)])
    require_tags({name: curve}, comparison.options.terms)
    return curve


def require_tags(curves: Mapping[str, Curve], terms: Terms) -> None:
    """Raise ValueError where a run has not recorded what is to be compared."""
    for name, curve in curves.items():
        for tag in terms.tags:
            measures.require_tag(name, curve, tag)


def read_arms(argv: list[str]) -> tuple[dict[str, Config], dict[str, Curve]]:
    """The settings of the arms to train, and the curves of finished ones, by name."""
    from curriculum.run.fitting import require_learner_fits

    wanted = arms.parse(argv)
    configs = {
        name: flags.parse(words, PROG).config
        for name, words in wanted.command_lines.items()
    }
    for name, words in wanted.command_lines.items():
        if "--resume" in words:
            raise ValueError(f"arm {name}: --resume is a flag of the whole comparison")
    seeds = _shared_seeds(configs)
    runs = by_name([mirror.readable(run) for run in wanted.finished])
    finished = {name: read_curve(path) for name, path in runs.items()}
    first = next(iter(configs.values()))
    check_pairs(finished, seeds, first.eval_episodes)
    for name, config in configs.items():
        check_foreign(config)
        try:
            require_learner_fits(config)
            require_listeners(config.listeners)
        except ValueError as error:
            raise ValueError(f"arm {name}: {error}") from None
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


def check_pairs(finished: Mapping[str, Curve], seeds: list[int], episodes: int) -> None:
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
