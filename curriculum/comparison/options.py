"""The flags of a comparison that are not those of its arms."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from curriculum.comparison import machines
from curriculum.comparison.machines import Machines
from curriculum.report.measures import Terms
from curriculum.setting import flags, values
from curriculum.setting.names import require_folder_name

KINDS: dict[str, Any] = {
    **machines.KINDS,
    "split-seeds": bool,
    "equal": Literal["steps", "calls", "seconds"],
    "measure": tuple[str, ...],
    "smallest-effect": float,
    "reach": float,
    "study": str,
    "resume": str,
    "only-plot": tuple[str, ...],
    "trust": bool,
}
HELP = {
    **machines.HELP,
    "split-seeds": "train every seed of an arm in a run of its own, for more machines "
    "than arms; same numbers",
    "resume auto": "go on with the newest unfinished comparison of this name, or fail "
    "if it has other arms",
    "resume FOLDER": "go on with this comparison, or report it again in other terms",
    "only-plot RUN...": "train nothing: draw the figures and write the tables and the "
    "report of these finished runs, whatever folders they are in",
    "equal steps|calls|seconds": "what all arms may spend: environment steps, planner "
    "calls (--planner.budget, or as many as all arms have made) or wall time (steps)",
    "measure TAG...": "compare these tags of metrics.jsonl "
    "(eval/mean_reward rollout/first_success_step)",
    "smallest-effect SHARE": "differences below this share of the way from random play "
    "to the planner have no winner (0.02)",
    "reach SCORE": "score for which planner calls are counted (0.9)",
    "study NAME...": "make the comparisons of studies: those that --study list prints, "
    "all, or a FILE.yaml; flags win over a study. Any other NAME only gathers "
    "comparisons in <runs-dir>/NAME, with an index",
}


def help_text() -> str:
    """The flags in the form of `--help`."""
    lines = ["flags of a comparison:"]
    for flag, text in HELP.items():
        lines.append(f"  --{flag}")
        lines += textwrap.wrap(
            text, 76, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


class Options(NamedTuple):
    """How a comparison is made and reported."""

    terms: Terms = Terms()
    machines: Machines = Machines()
    study: str = ""
    resume: str = ""  # auto, or a folder
    only_plot: tuple[str, ...] = ()  # finished runs, beside which nothing is trained
    split_seeds: bool = False

    @property
    def folder(self) -> str:
        """The folder to be resumed, if one is named."""
        return "" if self.resume == "auto" else self.resume


def read(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Split a command line into the options of the comparison and the flags of its
    arms."""
    words: list[str] = []
    given: dict[str, Any] = {}
    for flag in flags.scan(argv):
        if flag.name in KINDS:
            given[flag.name] = _value(flag)
        else:
            words += [f"--{flag.name}", *flag.values]
    return _options(given), words


def _value(flag: flags.Flag) -> Any:
    if KINDS[flag.name] is bool and not flag.values:
        return True
    try:
        return values.read(KINDS[flag.name], flag.values)
    except values.Mismatch as problem:
        raise ValueError(f"--{flag.name} {problem}") from None


def _options(given: Mapping[str, Any]) -> Options:
    chosen = machines.read(given)
    smallest = given.get("smallest-effect", Terms().smallest)
    if not 0 <= smallest < float("inf"):
        raise ValueError(f"--smallest-effect must be at least 0, got {smallest:g}")
    is_split = given.get("split-seeds", False)
    if given.get("equal") == "seconds" and (chosen.are_many or is_split):
        raise ValueError(
            "--equal seconds compares wall times, which arms that are trained side by "
            "side disturb; leave out --jobs, --on and --split-seeds"
        )
    study = given.get("study", "")
    if study:
        require_folder_name("--study", study)
    tags = given.get("measure", Terms().tags)
    if not tags:
        raise ValueError("--measure needs a tag, such as eval/success_rate")
    terms = Terms(
        equal=given.get("equal", Terms().equal),
        tags=tuple(dict.fromkeys(tags)),
        smallest=smallest,
        reach=given.get("reach", Terms().reach),
    )
    only_plot = given.get("only-plot", ())
    if only_plot and given.keys() & {"jobs", "resume", "on", "split-seeds"}:
        raise ValueError(
            "--only-plot trains nothing; leave out --jobs and --resume, --on and "
            "--split-seeds"
        )
    resume = given.get("resume", "")
    return Options(terms, chosen, study, resume, only_plot, is_split)
