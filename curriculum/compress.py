"""Compress a policy and measure what each variant costs and keeps: return, agreement, bytes and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.deploy import deployable, load, one_thread, save
from curriculum.evaluate import play
from curriculum.types import Deployable, Technique
from envs.dynamics import Rows

WARM_UP, CALLS = 100, 1_000  # batch-1 calls before and during a measurement of latency

Results = dict[str, dict[str, float]]


def measure(
    policy: nn.Sequential,
    obs: Tensor,
    techniques: Sequence[Technique],
    rows: Callable[[], Rows],
    folder: Path,
    seed: int,
) -> Results:
    """Measure `policy` ("fp32", always first) and each variant of it, all alike; their files stay in `folder`.

    Every score is of the policy loaded back from its file: "return" and "success" are means over the episodes of fresh
    `rows()`, "agreement" is the share of `obs` [n, *O] where it acts like fp32. "bytes" is the size of that file.
    Latencies are of one observation in microseconds, with one torch thread."""
    files = {}
    variants = _variants(policy, obs, techniques, seed)
    for name, variant in variants.items():
        files[name] = folder / f"{name}.safetensors"
        save(variant, files[name])
    inputs = obs.numpy()
    original = load(files["fp32"])(inputs).argmax(-1)
    results = {}
    for name, variant in variants.items():
        forward = load(files[name])
        episodes = play(_greedy(forward), rows())
        results[name] = {
            "return": float(episodes.reward.mean()),
            "success": float(episodes.success.mean()),
            "agreement": float((forward(inputs).argmax(-1) == original).mean()),
            "bytes": float(files[name].stat().st_size),
            "params": float(sum(weights.numel() for weights in variant.module.parameters())),
            **_latencies(forward, variant.module, obs),
        }
    return results


def _variants(policy: nn.Sequential, obs: Tensor, techniques: Sequence[Technique], seed: int) -> dict[str, Deployable]:
    variants = {"fp32": deployable(policy)}
    for technique in techniques:
        made = technique.compress(policy, obs, seed)
        if twice := variants.keys() & made.keys():
            raise ValueError(
                f"two variants are called {', '.join(sorted(twice))}; measure one technique of a kind at a time"
            )
        variants |= made
    return variants


def _greedy(forward: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda obs, rows: forward(obs).argmax(-1)


def _latencies(forward: Callable, module: nn.Module, obs: Tensor) -> dict[str, float]:
    with one_thread(), torch.inference_mode():
        numpy_p50, numpy_p99 = latency_us(forward, list(obs.numpy()))
        torch_p50, torch_p99 = latency_us(module, list(obs.split(1)))
    return {
        "numpy_p50_us": numpy_p50,
        "numpy_p99_us": numpy_p99,
        "torch_p50_us": torch_p50,
        "torch_p99_us": torch_p99,
    }


def latency_us(call: Callable, inputs: Sequence) -> tuple[float, float]:
    """Median and 99th percentile of the time of one call, in microseconds, over `inputs` in turn."""
    taken = np.empty(WARM_UP + CALLS)
    for k in range(len(taken)):
        given = inputs[k % len(inputs)]
        begin = time.perf_counter_ns()
        call(given)
        taken[k] = time.perf_counter_ns() - begin
    p50, p99 = np.percentile(taken[WARM_UP:], (50, 99)) / 1_000
    return float(p50), float(p99)


def table(results: Results) -> str:
    """Write results as a Markdown table; a share of fp32's return only where that is positive."""
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
            f"{row['numpy_p50_us']:.1f} / {row['numpy_p99_us']:.1f}",
            f"{row['torch_p50_us']:.1f} / {row['torch_p99_us']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
