"""Compress a policy and measure what each variant costs and keeps: return, agreement,
bytes and latency."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.run.evaluation import play
from curriculum.shipping.artefact import deployable, fill, load, save
from curriculum.shipping.imitation import one_thread
from curriculum.shipping.layers import Unsupported
from curriculum.types import Deployable, Rows, Technique

WARM_UP, CALLS = 100, 1_000  # batch-1 calls before and during a measurement of latency
SLOW_CALLS = 200  # of a policy that only torch runs, which may take milliseconds
TOLERANCE = 0.05  # how far apart two box actions, each number in [-1, 1], still agree
REFUSED = "refused.json"  # beside the variants: the techniques left out, and why
CHUNK = 256  # observations that torch takes at once: 4,096 pictures fill the memory

Results = dict[str, dict[str, float]]
# observations [n, *O] -> scores [n, actions] or box actions [n, A]
Forward = Callable[[np.ndarray], np.ndarray]


def measure(
    policy: nn.Module,
    obs: Tensor,
    techniques: Sequence[Technique],
    rows: Callable[[], Rows],
    folder: Path,
    seed: int,
) -> Results:
    """Measure `policy` ("fp32", always first) and each variant of it, all alike; their
    files stay in `folder`.

    Every figure is of the policy loaded back from its file: "return" and "success" are
    means over the episodes of fresh `rows()`; "agreement" is the share of `obs` [n, *O]
    on which it acts as fp32 does: takes the same action, or a box action of which no
    number is off by more than TOLERANCE. "bytes" is the size of that file. Latencies
    are of one observation in microseconds, with one torch thread; numpy's are there if
    numpy can run the policy. A technique that cannot take this kind of policy is left
    out; `refusals(folder)` says why."""
    variants, refused = _variants(policy, obs, techniques, seed)
    results, original = {}, None
    for name, variant in variants.items():
        file = folder / f"{name}.safetensors"
        save(variant, file)
        forward, fresh = _forward(variant, file), rows()
        # a policy that draws, draws the same in every variant
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            actions = _actions(forward(obs.numpy()), fresh)
            original = actions if original is None else original
            episodes = play(partial(_act, forward, fresh), fresh)
            results[name] = {
                "return": float(episodes.reward.mean()),
                "success": float(episodes.success.mean()),
                "agreement": float(_agree(actions, original).mean()),
                "bytes": float(file.stat().st_size),
                "params": float(
                    sum(weights.numel() for weights in variant.module.parameters())
                ),
                **_latencies(forward, variant, obs),
            }
    (folder / REFUSED).unlink(missing_ok=True)
    if refused:
        (folder / REFUSED).write_text(json.dumps(refused, indent=1))
    return results


def _variants(
    policy: Any, obs: Tensor, techniques: Sequence[Technique], seed: int
) -> tuple[dict[str, Deployable], dict[str, str]]:
    variants, refused = {"fp32": deployable(policy)}, {}
    for technique in techniques:
        try:
            made = technique.compress(policy, obs, seed)
        except Unsupported as reason:
            refused[type(technique).__name__.lower()] = str(reason)
            continue
        if twice := variants.keys() & made.keys():
            raise ValueError(
                f"two variants are called {', '.join(sorted(twice))}; measure one technique of a kind at a time"
            )
        variants |= made
    return variants, refused


def _needs_torch(policy: Deployable) -> bool:
    return "torch" in policy.arrays


def _forward(policy: Deployable, file: Path) -> Forward:
    if not _needs_torch(policy):
        return load(file)
    module = copy.deepcopy(policy.module)
    fill(module, file)

    @one_thread()
    def forward(obs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat(
                [module(piece) for piece in torch.as_tensor(obs).split(CHUNK)]
            ).numpy()

    return forward


def _act(forward: Forward, rows: Rows, obs: np.ndarray, _: np.ndarray) -> np.ndarray:
    return _actions(forward(obs), rows)


def _actions(out: np.ndarray, rows: Rows) -> np.ndarray:
    """The actions that a policy's outputs [n, ...] mean in this world."""
    space: Any = rows.single_action_space
    scores = hasattr(space, "n")  # a box space has no n
    width = int(space.n) if scores else space.shape[0]
    if out.shape[1:] != (width,) or not (scores or (np.abs(out) <= 1).all()):
        wanted = f"{width} scores" if scores else f"{width} numbers in [-1, 1]"
        seen = f"shape {out.shape[1:]}, from {out.min(initial=0):.3g} to {out.max(initial=0):.3g}"
        raise ValueError(
            f"for this world's actions a policy must give {wanted} an observation; this one gives {seen}"
        )
    return out.argmax(-1) if scores else out


def _agree(actions: np.ndarray, original: np.ndarray) -> np.ndarray:
    if actions.ndim == 1:
        return actions == original
    return (np.abs(actions - original) <= TOLERANCE).all(-1)


def _latencies(forward: Forward, policy: Deployable, obs: Tensor) -> dict[str, float]:
    figures: dict[str, float] = {}
    calls = SLOW_CALLS if _needs_torch(policy) else CALLS
    with one_thread(), torch.inference_mode():
        if not _needs_torch(policy):
            figures["numpy_p50_us"], figures["numpy_p99_us"] = latency_us(
                forward, list(obs.numpy()), calls
            )
        figures["torch_p50_us"], figures["torch_p99_us"] = latency_us(
            policy.module, list(obs.split(1)), calls
        )
    return figures


def latency_us(
    call: Callable, inputs: Sequence, calls: int = CALLS
) -> tuple[float, float]:
    """Median and 99th percentile of the time of one call, in microseconds, over
    `inputs` in turn."""
    taken = np.empty(WARM_UP + calls)
    for k in range(len(taken)):
        given = inputs[k % len(inputs)]
        begin = time.perf_counter_ns()
        call(given)
        taken[k] = time.perf_counter_ns() - begin
    p50, p99 = np.percentile(taken[WARM_UP:], (50, 99)) / 1_000
    return float(p50), float(p99)


def refusals(folder: Path) -> dict[str, str]:
    """Techniques that the measurements in and below `folder` left out, each with the
    sentence that says why."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob(REFUSED)):
        found |= json.loads(path.read_text())
    return found


def table(results: Results, refused: dict[str, str] | None = None) -> str:
    """Write results as a Markdown table, below it what `refusals` found.

    A share of fp32's return only where that is positive, numpy's latency only where
    numpy runs the policy."""
    lines = [
        "| policy | return | of fp32 | success | agreement | kB | params | numpy us, p50 / p99 | torch us, p50 / p99 |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    whole = results["fp32"]["return"]
    for name, row in results.items():
        cells = [
            name,
            f"{row['return']:.3f}",
            f"{row['return'] / whole:.3f}" if whole > 0 else "-",
            f"{row['success']:.3f}",
            f"{row['agreement']:.3f}",
            f"{row['bytes'] / 1_000:.1f}",
            f"{row['params']:,.0f}",
            f"{row['numpy_p50_us']:.1f} / {row['numpy_p99_us']:.1f}"
            if "numpy_p50_us" in row
            else "-",
            f"{row['torch_p50_us']:.1f} / {row['torch_p99_us']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        f"\n{name} is left out: {reason}" for name, reason in (refused or {}).items()
    ]
    return "\n".join(lines)
