"""Collect data sets: `python -m curriculum.collect make OUT --env gridworld`.

`python -m curriculum.collect COMMAND --help` lists the flags of a command.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curriculum import train
from curriculum.activity import phase
from curriculum.files import local_path
from curriculum.setting import flags, plugins
from curriculum.setting.command_line import Command, Words, join, value_of
from curriculum.setting.config import Config, settings_of
from curriculum.setting.description import Field
from curriculum.storage import data_at

if TYPE_CHECKING:
    from curriculum.data.dataset import DataSet
    from curriculum.run.making import Cast

PROG = "python -m curriculum.collect"
EPISODES = 100  # of `make`, without a flag
TIERS = ("random", "medium", "medium-replay", "medium-expert", "expert")
SEED = Field("seed", int, 0, "seed of all random numbers")
MAKE = (
    Field("episodes", int, 0, f"episodes to play; without a flag {EPISODES}"),
    Field(
        "transitions",
        int,
        0,
        "transitions to play instead; the last episode is played to its end",
    ),
    Field(
        "tier",
        Literal["", *TIERS],
        "",
        "quality between random play and the planner; medium: the planner with so many "
        "random actions that it scores a third; medium-replay: from random play to "
        "medium; medium-expert: half of each",
    ),
    Field(
        "noise",
        float | None,
        None,
        "share of actions that are random, in [0, 1]; of a medium tier instead of the "
        "share that is found for it",
    ),
    Field(
        "longest",
        int,
        100_000,
        "steps after which an episode is cut, such as in worlds without a time limit",
    ),
    Field(
        "start_distribution",
        Literal["world", "random-play"],
        "world",
        "where episodes begin; random-play: after some random steps, not recorded",
    ),
    Field("start_steps", int, 20, "the most random steps before an episode"),
    SEED,
    Field(
        "from_run",
        str,
        "",
        "a run's folder: keep what it has collected, as its newest checkpoint holds "
        "it; nothing is played",
    ),
    Field("from_seeds", tuple[int, ...], (), "of the run's seeds; without, all"),
)
CONVERT = (
    Field("from", str, "", "format of IN; empty: what it looks like"),
    Field("to", str, "", "format of OUT; empty: by the end of its name"),
    Field(
        "continuous",
        bool,
        False,
        "replace discrete actions by those of a box that do the same (--env botevade)",
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Run the command that the first word names."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("--help", "-h"):
        _list_commands()
        return
    name, *words = argv
    if name not in COMMANDS:
        flags.fail(PROG, plugins.unknown("command", name, list(COMMANDS)))
    command = COMMANDS[name]
    prog = f"{PROG} {name}"
    again = "; the same command goes on where it was" if name == "make" else ""
    train.carry_out(command, words, prog, stopped=f"stopped{again}")


def _list_commands() -> None:
    print(f"usage: {PROG} COMMAND, each with --help\n")
    for name, command in COMMANDS.items():
        print(f"  {name:<10} {command.summary}")


def _config(given: Sequence[flags.Flag]) -> Config:
    """The configuration with these plug-ins."""
    return flags.read(join(given), PROG).config


# --- make ---


def prepare_make(words: Words) -> Callable[[], None]:
    """Check what is to be made."""
    from curriculum.contract.fit import check_planner_fit
    from curriculum.data.dataset import DataSet
    from curriculum.run.making import Making, make_data

    own = words.own
    out = local_path(words.positional[0], "the data set")
    if out.exists() and _wrote(words.text, out):
        data = DataSet(out)
        return lambda: print(f"{data.folder} is finished: nothing to do")
    run, seeds = own.pop("from_run"), own.pop("from_seeds")
    if run:
        from curriculum.run.mirror import readable

        return _prepare_harvest(words, readable(run), seeds)
    if seeds:
        raise ValueError("--from-seeds goes with --from-run RUN")
    if not own["episodes"] and not own["transitions"]:
        own["episodes"] = EPISODES
    cast, config = _read_cast(words.plugins)
    making = Making(out=out, config=config, cast=cast, command=words.text, **own)
    making.require_new()
    world = plugins.make("env", config.env)
    for member in cast:
        check_planner_fit(member.planner, world)
    return lambda: _announce(make_data(making))


def _prepare_harvest(
    words: Words, run: Path, seeds: tuple[int, ...]
) -> Callable[[], None]:
    """Check what of a run is to be kept."""
    from curriculum.run import harvest
    from curriculum.run.opened import OpenedRun

    defaults = {field.name: field.default for field in MAKE}
    given = [name for name, value in words.own.items() if value != defaults[name]]
    given += [flag.name for flag in words.plugins]
    if given:
        flag = given[0].replace("_", "-")
        raise ValueError(
            f"--from-run keeps what a run has collected, and --{flag} has no part in "
            "it; leave one of them out"
        )
    chosen = harvest.Harvest(
        out=local_path(words.positional[0], "the data set"),
        run=OpenedRun(run),
        seeds=seeds,
        command=words.text,
    )
    return lambda: _announce(harvest.save(chosen))


def _wrote(command: str, folder: Path) -> bool:
    """Whether a command wrote a data set."""
    from curriculum.data.manifest import Manifest

    try:
        return Manifest.read(folder).command == command
    except ValueError:
        return False


def _read_cast(given: Sequence[flags.Flag]) -> tuple[tuple["Cast", ...], Config]:
    """Those who play, and the configuration with their world.

    `--planner A:0.7 "B epsilon=0.1:0.3"` are two planners with shares and settings."""
    from curriculum.run.making import Cast

    general = [flag for flag in given if flag.name.partition(".")[0] != "planner"]
    own = [flag for flag in given if flag not in general]
    several = [word for flag in own if flag.name == "planner" for word in flag.values]
    if len(several) <= 1 and not any(_has_share(word) for word in several):
        config = _config(given)
        name = plugins.name_of("planner", config.planner)
        return (Cast(name, plugins.make("planner", config.planner), 1.0),), config
    if len(own) > 1:
        raise ValueError(
            f"--{own[-1].name}: of several planners, give settings beside the name: "
            "--planner 'noisy epsilon=0.1:0.5' random:0.5"
        )
    cast: list[Cast] = []
    for word in several:
        text, share = _share_of(word)
        name, *settings = shlex.split(text)
        member = [flags.Flag("planner", [name])]
        for setting in settings:
            key, _, value = setting.partition("=")
            member.append(flags.Flag(f"planner.{key}", value.split(",")))
        config = _config([*general, *member])
        label = name
        while label in [other.name for other in cast]:
            label += "-2"
        cast.append(Cast(label, plugins.make("planner", config.planner), share))
    return tuple(cast), config


def _has_share(word: str) -> bool:
    return _share_of(word)[1] != 1.0


def _share_of(word: str) -> tuple[str, float]:
    """What stands before the last colon, and the share behind it; 1 without one."""
    text, colon, number = word.rpartition(":")
    try:
        share = float(number) if colon else 1.0
    except ValueError:  # module:Class
        return word, 1.0
    if not 0 < share < float("inf"):
        raise ValueError(f"{word}: a share must be positive, got {number}")
    return (text if colon else word), share


# --- convert ---


def prepare_convert(words: Words) -> Callable[[], None]:
    """Check what is to be converted."""
    from curriculum.run.converting import FOLDER, Converting, convert, format_of

    source = data_at(words.positional[0])
    out = local_path(words.positional[1], "the data set")
    if out.exists():
        raise ValueError(f"{out} exists; give another name or remove it")
    formats = []
    for path, name in ((source, "from"), (out, "to")):
        chosen = format_of(path, words.own[name], is_input=name == "from")
        settings = _format_settings(words.plugins, name, chosen)
        made = None if chosen == FOLDER else plugins.make("format", chosen, **settings)
        formats.append(made)
    own = [flag for flag in words.plugins if not _is_format(flag)]
    converting = Converting(
        source=source,
        out=out,
        read_by=formats[0],
        written_by=formats[1],
        continuous=words.own["continuous"],
        command=words.text,
    )
    if own:
        config = _config(own)
        converting.world = plugins.make("env", config.env)
        converting.env = plugins.name_of("env", config.env)
        converting.env_settings = settings_of(config, "env")

    def work() -> None:
        convert(converting)
        if converting.written_by is None:
            _announce_folder(out)
        else:
            print(f"data set {out}")

    return work


def _is_format(flag: flags.Flag) -> bool:
    return flag.name.partition(".")[0] in ("from", "to")


def _format_settings(
    given: Sequence[flags.Flag], side: str, chosen: str
) -> dict[str, Any]:
    """The settings of a format: `--from.max-steps 1000`."""
    if chosen == "folder":
        fields = {}
    else:
        described = plugins.describe("format", chosen).fields
        fields = {field.name: field for field in described}
    settings = {}
    for flag in given:
        family, _, name = flag.name.replace("-", "_").partition(".")
        if family != side:
            continue
        if name not in fields:
            raise plugins.unknown(f"setting of {chosen}", name, list(fields))
        settings[name] = value_of(fields[name], flag)
    return settings


# --- mix and split ---


def prepare_mix(words: Words) -> Callable[[], None]:
    """Check what is to be mixed."""
    from curriculum.data.dataset import DataSet
    from curriculum.data.mixing import differing_settings, mix, mixed_manifest
    from curriculum.data.writer import require_free
    from curriculum.run.drafts import writing

    if len(words.positional) < 2:
        raise ValueError(f"usage: {PROG} mix {COMMANDS['mix'].usage}")
    out = local_path(words.positional[0], "the data set")
    pairs = [_share_of(word) for word in words.positional[1:]]
    data = [DataSet(data_at(name)) for name, _ in pairs]
    has_shares = [
        name != word
        for (name, _), word in zip(pairs, words.positional[1:], strict=True)
    ]
    if any(has_shares) and not all(has_shares):
        raise ValueError("give a share to every data set, or to none: A:0.5 B:0.5")
    shares = [share for _, share in pairs] if all(has_shares) else None
    manifest = mixed_manifest(data)
    manifest.command = words.text
    require_free(out)
    total = sum(map(len, data))
    differing = differing_settings(data)

    def work() -> None:
        if differing:
            print(
                f"the worlds differ in {', '.join(differing)}: the mixture names none "
                "of these settings, so give them when you train from it (--env ...)",
                file=sys.stderr,
            )
        episodes = mix(data, shares, manifest.sources, words.own["seed"])
        with (
            phase("mix", total, "episodes") as current,
            writing(out, manifest) as writer,
        ):
            for episode in episodes:
                writer.add(episode)
                current.advance()
        _announce_folder(out)

    return work


def prepare_split(words: Words) -> Callable[[], None]:
    """Check what is to be split."""
    from dataclasses import replace

    from curriculum.data.dataset import DataSet
    from curriculum.data.manifest import package_version
    from curriculum.data.mixing import split
    from curriculum.data.writer import require_free
    from curriculum.run.drafts import writing

    *names, source = words.positional
    outs = [local_path(name, "the data set") for name in names]
    data = DataSet(data_at(source))
    if outs[0] == outs[1]:
        raise ValueError(f"{outs[0]} cannot be both results; give two folders")
    halves = split(data, words.own["share"], words.own["seed"])
    missing = [out for out in outs if not _wrote(words.text, out)]
    if not missing:
        return lambda: print(f"{outs[0]} and {outs[1]} are finished: nothing to do")
    for out in missing:
        require_free(out)

    def work() -> None:
        with phase("split", len(data), "episodes") as current:
            for out, half in zip(outs, halves, strict=True):
                if out in missing:
                    manifest = replace(
                        data.manifest,
                        command=words.text,
                        version=package_version(),
                        columns={},
                        made={"of": [data.folder.name], "share": words.own["share"]},
                    )
                    with writing(out, manifest) as writer:
                        for episode in data.episodes(half.tolist()):
                            writer.add(episode)
                            current.advance()
        for out in outs:
            _announce_folder(out)

    return work


def _announce_folder(folder: Path) -> None:
    from curriculum.data.dataset import DataSet

    _announce(DataSet(folder))


def _announce(data: "DataSet") -> None:
    """Print what a new data set holds."""
    manifest = data.manifest
    print(
        f"data set {data.folder}\n"
        f"episodes {manifest.episodes:,}  transitions {manifest.transitions:,}  "
        f"mean return {manifest.returns['mean']:.2f}  "
        f"mean length {data.columns.length.mean():.2f}"
    )
    noise = manifest.made.get("noise")
    if "tier" in manifest.made and noise is not None:
        print(f"tier {manifest.made['tier']}: noise {noise:.3f}")


# --- describe and check ---


def prepare_describe(words: Words) -> Callable[[], None]:
    """Check that there is a data set to describe."""
    from curriculum.data.dataset import DataSet
    from curriculum.data.describe import metadata

    data = DataSet(data_at(words.positional[0]))
    figures = words.own["figures"]
    if figures and Path(figures).is_file():
        raise ValueError(f"--figures {figures} is a file; give a folder")

    def describe() -> None:
        print(metadata(data))
        if figures:
            from curriculum.run.portrait import draw_all

            for path in draw_all(data, Path(figures)):
                print(path)

    return describe


def prepare_check(words: Words) -> Callable[[], None]:
    """Check that there is a data set to examine."""
    from curriculum.data import doctor
    from curriculum.data.dataset import DataSet

    data = DataSet(data_at(words.positional[0]))

    def check() -> None:
        data.verify()
        print(doctor.report(data, doctor.examine(data)))

    return check


COMMANDS = {
    "make": Command(
        "OUT --env WORLD --planner PLANNER[:SHARE] ... "
        "[--episodes N | --transitions N] | OUT --from-run RUN",
        "Let planners play, and keep what they do; or keep what a run has collected.",
        MAKE,
        prepare_make,
        positional=1,
        families=("env", "planner"),
    ),
    "convert": Command(
        "IN OUT [--from FORMAT] [--to FORMAT] [--env WORLD]",
        "Convert a data set to another format; a name without a known end is a folder.",
        CONVERT,
        prepare_convert,
        positional=2,
        families=("env", "from", "to"),
    ),
    "mix": Command(
        "OUT A[:SHARE] B[:SHARE] ...",
        "Mix data sets: all episodes, or so many that transitions have these shares.",
        (SEED,),
        prepare_mix,
        positional=-1,
    ),
    "split": Command(
        "OUT_TRAIN OUT_TEST IN [--share 0.9]",
        "Split a data set into two, by episodes.",
        (Field("share", float, 0.9, "of the episodes, for the first"), SEED),
        prepare_split,
        positional=3,
    ),
    "describe": Command(
        "DATA [--figures DIR]",
        "Print four lines about a data set, and draw pictures of it.",
        (Field("figures", str, "", "folder for the pictures; empty: none"),),
        prepare_describe,
        positional=1,
    ),
    "check": Command(
        "DATA",
        "Examine a data set: compare its checksums, and advise to clone or reinforce.",
        (),
        prepare_check,
        positional=1,
    ),
}


if __name__ == "__main__":
    main()
