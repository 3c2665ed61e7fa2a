"""Episodes that hypothesis generates, and how they are compared."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from curriculum.types import Episode

# float32 numbers that are easily changed: by text, by a narrower type, by scaling
SPECIAL = np.array([0.1, -0.0, 1e-42, 3.4e38, -1 / 3, 1 + 2**-23, 16777217], np.float32)


class Kind(NamedTuple):
    """What the episodes of a data set have in common."""

    observation: np.dtype
    shape: tuple[int, ...]
    action_size: int  # 0: discrete
    action: np.dtype
    reward: np.dtype
    has_source: bool


def numbers(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Any numbers of a dtype, some of them special."""
    if dtype.kind != "f":
        bounds = np.iinfo(dtype)
        return rng.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    values = rng.normal(size=shape)
    special = rng.choice(SPECIAL.astype(dtype), shape)
    return np.where(rng.random(shape) < 0.3, special, values.astype(dtype))


def episode(rng: np.random.Generator, kind: Kind, steps: int, end: int) -> Episode:
    """An episode; bits of `end` say whether it terminated and whether it was cut
    short."""
    observations = numbers(rng, (steps + 1, *kind.shape), kind.observation)
    if kind.action_size:
        uniform = rng.uniform(-1, 1, (steps, kind.action_size)).astype(kind.action)
        corner = rng.choice(np.array([-1, -0.0, 1], kind.action), uniform.shape)
        action = np.where(rng.random(uniform.shape) < 0.2, corner, uniform)
    else:
        action = rng.integers(0, 5, steps)
    return Episode(
        observation=observations[:-1],
        action=action,
        reward=numbers(rng, (steps,), kind.reward),
        next_observation=observations[1:],
        terminated=bool(end & 1),
        truncated=bool(end & 2),
        source=rng.integers(0, 256, steps, np.uint8) if kind.has_source else None,
    )


KINDS = st.builds(
    Kind,
    observation=st.sampled_from(["float32", "float64", "uint8", "int64"]).map(np.dtype),
    shape=st.sampled_from([(1,), (3,), (2, 3)]),
    action_size=st.sampled_from([0, 1, 3]),
    action=st.sampled_from(["float32", "float64"]).map(np.dtype),
    reward=st.sampled_from(["float32", "float64"]).map(np.dtype),
    has_source=st.booleans(),
)
LENGTHS = st.lists(
    st.tuples(st.sampled_from([1, 1, 2, 3, 17]), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


@st.composite
def data_sets(draw: st.DrawFn, kinds: st.SearchStrategy[Kind] = KINDS) -> list[Episode]:
    """Up to six episodes of one kind."""
    kind = draw(kinds)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = draw(LENGTHS)
    return [episode(rng, kind, steps, end) for steps, end in lengths]


def assert_same(found: list[Episode], expected: list[Episode]) -> None:
    """Fail unless all numbers and dtypes are the same, bit for bit."""
    assert len(found) == len(expected)
    for mine, theirs in zip(expected, found, strict=True):
        for name in Episode._fields:
            left = np.asarray(getattr(mine, name))
            right = np.asarray(getattr(theirs, name))
            assert right.dtype == left.dtype, name
            assert right.shape == left.shape, name
            assert right.tobytes() == left.tobytes(), name
