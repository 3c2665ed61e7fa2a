"""Compress a policy and measure each variant: return, agreement, bytes and latency."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.shipping.artefact import deployable, fill, load, save
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.numpy_runner import Forward
from curriculum.shipping.threads import one_thread
from curriculum.types import Chain, Deployable, Spec, Technique

WARM_UP = 100  # batch-1 calls before a measurement of latency
CALLS = 1_000  # batch-1 calls in it
SLOW_CALLS = 200  # in that of a policy that only torch runs: one may take milliseconds
TOLERANCE = 0.05  # two box actions agree if no number differs by more than this
REFUSED = "refused.json"  # beside the variants: techniques left out, and why
CHUNK = 256  # observations that torch takes at once: 4,096 images fill the memory

Results = dict[str, dict[str, float]]  # variant -> figure -> value
# (observations [n, *O], indices [n] of their rows) -> actions
Act = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Episodes(Protocol):
    """Finished episodes of an evaluation."""

    @property
    def reward(self) -> np.ndarray:
        """Returns [N]."""
        ...

    @property
    def success(self) -> np.ndarray:
        """0 or 1, [N]; nan where the world does not report success."""
        ...


def measure(
    policy: nn.Module,
    obs: Tensor,
    techniques: Sequence[Technique],
    spec: Spec,
    play: Callable[[Act], Episodes],
    folder: Path,
    seed: int,
) -> Results:
    """Measure `policy` ("fp32", always first) and each variant of it in the same way;
    their files stay in `folder`.

    Every figure is of the policy loaded back from its file. "return" and "success" are
    means over the episodes of `play`. "agreement" is the share of `obs` [n, *O] on
    which it acts as fp32 does: takes the same action, or a box action of which no
    number differs by more than TOLERANCE. "bytes" is the size of the file. Latencies
    are of one observation in microseconds, with one torch thread; those of numpy are
    present if numpy can run the policy. Techniques that cannot take this kind of policy
    are left out; `refusals(folder)` says why."""
    variants, refused = _variants(policy, obs, techniques, seed)
    results: Results = {}
    original = None
    for name, variant in variants.items():
        file = folder / f"{name}.safetensors"
        save(variant, file)
        forward = forward_of(variant, file)
        # a stochastic policy draws the same numbers in every variant
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            actions = actions_of(forward(obs.numpy()), spec)
            if original is None:
                original = actions
            episodes = play(partial(_act, forward, spec))
            results[name] = {
                "return": float(episodes.reward.mean()),
                "success": float(episodes.success.mean()),
                "agreement": float(_agree(actions, original).mean()),
                "bytes": float(file.stat().st_size),
                "params": float(_parameters(variant.module)),
                **_latencies(forward, variant, obs),
            }
    _write_refusals(folder, refused)
    return results


def refusals(folder: Path) -> dict[str, str]:
    """Techniques that the measurements in and below `folder` left out, each with the
    sentence that says why."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob(REFUSED)):
        found |= json.loads(path.read_text())
    return found


def latency_us(
    call: Callable, inputs: Sequence, calls: int = CALLS
) -> tuple[float, float]:
    """Median and 99th percentile of the duration of one call in microseconds, over
    `inputs` in turn."""
    durations = np.empty(WARM_UP + calls)
    for k in range(len(durations)):
        given = inputs[k % len(inputs)]
        begin = time.perf_counter_ns()
        call(given)
        durations[k] = time.perf_counter_ns() - begin
    p50, p99 = np.percentile(durations[WARM_UP:], (50, 99)) / 1_000
    return float(p50), float(p99)


def table(results: Results, refused: dict[str, str] | None = None) -> str:
    """Write results as a Markdown table, and below it what `refusals` found.

    The share of fp32's return is given only if that return is positive, the latency of
    numpy only if numpy runs the policy."""
    lines = [
        "| policy | return | of fp32 | success | agreement | kB | params "
        "| numpy us, p50 / p99 | torch us, p50 / p99 |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    whole = results["fp32"]["return"]
    for name, figures in results.items():
        cells = [
            name,
            f"{figures['return']:.3f}",
            f"{figures['return'] / whole:.3f}" if whole > 0 else "-",
            f"{figures['success']:.3f}",
            f"{figures['agreement']:.3f}",
            f"{figures['bytes'] / 1_000:.1f}",
            f"{figures['params']:,.0f}",
            _latency_cell(figures, "numpy"),
            _latency_cell(figures, "torch"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for name, reason in (refused or {}).items():
        lines.append(f"\n{name} is left out: {reason}")
    return "\n".join(lines)


def _variants(
    policy: nn.Module, obs: Tensor, techniques: Sequence[Technique], seed: int
) -> tuple[dict[str, Deployable], dict[str, str]]:
    """Variants by name, and the reasons why techniques were left out."""
    variants = {"fp32": deployable(policy)}
    refused: dict[str, str] = {}
    for technique in techniques:
        try:
            made = technique.compress(policy, obs, seed)
        except Unsupported as reason:
            refused[_name_of(technique)] = str(reason)
            continue
        taken = variants.keys() & made.keys()
        if taken:
            raise ValueError(
                f"two variants are called {', '.join(sorted(taken))}; "
                "measure one technique of a kind at a time"
            )
        variants |= made
    return variants, refused


def _name_of(technique: Technique) -> str:
    parts = technique.parts if isinstance(technique, Chain) else (technique,)
    return "+".join(type(part).__name__.lower() for part in parts)


def _needs_torch(policy: Deployable) -> bool:
    return "torch" in policy.arrays


def forward_of(policy: Deployable, file: Path) -> Forward:
    """The policy in `file`, run as it is when deployed."""
    if not _needs_torch(policy):
        return load(file)
    module = copy.deepcopy(policy.module)
    fill(module, file)

    @one_thread()
    def forward(obs: np.ndarray) -> np.ndarray:
        chunks = torch.as_tensor(obs).split(CHUNK)
        with torch.inference_mode():
            return torch.cat([module(chunk) for chunk in chunks]).numpy()

    return forward


def _act(forward: Forward, spec: Spec, obs: np.ndarray, _: np.ndarray) -> np.ndarray:
    return actions_of(forward(obs), spec)


def actions_of(output: np.ndarray, spec: Spec) -> np.ndarray:
    """The actions in a world that a policy's outputs [n, ...] stand for."""
    width = spec.actions or spec.action_size
    in_range = spec.actions or (np.abs(output) <= 1).all()
    if output.shape[1:] != (width,) or not in_range:
        wanted = "scores" if spec.actions else "numbers in [-1, 1]"
        low = output.min(initial=0)
        high = output.max(initial=0)
        raise ValueError(
            f"for this world's actions a policy must give {width} {wanted} an "
            f"observation; this one gives shape {output.shape[1:]}, "
            f"from {low:.3g} to {high:.3g}"
        )
    return output.argmax(-1) if spec.actions else output


def _agree(actions: np.ndarray, original: np.ndarray) -> np.ndarray:
    if actions.ndim == 1:
        return actions == original
    return (np.abs(actions - original) <= TOLERANCE).all(-1)


def _parameters(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def _latencies(forward: Forward, policy: Deployable, obs: Tensor) -> dict[str, float]:
    figures: dict[str, float] = {}
    with one_thread(), torch.inference_mode():
        if _needs_torch(policy):
            calls = SLOW_CALLS
        else:
            calls = CALLS
            p50, p99 = latency_us(forward, list(obs.numpy()), calls)
            figures["numpy_p50_us"] = p50
            figures["numpy_p99_us"] = p99
        p50, p99 = latency_us(policy.module, list(obs.split(1)), calls)
        figures["torch_p50_us"] = p50
        figures["torch_p99_us"] = p99
    return figures


def _latency_cell(figures: dict[str, float], runner: str) -> str:
    if f"{runner}_p50_us" not in figures:
        return "-"
    return f"{figures[f'{runner}_p50_us']:.1f} / {figures[f'{runner}_p99_us']:.1f}"


def _write_refusals(folder: Path, refused: dict[str, str]) -> None:
    (folder / REFUSED).unlink(missing_ok=True)
    if refused:
        (folder / REFUSED).write_text(json.dumps(refused, indent=1))
