"""Export a policy for a robot: a policy file, ONNX, or a C header.

    python -m curriculum.export RUN|FILE.cur OUT.cur|OUT.onnx|OUT.h

A policy file (.cur) holds any policy; `curriculum.load_policy` reads it. ONNX (.onnx)
needs the extra [onnx]. A C header (.h) holds dense policies. Whatever is written is
asked about the observations of a few episodes that the policy plays, or about random
ones where its world cannot be played, and kept only if it agrees with the original.
"""

import sys
from collections.abc import Callable
from typing import Literal

from curriculum import train
from curriculum.setting.command_line import Command, Words
from curriculum.setting.description import Field

PROG = "python -m curriculum.export"
FIELDS = (
    Field("seed", int, -1, "whose policy; -1: the first seed's"),
    Field(
        "which",
        Literal["best", "last"] | None,
        None,
        "which policy of the run; default: the best one",
    ),
    Field("trust", bool, False, "import plug-ins that the run names, which run code"),
)


def main(argv: list[str] | None = None) -> None:
    """Write the policy and say how well it agrees."""
    words = sys.argv[1:] if argv is None else argv
    train.carry_out(COMMAND, words, PROG)


def prepare(words: Words) -> Callable[[], None]:
    """Check what is to be exported, and where to."""
    from curriculum.files import local_path
    from curriculum.run.exporting import FORMATS, export
    from curriculum.run.mirror import readable
    from curriculum.run.trained import chosen, open_trained

    path = readable(words.positional[0])
    out = local_path(words.positional[1], "the exported policy")
    if out.suffix not in FORMATS:
        raise ValueError(f"{out} must end in {', '.join(FORMATS)}")
    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(f"{out} cannot be written: name a file in an existing folder")
    trained = open_trained(path)
    seed = trained.seeds[0] if words.own["seed"] == -1 else words.own["seed"]
    if seed not in trained.seeds:
        listed = ", ".join(map(str, trained.seeds))
        raise ValueError(f"no seed {seed} in {path}; there are: {listed}")
    which = chosen(trained, words.own["which"], "best")

    def work() -> None:
        agreement = export(trained, seed, which, out)
        size = out.stat().st_size
        print(f"policy  {out}, {size:,} bytes, the {which} one of seed {seed}")
        print(agreement)

    return work


COMMAND = Command(
    "RUN|FILE.cur OUT.cur|OUT.onnx|OUT.h",
    "Export a policy for a robot: a policy file, ONNX, or a C header.",
    FIELDS,
    prepare,
    positional=2,
)


if __name__ == "__main__":
    main()
