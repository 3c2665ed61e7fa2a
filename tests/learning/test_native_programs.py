"""Random programs of torch, with views and writes in place, as native code."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from curriculum.learning import native

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    bool(native.obstacle()), reason="native code needs llvmlite"
)

SHAPES = [(2, 3, 4), (4, 5, 3), (2, 9, 10), (3, 1, 4)]
VIEWS: list[Callable[[Tensor], Tensor]] = [
    lambda t: t,
    lambda t: t,
    lambda t: t.transpose(-1, -2),
    lambda t: t[..., 1:],
    lambda t: t[..., :-1],
    lambda t: t[..., ::2],
    lambda t: t[:1],
    lambda t: t[0],
]
NEW: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a + b,
    lambda a, b: 0.5 * a * b,
    lambda a, b: torch.where(a > b, a, -0.1 * a),
    lambda a, b: 0.2 * a.sum(-1, keepdim=True),
    lambda a, b: a.mean(0),
    lambda a, b: a.amax(-1),
    lambda a, b: torch.cat([a, 2 * a], -1),
    lambda a, b: torch.nn.functional.pad(a, (0, 2)),
    lambda a, b: a.tanh(),
    lambda a, b: a.clamp(-1, 1),
    lambda a, b: 0.1 * a @ a.transpose(-1, -2),
    lambda a, b: torch.bmm(a, b) / a.shape[-1],
    lambda a, b: torch.bmm(a.transpose(1, 2), a) / a.shape[1],
    lambda a, b: a.softmax(-1),
    lambda a, b: a.logsumexp(-1),
    lambda a, b: a.gather(-1, a.argmax(-1, keepdim=True)),
    lambda a, b: torch.linalg.vector_norm(a, dim=-1),
    lambda a, b: 0.3 * a.cumsum(-1),  # which torch computes
]
IN_PLACE: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a.mul_(0.5).add_(b, alpha=0.3),
    lambda a, b: a.copy_(0.7 * b),
    lambda a, b: a.clamp_(-1, 1),
    lambda a, b: a.relu_(),
    lambda a, b: a.mul_(0.9),
]


def program(seed: int) -> Callable[..., list[Tensor]]:
    """A function of two tensors that changes a third one, too.

    Steps that the shapes do not allow are left out."""

    def function(a: Tensor, b: Tensor, outside: Tensor) -> list[Tensor]:
        generator = random.Random(seed)
        tensors = [a.clone(), b.clone(), a + 1, outside]
        for _ in range(generator.randint(3, 25)):
            left = generator.choice(VIEWS[: 8 if generator.random() < 0.7 else 1])
            right = generator.choice(VIEWS)
            operation = generator.choice(NEW + IN_PLACE)
            first = generator.choice(tensors)
            second = generator.choice(tensors)
            try:
                one, other = left(first), right(second)
                if operation in IN_PLACE and shares_memory(one, other):
                    other = other.clone()
                result = operation(one, other)
            except (IndexError, RuntimeError):
                continue
            if operation in NEW and 0 < result.numel() < 300 and result.dim():
                tensors.append(result)
        return tensors

    return function


def shares_memory(one: Tensor, other: Tensor) -> bool:
    storages = (tensor.untyped_storage() for tensor in (one, other))
    return next(storages).data_ptr() == next(storages).data_ptr()


def check(seed: int) -> None:
    function = program(seed)
    generator = torch.Generator().manual_seed(seed)
    shape = random.Random(seed).choice(SHAPES)
    a, b, outside = torch.randn(3, *shape, generator=generator)
    changed = outside.clone()
    # every other program is split along its first dimension
    seeds = shape[0] if seed % 2 else 1
    recording = native.Recording(lambda a, b: function(a, b, changed), [a, b], seeds)
    made = native.Program(recording)
    for inputs in ((a, b), (b, a)):
        expected = function(*inputs, outside)
        for number, found in enumerate(made(*inputs)):
            torch.testing.assert_close(
                found, expected[number], atol=2e-5, rtol=2e-5, msg=f"{seed} {number}"
            )
        torch.testing.assert_close(changed, outside, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("first", [0, pytest.param(6, marks=pytest.mark.slow), 14])
def test_random_programs_do_what_torch_does(first: int):
    for seed in range(first, first + 6):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_many_random_programs_do_what_torch_does(first: int):
    for seed in range(first, first + 50):
        check(seed)
