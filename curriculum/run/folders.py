"""Run folders: `<runs-dir>/<env>/<name>/`, made once, never overwritten, found again to
resume."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from curriculum.run import checkpoint

SEES = {
    "observation": "what the learner sees",
    "state": "the simulator's true state, a privilege",
}


def create(
    parent: Path, name: str, settings: dict[str, Any], file: str = "config.yaml"
) -> Path:
    """Make the folder of a new run and write its settings to `file`; a name that is
    taken gets a number."""
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not parent.is_dir():
                raise ValueError(
                    f"{parent} is no folder, so no run can be written there; choose another --runs-dir"
                ) from None
            number += 1
            folder = parent / f"{name}-{number}"
        except OSError as error:
            raise ValueError(
                f"cannot write to {parent} ({error.strerror}); choose another --runs-dir"
            ) from None
    write(folder / file, settings)
    return folder


def write(path: Path, settings: dict[str, Any]) -> None:
    """Write settings as YAML, whole or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(yaml.safe_dump(settings, sort_keys=False))
    draft.replace(path)


def find(parent: Path, name: str, resume: str) -> tuple[Path | None, Path | None]:
    """The run and the checkpoint that `--resume` means; (None, None) where "auto" finds
    no unfinished run.

    A run that was killed before its first checkpoint is begun again in its own folder:
    its checkpoint is None."""
    if resume == "auto":
        taken = [
            p.parent
            for p in parent.glob("*/config.yaml")
            if _base(p.parent.name) == name or p.parent.name == name
        ]
        unfinished = [
            folder for folder in taken if not (folder / "result.json").exists()
        ]
        if not unfinished:
            return None, None
        folder = max(unfinished, key=lambda f: (f / "config.yaml").stat().st_mtime_ns)
        return folder, _intact(checkpoint.newest(folder / "checkpoints"))
    path = Path(resume)
    if path.parent.name == "checkpoints" and path.is_dir():
        return path.parent.parent, path
    if not (path / "config.yaml").is_file():
        raise ValueError(
            f"--resume {resume}: neither a run (a folder with config.yaml) nor one of its checkpoints"
        )
    found = checkpoint.newest(path / "checkpoints")
    return path, found[0] if found else None


def _base(name: str) -> str:
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name


def _intact(checkpoints: list[Path]) -> Path | None:
    """The newest checkpoint that can be read, told apart aloud from those that can
    not."""
    for path in checkpoints:
        try:
            checkpoint.read(path)
            return path
        except ValueError as error:
            print(f"passed over: {error}", file=sys.stderr)
    return None


def history(folder: Path, resumed: Path | None) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` that a checkpoint knows of; what came later will
    come again."""
    if resumed is None:
        return []
    known = checkpoint.read(resumed)["run"]["records"]
    lines = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text().splitlines()[:known]
    ]
    if len(lines) < known:
        raise ValueError(
            f"{folder}/metrics.jsonl has {len(lines)} records, the checkpoint knows of {known}; it was cut by hand"
        )
    return lines


def finish(folder: Path, settings: dict[str, Any], last: dict[str, Any]) -> None:
    """Mark a run as finished: `result.json` holds its last numbers."""
    kinds = ("baseline", "final", "time")
    numbers = {
        t: np.asarray(v, float).tolist()
        for kind in kinds
        for t, v in last[kind].items()
    }
    result = {
        "finished": time.time(),
        "seeds": settings["seeds"],
        "steps": settings["steps"],
        "values": numbers,
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1))


def report(
    folder: Path, settings: dict[str, Any], last: dict[str, Any], needs: str
) -> str:
    """What was learned, what it cost, where it lies and how to watch it."""
    values = {
        tag: np.asarray(v, float) for kind in last.values() for tag, v in kind.items()
    }
    floor, ceiling = values["eval/random_reward"][0], values["eval/planner_reward"][0]
    succeeds = values["eval/planner_success_rate"][0]
    lines = [
        "",
        f"{'':<22}{'return':>8}{'success':>9}{'score':>8}   mean of {len(settings['seeds'])} seed(s), [lowest]",
        f"{'random play':<22}{floor:>8.2f}{'':>9}{0:>8.2f}",
        f"{'planner ' + settings['planner']:<22}{ceiling:>8.2f}{_known(succeeds):>9}{1:>8.2f}",
    ]
    for name in ("last", "best"):
        reward, success, score = (
            values[f"final/{name}_{f}"]
            for f in ("mean_reward", "success_rate", "score")
        )
        lowest = f"[{reward.min():.2f}, {_known(success.min())}, {_known(score.min())}]"
        means = (
            f"{reward.mean():>8.2f}{_known(success.mean()):>9}{_known(score.mean()):>8}"
        )
        lines.append(f"{f'{name} learner alone':<22}{means}   {lowest}")
    calls, seconds = values["final/planner_calls"], values["planner/seconds_total"]
    per_call = (
        f", {1000 * seconds.sum() / calls.sum():.2f} ms each" if calls.any() else ""
    )
    failed = [
        f"{values[f'planner/{n}_total'].mean():,.0f} {n}"
        for n in ("faults", "late")
        if values[f"planner/{n}_total"].any()
    ]
    lines += [
        "",
        f"planner        {settings['planner']}, which sees {SEES[needs]}",
        f"planner calls  {calls.mean():,.0f} a seed, {seconds.sum():.1f} s in all{per_call}",
        *(
            [f"in its place   the learner acted: {', '.join(failed)} calls a seed"]
            if failed
            else []
        ),
        f"updates        {values['train/n_updates'].mean():,.0f} of each seed's networks",
        f"time           {values['time/time_elapsed'][0]:.0f} s for {settings['steps']:,} steps of each seed",
        f"files          {folder}",
        f"watch          tensorboard --logdir {folder}",
    ]
    return "\n".join(lines)


def _known(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def compression(folder: Path, settings: dict[str, Any], values: dict[str, Any]) -> str:
    """What each variant of the policy would cost when deployed, mean over seeds."""
    from curriculum.shipping.compression import refusals, table

    variants: dict[str, dict[str, float]] = {}
    for tag, value in values.items():
        _, variant, name = tag.split("/")
        variants.setdefault(variant, {})[name] = float(np.mean(value))
    figures = table(variants, refusals(folder / "compressed"))
    text = f"mean of {len(settings['seeds'])} seed(s), the policy at the end of training\n\n{figures}"
    (folder / "compression.md").write_text(text + "\n")
    return f"\n{text}"
