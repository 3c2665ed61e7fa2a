"""Measure policy files beside one another: bytes, agreement and latency.

Everything is measured on what a file holds, so this needs no trainer, and no world:
`measure` takes files, observations and settings.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from curriculum.shipping import eager, onnx_model
from curriculum.shipping.artefact import fill, load
from curriculum.shipping.numpy_runner import Forward
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import Policy, load_policy
from curriculum.shipping.stopwatch import Timed, latencies_us, percentiles
from curriculum.shipping.threads import one_thread
from curriculum.types import Deployable, Spec

REFERENCE = "fp32"  # the policy as it was trained
TOLERANCE = 0.05  # two box actions agree if no number differs by more than this
BATCHES = (1, 64)  # observations of a call
CHUNK = 256  # observations that are computed at once: 4,096 images fill the memory

Figures = dict[str, float]
Results = dict[str, Figures]  # variant -> figure -> value
Act = Callable[[np.ndarray], np.ndarray]  # observations [n, *O] -> actions


class Timing(NamedTuple):
    """How long latencies are measured."""

    rounds: int = 10
    calls: int = 50  # in a round, of every variant, runner and batch


def measure(
    files: Mapping[str, Path],
    obs: np.ndarray,
    timing: Timing,
    report: Callable[[int], None] = lambda done: None,
) -> Results:
    """Measure policy files by name, of which REFERENCE is one; `report` is told how
    many rounds of latencies are done.

    "agreement" is the share of `obs` [n, *O] on which a variant acts as REFERENCE does:
    takes the same action, or a box action of which no number differs by more than
    TOLERANCE. "bytes" is the size of the file, "parameter_bytes" that of weights,
    biases and scales in it, "params" the number of weights and biases; "peak_bytes" of
    all arrays in memory while it acts on one observation. "<runner>_<batch>_p50_us" and
    so on are latencies from observations to actions in the world's units, by numpy (the
    loader of policy files), torch (eager, the same operations) and, where it is
    installed, onnxruntime, the latter two on one thread."""
    policies = {name: load_policy(file) for name, file in files.items()}
    original = _actions(policies[REFERENCE], obs)
    results = {}
    for name, policy in policies.items():
        agreement = _agree(_actions(policy, obs), original)
        results[name] = {"agreement": float(agreement.mean())}
        results[name] |= _sizes(policy, files[name])
    for name, latencies in _latencies(policies, obs, timing, report).items():
        results[name] |= latencies
    return results


def runners() -> dict[str, Callable[[Policy], Act]]:
    """What can run a policy file here: batches of observations to actions."""
    found: dict[str, Callable[[Policy], Act]] = {
        "numpy": lambda policy: policy.act,
        "torch": _in_torch,
    }
    if onnx_model.is_installed():
        found["onnx"] = _in_onnx
    return found


def _sizes(policy: Policy, file: Path) -> Figures:
    program = Program(policy.operations, policy.arrays)
    sizes = [array.nbytes for array in program.weights.values()]
    return {
        "bytes": float(file.stat().st_size),
        "parameter_bytes": float(sum(sizes)),
        "params": float(program.parameters),
        "peak_bytes": float(policy.peak_bytes),
    }


def _actions(policy: Policy, obs: np.ndarray) -> np.ndarray:
    """Discrete actions [n], or box actions [n, A] in [-1, 1]."""
    parts = [
        policy.scores(obs[start : start + CHUNK]) for start in range(0, len(obs), CHUNK)
    ]
    scores = np.concatenate(parts)
    is_discrete = policy.contract["action"]["kind"] == "discrete"
    return scores.argmax(-1) if is_discrete else scores


def _agree(actions: np.ndarray, original: np.ndarray) -> np.ndarray:
    if actions.ndim == 1:
        return actions == original
    return (np.abs(actions - original) <= TOLERANCE).all(-1)


@one_thread()
def _latencies(
    policies: Mapping[str, Policy],
    obs: np.ndarray,
    timing: Timing,
    report: Callable[[int], None],
) -> Results:
    """Latencies of all variants, runners and batches in the same rounds."""
    names = []
    timed = []
    for runner, prepare in runners().items():
        for variant, policy in policies.items():
            act = prepare(policy)
            for batch in BATCHES:
                names.append((variant, f"{runner}_{batch}"))
                timed.append(Timed(act, _batches(obs, batch, runner)))
    durations = latencies_us(timed, timing.rounds, timing.calls, report)
    found: Results = {variant: {} for variant in policies}
    for (variant, what), own in zip(names, durations, strict=True):
        for name, value in percentiles(own).items():
            found[variant][f"{what}_{name}_us"] = value
    return found


def _batches(obs: np.ndarray, size: int, runner: str) -> list[np.ndarray]:
    """Observations to call a runner with: batches, and single ones for numpy."""
    if size == 1 and runner == "numpy":
        return list(obs)
    if size == 1:
        return list(obs[:, None])
    repeats = -(-size // len(obs))
    enough = np.concatenate([obs] * repeats)
    whole = len(enough) // size
    return np.split(enough[: whole * size], whole)


def _in_torch(policy: Policy) -> Act:
    module = eager.module_of(Program(policy.operations, policy.arrays))

    def act(obs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            scores = module(torch.from_numpy(obs)).numpy()
        return policy.action_of(scores)

    return act


def _in_onnx(policy: Policy) -> Act:
    program = Program(policy.operations, policy.arrays)
    return onnx_model.actor(program, policy.contract)


# --- policies that are functions ---


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


def forward_of(policy: Deployable, file: Path) -> Forward:
    """The policy in a file of arrays, as runs before version 0.3 wrote them."""
    if "torch" not in policy.arrays:
        return load(file)
    module = copy.deepcopy(policy.module)
    fill(module, file)

    @one_thread()
    def forward(obs: np.ndarray) -> np.ndarray:
        chunks = torch.as_tensor(obs).split(CHUNK)
        with torch.inference_mode():
            return torch.cat([module(chunk) for chunk in chunks]).numpy()

    return forward
