"""Microseconds of one observation: a policy file beside bare matrix products and eager
torch.

    python benchmarks/policy.py --rounds 300 --calls 100

The policy is dense, 4-256-256-3 with ReLU. `products` are its three matrix products
with outputs that are allocated once, without biases, ReLU or a choice; `scores` is what
a policy file computes of an observation of its shape and type; `act` is `Policy.act` of
the file, which checks the observation first and chooses an action last; `torch` is the
exported module in inference mode, which returns scores. One thread.
Rounds alternate, so that what else the machine does hits all alike; a time is the
median of a round's calls, and what is printed are medians over rounds with their
quartiles.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # numpy reads it when it is imported

import numpy as np
import torch
from torch import nn

from curriculum.learning.normalizer import Normalize
from curriculum.shipping.operations import program_of
from curriculum.shipping.policy_file import save
from curriculum.shipping.standalone import Policy, load_policy

WIDTHS = (4, 256, 256, 3)
WARM_UP = 20  # calls of each round
CONTRACT = {
    "observation": {"shape": [WIDTHS[0]], "dtype": "float32"},
    "action": {"kind": "discrete", "n": WIDTHS[-1], "start": 0},
}


def policy() -> nn.Sequential:
    """A random policy."""
    inputs, first, second, actions = WIDTHS
    torch.manual_seed(0)
    return nn.Sequential(
        Normalize(torch.rand(inputs), torch.rand(inputs)),
        *(nn.Linear(inputs, first), nn.ReLU()),
        *(nn.Linear(first, second), nn.ReLU()),
        nn.Linear(second, actions),
    )


def products(module: nn.Sequential) -> Callable[[np.ndarray], Any]:
    """The matrix products of a policy."""
    layers = [layer for layer in module if isinstance(layer, nn.Linear)]
    first, second, third = (
        np.ascontiguousarray(layer.weight.detach().numpy().T) for layer in layers
    )
    outputs = [np.empty(width, np.float32) for width in WIDTHS[1:]]

    def compute(obs: np.ndarray) -> None:
        np.dot(obs, first, out=outputs[0])
        np.dot(outputs[0], second, out=outputs[1])
        np.dot(outputs[1], third, out=outputs[2])

    return compute


def of_file(module: nn.Sequential) -> Policy:
    """The policy as its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.cur"
        save(program_of(module), CONTRACT, path)
        return load_policy(path)


def eager(module: nn.Sequential) -> Callable[[np.ndarray], Any]:
    """The policy as torch runs it."""

    @torch.inference_mode()
    def compute(obs: np.ndarray) -> torch.Tensor:
        return module(torch.from_numpy(obs)[None])

    return compute


def median_us(call: Callable[[np.ndarray], Any], obs: np.ndarray, calls: int) -> float:
    """Median duration of a call."""
    durations = np.empty(WARM_UP + calls)
    for k in range(len(durations)):
        given = obs[k % len(obs)]
        began = time.perf_counter_ns()
        call(given)
        durations[k] = time.perf_counter_ns() - began
    return float(np.median(durations[WARM_UP:])) / 1_000


def spread(values: list[float]) -> str:
    """The median with the quartiles."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.2f} ({low:.2f}..{high:.2f})"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    module = policy()
    file = of_file(module)
    assert file._single  # the memory it returns is that of the policy
    sides = {
        "products": products(module),
        "scores": file._single,
        "act": file.act,
        "torch": eager(module),
    }
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(64, WIDTHS[0])).astype(np.float32)
    rounds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, call in sides.items():
            rounds[name].append(median_us(call, obs, options.calls))
    print("| | us | x products |\n|:--|--:|--:|")
    for name, times in rounds.items():
        pairs = zip(times, rounds["products"], strict=True)
        ratios = [own / bare for own, bare in pairs]
        print(f"| {name} | {spread(times)} | {spread(ratios)} |")
    pairs = zip(rounds["torch"], rounds["act"], strict=True)
    print(f"\n`act` is {spread([a / b for a, b in pairs])} times as fast as `torch`.")


if __name__ == "__main__":
    main()
