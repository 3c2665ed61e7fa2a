"""Matrix products in the chosen precision, and the memory that they run in."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["fp32", "bf32", "bf16"]
# lower precision pays off only where all three dimensions of a product are this large
MINIMUM_SIZE = 64
# options of glibc's mallopt
TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3


def product(
    left: Tensor, right: Tensor, precision: Precision, out: Tensor | None = None
) -> Tensor:
    """Batched matrix product [N, i, j] x [N, j, k]."""
    if precision == "fp32" or _is_narrow(left, right):
        return torch.bmm(left, right, out=out)
    if precision == "bf32":
        with bf32():
            return torch.bmm(left, right, out=out)
    result = torch.bmm(left.bfloat16(), right.bfloat16())
    if out is None:
        return result.float()
    return out.copy_(result)


def _is_narrow(left: Tensor, right: Tensor) -> bool:
    smallest = min(left.shape[-2], left.shape[-1], right.shape[-1])
    return smallest < MINIMUM_SIZE


@contextmanager
def bf32() -> Iterator[None]:
    """Round float32 factors of matrix products to bfloat16 inside this context."""
    previous = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(previous)


def retain_freed_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the system.

    Updates allocate and free activations thousands of times a second. Has no effect
    where the C library is not glibc."""
    if os.name != "posix":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(MMAP_THRESHOLD, 1 << 30)  # bytes
    mallopt(TRIM_THRESHOLD, (1 << 31) - 1)  # bytes
