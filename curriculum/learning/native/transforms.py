"""Other views of the arrays in a formula."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from curriculum.learning.native.expressions import (
    Apply,
    Array,
    Expression,
    Gather,
    Load,
)


def insert(array: Array, dim: int) -> Array:
    """The array with a dimension of size 1 before `dim`, or after, from the end."""
    rank = len(array.shape)
    place = dim if dim >= 0 else rank + 1 + dim
    shape = (*array.shape[:place], 1, *array.shape[place:])
    strides = (*array.strides[:place], 0, *array.strides[place:])
    return Array(array.storage, array.offset, shape, strides, array.type)


def drop(array: Array, dims: Sequence[int]) -> Array:
    """The array without dimensions of size 1."""
    kept = [i for i in range(len(array.shape)) if i not in dims]
    shape = tuple(array.shape[i] for i in kept)
    strides = tuple(array.strides[i] for i in kept)
    return Array(array.storage, array.offset, shape, strides, array.type)


def drop_last(array: Array, count: int) -> Array:
    rank = len(array.shape)
    return drop(array, range(rank - count, rank))


def first(array: Array, dim: int) -> Array:
    """The array at the first place of a dimension."""
    return drop(array.narrow(dim, 0, 1), [dim])


def map_arrays(value: Expression, function: Callable[[Array], Array]) -> Expression:
    """The formula with every array replaced."""
    if isinstance(value, Load):
        return Load(function(value.array))
    if isinstance(value, Gather):
        index = map_arrays(value.index, function)
        return replace(value, array=function(value.array), index=index)
    if isinstance(value, Apply):
        arguments = tuple(map_arrays(part, function) for part in value.arguments)
        return replace(value, arguments=arguments)
    return value


def squeeze(value: Expression, rank: int, reduced: Sequence[int]) -> Expression:
    """The formula without reduced dimensions of size 1."""
    dims = [rank + i for i, size in enumerate(reduced) if size == 1]
    if not dims:
        return value
    return map_arrays(value, lambda array: drop(array, dims))


def at(value: Expression, dim: int, place: int) -> Expression:
    """The formula at one place of the last dimension, which is dropped."""

    def taken(array: Array) -> Array:
        last = len(array.shape) - 1
        return drop(array.narrow(dim, place, 1), [last])

    return map_arrays(value, taken)


def contiguous_dims(
    shape: Sequence[int],
    arrays: Sequence[Array],
    target: Array | None = None,
    rank: int = 0,
) -> tuple[list[int], dict[Array, Array]]:
    """Join neighbouring dimensions that all arrays walk through in equal steps, and
    drop those of size 1.

    Returns the sizes left, and every array with them. `target` has the first `rank`
    dimensions alone; these are not joined with the others."""
    groups: list[list[int]] = []
    for dim, size in enumerate(shape):
        if size == 1:
            continue
        seen = [*arrays] if target is None or dim >= rank else [*arrays, target]
        joins = bool(groups) and (dim < rank) == (groups[-1][-1] < rank)
        if joins and all(_continues(a, groups[-1][-1], dim) for a in seen):
            groups[-1].append(dim)
        else:
            groups.append([dim])
    sizes = [math.prod(shape[dim] for dim in group) for group in groups]
    views = {array: _grouped(array, groups, sizes) for array in arrays}
    if target is not None:
        outer = [group for group in groups if group[0] < rank]
        views[target] = _grouped(target, outer, sizes[: len(outer)])
    return sizes, views


def _continues(array: Array, outer: int, inner: int) -> bool:
    """Whether a step in `outer` is a whole walk through `inner`."""
    return array.strides[outer] == array.strides[inner] * array.shape[inner]


def _grouped(
    array: Array, groups: Sequence[Sequence[int]], sizes: Sequence[int]
) -> Array:
    strides = tuple(array.strides[group[-1]] for group in groups)
    return replace(array, shape=tuple(sizes), strides=strides)
