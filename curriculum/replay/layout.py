"""What is stored of a transition for batches: named columns of one packed float32
vector, so that a batch is gathered in one go.

To add an optional column, add its field to `Batch` and its entry to `OPTIONAL`.
Those of `WINDOWS` are not stored: a batch gathers them from the transitions of its
windows.
Observations of uint8 that are no stacks of frames are packed as float32, in four times
their size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from curriculum.replay import shared
from curriculum.replay.episodes import Episodes
from curriculum.replay.ring import Stored
from curriculum.types import SharedData, Spec


class Transition(NamedTuple):
    """One step of every environment row of every seed."""

    obs: np.ndarray  # [P, E, *O]
    action: np.ndarray  # [P, E], or [P, E, A]
    reward: np.ndarray  # [P, E] reward of the environment, without a bonus
    terminated: np.ndarray  # [P, E] bool
    truncated: np.ndarray  # [P, E] bool
    # [P, E, *O], the true last observation where the episode is over
    next_obs: np.ndarray
    source: np.ndarray  # [P, E] index into SOURCES
    planning_rate: np.ndarray  # [P, E]
    # what the planner would do, where it was asked; None in a layout without labels
    label: np.ndarray | None = None  # [P, E], or [P, E, A]
    has_label: np.ndarray | None = None  # [P, E] bool
    # what the planner's decision tells beside its action; None where nobody was asked
    soft_label: np.ndarray | None = None  # [P, E, actions]
    label_value: np.ndarray | None = None  # [P, E]
    label_stake: np.ndarray | None = None  # [P, E]

    def of_rows(
        self, names: Sequence[str], rows: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Fields [n, ...] by name, without those that are None, of the rows with these
        indices among those of all seeds; None: of all rows."""
        found = {}
        for name in names:
            field = getattr(self, name)
            if field is None:
                continue
            flat = field.reshape(-1, *field.shape[2:])
            found[name] = flat if rows is None else flat[rows]
        return found


class Correction(NamedTuple):
    """New values of one column for stored transitions of one seed."""

    seed: int
    slots: list[int]  # [n]
    values: list[float] | np.ndarray  # [n], or [n, *shape of the column]


# yields the values of a column that the transitions just stored make known
Corrector = Callable[[Transition, Stored, Episodes], Iterator[Correction]]


class Column(NamedTuple):
    """One column of the packed transitions."""

    name: str  # field of `Batch`
    shape: tuple[int, ...] = ()  # of one transition's value
    dtype: torch.dtype = torch.float32  # of the batch's tensor
    # n-step windows take it from their last transition instead of their first
    from_last: bool = False
    # value of a transition just stored; None: the field of this name in `Transition`
    initial: float | None = None
    corrector: Corrector | None = None
    # its values [N, *shape] in data that all seeds share, where `initial` is given
    of_shared: Callable[[SharedData], np.ndarray] | None = None

    @property
    def width(self) -> int:
        """Floats that it takes."""
        return math.prod(self.shape)


class Layout:
    """The order of the columns in a packed transition."""

    def __init__(self, columns: list[Column], has_windows: bool = False) -> None:
        self.columns = {column.name: column for column in columns}
        self.corrected = [column for column in columns if column.corrector]
        self.has_windows = has_windows  # whether batches hold the columns of `WINDOWS`
        self.places: dict[str, slice] = {}
        self.width = 0  # floats of one packed transition
        self.widths = {column.name: column.width for column in columns}
        for column in columns:
            end = self.width + column.width
            self.places[column.name] = slice(self.width, end)
            self.width = end

    def column(self, name: str) -> slice:
        """Where a column is in the last axis of packed transitions."""
        return self.places[name]

    def pack(self, values: dict[str, np.ndarray], count: int) -> np.ndarray:
        """Pack `count` transitions, [n, width]; `values` are [n, *shape] by column, and
        columns without values get their initial ones."""
        packed = np.empty((count, self.width), np.float32)
        for name, place in self.places.items():
            initial = self.columns[name].initial
            if initial is None or name in values:
                packed[:, place] = values[name].reshape(count, self.widths[name])
            else:
                packed[:, place] = initial
        return packed

    def split(self, packed: Tensor) -> dict[str, Tensor]:
        """Views [..., *shape] of every column of packed transitions [..., width]."""
        lead = packed.shape[:-1]
        views = {}
        for name, column in self.columns.items():
            views[name] = packed[..., self.column(name)].view(*lead, *column.shape)
        return views

    def corrections(
        self, step: Transition, stored: Stored, episodes: Episodes
    ) -> Iterator[tuple[str, Correction]]:
        """What the transitions just stored make known, by column."""
        for column in self.corrected:
            assert column.corrector is not None
            for correction in column.corrector(step, stored, episodes):
                yield column.name, correction


def layout_of(spec: Spec, needs: tuple[str, ...] = (), discount: float = 1.0) -> Layout:
    """The layout for a world and the optional columns in `needs`; `discount` is that of
    "mc_return"."""
    possible = (*OPTIONAL, *WINDOWS)
    unknown = sorted(set(needs) - set(possible))
    if unknown:
        raise ValueError(
            f"no optional column {', '.join(unknown)}; there are: {', '.join(possible)}"
        )
    columns = [_action(spec), Column("reward"), Column("discount")]
    if not spec.frames:  # frames are stored apart, each once
        columns.insert(0, Column("obs", spec.obs_shape))
        columns.append(Column("next_obs", spec.obs_shape, from_last=True))
    columns += [OPTIONAL[name](spec, discount) for name in needs if name in OPTIONAL]
    return Layout(columns, has_windows=bool(set(needs) & set(WINDOWS)))


def _action(spec: Spec) -> Column:
    if spec.actions:
        return Column("action", dtype=torch.int64)
    return Column("action", (spec.action_size,))


def _mc_return(spec: Spec, discount: float) -> Column:
    def correct(
        step: Transition, stored: Stored, episodes: Episodes
    ) -> Iterator[Correction]:
        seeds = stored.seed[stored.over].tolist()
        numbers = stored.number[stored.over].tolist()
        for seed, number in zip(seeds, numbers, strict=True):
            slots, returns = episodes.returns(seed, number, discount)
            yield Correction(seed, slots, returns)

    def of_shared(data: SharedData) -> np.ndarray:
        return shared.discounted_returns(data, discount)

    # unknown until the episode is over
    return Column(
        "mc_return", initial=-math.inf, corrector=correct, of_shared=of_shared
    )


def _label(spec: Spec, discount: float) -> Column:
    def of_shared(data: SharedData) -> np.ndarray:
        return np.zeros_like(data.action, np.float32)

    action = _action(spec)
    return action._replace(name="label", initial=0.0, of_shared=of_shared)


def _has_label(spec: Spec, discount: float) -> Column:
    def of_shared(data: SharedData) -> np.ndarray:
        return np.zeros(len(data.reward), np.float32)

    return Column("has_label", initial=0.0, of_shared=of_shared)


def _decided(name: str) -> Callable[[Spec, float], Column]:
    """A column of the planner's decision, 0 where it was not asked."""

    def column(spec: Spec, discount: float) -> Column:
        shape = (spec.actions,) if name == "soft_label" else ()
        return Column(name, shape, initial=0.0)

    return column


# optional columns of `Batch` that take no memory: the actions of the transitions that
# follow one another, gathered for every batch
WINDOWS = ("action_window", "window_taken")
# the other columns of `Batch` with a default -> what makes them
OPTIONAL: dict[str, Callable[[Spec, float], Column]] = {
    "mc_return": _mc_return,
    "label": _label,
    "has_label": _has_label,
    "soft_label": _decided("soft_label"),
    "label_value": _decided("label_value"),
    "label_stake": _decided("label_stake"),
}
