"""A policy on its way out: taken apart, imitated, rounded, written to a file, and run from that file by numpy alone."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from curriculum.types import Deployable

if TYPE_CHECKING:
    from torch import Tensor, nn

Layer = tuple[np.ndarray, np.ndarray]  # weight [out, in] and bias [out], float32


def dense(policy: nn.Sequential) -> list[Layer]:
    """Copy the dense layers out of `policy`, which is normaliser, Linear, ReLU, ..., Linear; TypeError if it is not."""
    from torch import nn

    first, *rest = policy
    alternate = all(isinstance(part, nn.ReLU if i % 2 else nn.Linear) for i, part in enumerate(rest))
    if not (hasattr(first, "mean") and hasattr(first, "scale") and alternate and len(rest) % 2):
        kinds = ", ".join(type(part).__name__ for part in policy)
        raise TypeError(f"a policy to deploy is a normaliser, then Linear, ReLU, ..., Linear; this one is {kinds}")
    return [(_copy(layer.weight), _copy(layer.bias)) for layer in rest[::2]]


def _copy(tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)


def assemble(normaliser: nn.Module, layers: list[Layer]) -> nn.Sequential:
    """Build the policy of these dense layers, the inverse of `dense`; draws no random numbers."""
    import torch
    from torch import nn

    parts = [normaliser]
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # "meta": nothing is initialised
        linear.weight, linear.bias = nn.Parameter(torch.tensor(weight)), nn.Parameter(torch.tensor(bias))
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def deployable(policy: nn.Sequential) -> Deployable:
    """Take down everything the file of `policy` will hold, in float32; ValueError where a number is not finite."""
    layers = dense(policy)
    arrays = {"mean": _copy(policy[0].mean), "scale": _copy(policy[0].scale)}
    for i, (weight, bias) in enumerate(layers):
        arrays |= {f"{i}.weight": weight, f"{i}.bias": bias}
    if broken := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise ValueError(
            f"a policy with numbers that are not finite cannot be deployed; they are in {', '.join(broken)}"
        )
    return Deployable(policy, arrays)


def quantized(policy: Deployable) -> Deployable:
    """Round the weights to int8: symmetric, one scale per output channel, its largest weight over 127."""
    arrays = dict(policy.arrays)
    for name in [name for name in arrays if name.endswith(".weight")]:
        weight = arrays[name]
        scale = np.abs(weight).max(-1) / 127  # [out]
        scale[scale == 0] = 1  # a channel of zeros stays zero
        arrays[name] = np.rint(weight / scale[:, None]).astype(np.int8)
        arrays[f"{name}_scale"] = scale
    return Deployable(assemble(next(policy.module.children()), _layers(arrays)), arrays)


def _layers(arrays: dict[str, np.ndarray]) -> list[Layer]:
    layers = []
    for i in range(sum(name.endswith(".bias") for name in arrays)):
        weight = arrays[f"{i}.weight"].astype(np.float32)
        if f"{i}.weight_scale" in arrays:
            weight *= arrays[f"{i}.weight_scale"][:, None]
        layers.append((weight, arrays[f"{i}.bias"]))
    return layers


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: as fast for small networks, far faster on a busy machine, and always the same sums."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def imitate(
    student: nn.Sequential,
    teacher: nn.Sequential,
    obs: Tensor,
    rng: np.random.Generator,
    *,
    updates: int,
    batch: int,
    learning_rate: float,
    temperature: float,
) -> None:
    """Train `student`, in place, until it acts on `obs` [n, *O] as `teacher` does.

    Minimises KL(softmax(q_T / tau) || softmax(q_S)), Rusu et al. 2015, arXiv 1511.06295. Their tau of 0.01 suits their
    Q-values; here tau is `temperature` times the teacher's spread over actions (root mean square about their mean, over
    all of `obs`), so that Q-values 0.1 apart and logits 20 apart pose the same task. The student's scores keep the
    teacher's unit, only while it learns tau is their unit; but a small tau teaches their order, not their size."""
    import torch
    from torch.nn import functional

    if not len(obs):
        raise ValueError("there are no observations to imitate the policy on")
    with torch.no_grad():
        scores = teacher(obs)
        advantage = scores - scores.mean(-1, keepdim=True)  # [n, actions]
        tau = temperature * float(advantage.square().mean().sqrt()) or 1.0
        target = functional.softmax(advantage / tau, -1)
        for weights in student[-1].parameters():
            weights.div_(tau)
    adam = torch.optim.Adam(student.parameters(), learning_rate, fused=True)
    pieces: list[np.ndarray] = []
    for update in range(updates):
        pieces = pieces or np.array_split(rng.permutation(len(obs)), math.ceil(len(obs) / batch))
        index = torch.from_numpy(pieces.pop())
        adam.param_groups[0]["lr"] = learning_rate * (1 - update / updates)
        guess = functional.log_softmax(student(obs[index]), -1)
        loss = functional.kl_div(guess, target[index], reduction="batchmean")
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        for weights in student[-1].parameters():
            weights.mul_(tau)


def save(policy: Deployable, path: Path) -> None:
    """Write the arrays of `policy` to `path`, which holds the old file or the new one and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(safetensors.save({k: np.ascontiguousarray(v) for k, v in policy.arrays.items()}))
    temporary.replace(path)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Read a policy back as a function: observations [*O] or [n, *O] -> scores [actions] or [n, actions], float32.

    Needs no torch; raises ValueError where the file is not a whole policy. int8 weights become float32 here, once.
    Preallocated buffers were measured to save nothing here, so calls share no memory."""
    arrays = _read(Path(path))
    mean, scale = arrays["mean"], arrays["scale"]
    *hidden, (last_weight, last_bias) = [(weight.T, bias) for weight, bias in _layers(arrays)]
    zero = np.float32(0)  # a Python 0 costs 0.3 us more, each time

    def forward(obs: np.ndarray) -> np.ndarray:
        x = np.asarray(obs, np.float32)
        many = x.ndim > 1 and math.prod(x.shape[1:]) == mean.size
        x = (x.reshape((-1, mean.size) if many else mean.size) - mean) * scale
        for weight, bias in hidden:
            x = x.dot(weight)
            x += bias
            np.maximum(x, zero, out=x)
        return x.dot(last_weight) + last_bias

    return forward


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        arrays = safetensors.load(path.read_bytes())
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type that numpy does not have
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    expected = _expected(arrays)
    for name in sorted(expected | found, key=found.__contains__):  # absent arrays first: others' shapes depend on them
        if expected.get(name) != found.get(name):
            should, found_here = expected.get(name, "absent"), found.get(name, "absent")
            raise ValueError(f"{path} is not a policy: array {name!r} should be {should}, it is {found_here}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path} is not a policy: array {name!r} holds numbers that are not finite")
    return arrays


def _expected(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape that each array must have, given the length of the mean and of every bias."""
    depth = len({"0"} | {name.split(".")[0] for name in arrays if name[:1].isdigit()})
    widths = [arrays[name].size if name in arrays else 0 for name in ("mean", *(f"{i}.bias" for i in range(depth)))]
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    expected["mean"] = expected["scale"] = ("float32", (widths[0],))
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        rounded = f"{i}.weight_scale" in arrays
        expected[f"{i}.weight"] = ("int8" if rounded else "float32", (fan_out, fan_in))
        expected[f"{i}.bias"] = ("float32", (fan_out,))
        if rounded:
            expected[f"{i}.weight_scale"] = ("float32", (fan_out,))
    return expected
