"""The door of a world: what its rows hand over is checked here, wherever they are
stepped.

Numbers that are not finite never pass. Shapes and types that can be converted without
loss are, and observations outside their declared bounds are announced once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np

from curriculum.types import Rows, State, Step, World

FLOAT = np.dtype(np.float32)
FLAG = np.dtype(np.bool_)
ROUNDING = 1e-5  # relative: by how much rounding may carry an observation out of bounds
# worlds whose observations were announced to lie outside their bounds
_announced: set[str] = set()


# told the index of an owner whose rows must not be looked at again, and why
Stop = Callable[[int, str], None]


class WorldError(ValueError):
    """A world raised an error, or handed over what it must not."""


class RowError(Exception):
    """The environment of one row raised the error that is this one's cause."""

    def __init__(self, row: int):
        super().__init__(row)
        self.row = row


def name_of(world: World) -> str:
    """The name of a world in messages."""
    return world.title or type(world).__name__


def close_rows(rows: Rows) -> None:
    """Close rows, which a third party need not have inherited from `Rows`."""
    close = getattr(rows, "close", None)
    if close:
        close()


class Door:
    """Steps rows and checks what they hand over.

    The rows belong to `owners`, equally many each and in this order, such as "seed 0"
    and "seed 1". Where a number is not finite, `stop(owner, sentence)` is called: the
    rows of that owner are not looked at again, and the others go on. Without `stop`
    WorldError says it."""

    def __init__(
        self,
        rows: Rows,
        owners: Sequence[str] = ("",),
        stop: Stop | None = None,
    ):
        self.rows = rows
        self.owners = tuple(owners)
        self.stop = stop
        self.name = name_of(rows.world)
        self.stopped = np.zeros(rows.count, bool)  # [N]
        self.any_stopped = False
        self.resting = np.zeros(rows.count, bool)  # [N]
        space = rows.single_observation_space
        self.obs_shape = (rows.count, *space.shape)
        self.obs_dtype = space.dtype
        self.bounds = _Bounds(space)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the environments."""
        close_rows(self.rows)

    @property
    def knows_success(self) -> np.ndarray:
        """Rows whose owner's rows report success, [N] bool."""
        default = np.full(self.rows.count, self.rows.world.has_success)
        reports = getattr(self.rows, "reports_success", default)
        by_owner = reports.reshape(len(self.owners), -1)
        return by_owner.any(1).repeat(by_owner.shape[1])

    def reset(self) -> np.ndarray:
        """Start an episode in every row; returns observations [N, *O]."""
        try:
            obs = self.rows.reset()
        except Exception as error:  # a world may raise anything
            raise self._failure("reset", error) from error
        self.resting[:] = False
        self.obs = self._pass_obs(self._convert("observation", obs))
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] in [-1, 1].

        Rows that are stopped get zeros, and no end."""
        action = self._pass_action(action)
        time = self.rows.time.copy()
        try:
            step = self.rows.step(action)
        except Exception as error:  # a world may raise anything
            raise self._failure("step", error, time) from error
        if not self._is_declared(step):
            step = self._converted(step)
        if self.any_stopped or not self._is_sound(step):
            step = self._pass_step(step, time)
        self.obs = step.obs
        return step

    def rest(self, rows: np.ndarray) -> None:
        """Mark rows, [N] bool, that are not looked at again before `reset`."""
        self.resting = rows.copy()
        self.rows.rest(self.resting | self.stopped)

    def exclude(self, owners: np.ndarray) -> None:
        """Stop to look at the rows of these owners, [owners] bool."""
        stopped = owners.repeat(self.rows.count // len(self.owners))
        if (stopped & ~self.stopped).any():
            self.stopped |= stopped
            self.any_stopped = True
            self.rows.rest(self.resting | self.stopped)

    def load(self, saved: State) -> np.ndarray:
        """Restore what the rows' `save` returned; returns the rows that did not come
        back as they were saved, [N] bool."""
        try:
            obs = self.rows.load(saved)
        except ValueError:
            raise
        except Exception as error:  # a world may raise anything
            raise self._failure("load", error) from error
        self.resting[:] = False
        self.obs = self._pass_obs(self._convert("observation", obs))
        return _differing(saved, self.rows.save(), self.rows.count)

    # --- shapes and types ---

    def _is_declared(self, step: Step) -> bool:
        count = (self.rows.count,)
        return (
            _is_array(step.reward, count, FLOAT)
            and _is_array(step.terminated, count, FLAG)
            and _is_array(step.truncated, count, FLAG)
            and _is_array(step.success, count, FLAG)
            and _is_array(step.obs, self.obs_shape, self.obs_dtype)
            and _is_array(step.next_obs, self.obs_shape, self.obs_dtype)
        )

    def _converted(self, step: Step) -> Step:
        """The same step with the declared shapes and types; WorldError where that
        would lose something."""
        return Step(
            obs=self._convert("observation", step.obs),
            reward=self._convert("reward", step.reward),
            terminated=self._convert("terminated", step.terminated),
            truncated=self._convert("truncated", step.truncated),
            next_obs=self._convert("observation", step.next_obs),
            success=self._convert("success", step.success),
        )

    def _convert(self, field: str, value: Any) -> np.ndarray:
        if field == "observation":
            shape = self.obs_shape
            dtype: np.dtype[Any] = self.obs_dtype
        else:
            shape = (self.rows.count,)
            dtype = FLOAT if field == "reward" else FLAG
        try:
            return converted(field, value, shape, dtype)
        except WorldError as error:
            raise WorldError(f"world {self.name}: {error}") from None

    # --- finite numbers ---

    def _pass_action(self, action: np.ndarray) -> np.ndarray:
        """The actions, zeros for stopped rows: what is not finite reaches no world."""
        finite = action.dtype.kind != "f" or np.isfinite(action).all()
        if finite:
            return _zero(action, self.stopped) if self.any_stopped else action
        bad = ~np.isfinite(action).reshape(len(action), -1).all(1)
        for row in np.flatnonzero(bad & ~self.resting).tolist():
            problem = f"was to take the action {action[row]}"
            self._stop(row, problem, self.rows.time + 1)
        return _zero(action, bad | self.stopped)

    def _is_sound(self, step: Step) -> bool:
        return (
            bool(np.isfinite(step.reward).all())
            and self.bounds.hold(step.next_obs)
            and (step.obs is step.next_obs or self.bounds.hold(step.obs))
        )

    def _pass_step(self, step: Step, time: np.ndarray) -> Step:
        """The step without the rows that must not be looked at."""
        ignored = self.stopped | self.resting
        for row in np.flatnonzero(~np.isfinite(step.reward) & ~ignored).tolist():
            self._stop(row, f"gave the reward {step.reward[row]}", time + 1)
        self._look("observation", step.next_obs, time + 1)
        if step.obs is not step.next_obs:
            self._look("observation", step.obs, self.rows.time)
        ignored = self.stopped | self.resting
        return Step(
            obs=_zero(step.obs, ignored),
            reward=_zero(step.reward, ignored),
            terminated=step.terminated & ~self.stopped,
            truncated=step.truncated & ~self.stopped,
            next_obs=_zero(step.next_obs, ignored),
            success=step.success & ~self.stopped,
        )

    def _pass_obs(self, obs: np.ndarray) -> np.ndarray:
        """The observations of a reset, zeros for stopped rows."""
        if not self.any_stopped and self.bounds.hold(obs):
            return obs
        self._look("observation", obs, self.rows.time)
        return _zero(obs, self.stopped)

    def _look(self, field: str, obs: np.ndarray, time: np.ndarray) -> None:
        """Stop the owners of rows whose observations are not finite, and announce a
        number outside its bounds."""
        looked_at = ~(self.stopped | self.resting)
        flat = obs.reshape(len(obs), -1)
        finite = np.isfinite(flat)
        for row in np.flatnonzero(~finite.all(1) & looked_at).tolist():
            number = int(np.argmin(finite[row]))
            problem = f"gave {flat[row, number]} as number {number} of the {field}"
            self._stop(row, problem, time)
        looked_at = ~(self.stopped | self.resting)
        sentence = self.bounds.widen(obs[looked_at])
        if sentence and self.name not in _announced:
            _announced.add(self.name)
            print(f"world {self.name}: {sentence}", file=sys.stderr)

    def _stop(self, row: int, problem: str, time: np.ndarray) -> None:
        if self.stopped[row]:
            return
        sentence = f"world {self.name} {problem} ({self._place(row, time[row])})"
        if self.stop is None:
            raise WorldError(sentence)
        rows = self.rows.count // len(self.owners)
        owner = row // rows
        self.stop(owner, sentence)
        self.stopped[owner * rows : (owner + 1) * rows] = True
        self.any_stopped = True
        self.rows.rest(self.resting | self.stopped)

    def _place(self, row: int, step: int) -> str:
        """Where something happened: owner, row, and step of the episode."""
        rows = self.rows.count // len(self.owners)
        owner, own_row = divmod(row, rows)
        place = f"row {own_row}, step {step} of its episode"
        label = self.owners[owner]
        return f"{label}, {place}" if label else place

    # --- errors ---

    def _failure(
        self, method: str, error: Exception, time: np.ndarray | None = None
    ) -> WorldError:
        """The sentence about an error that a world raised."""
        time = np.zeros(self.rows.count, np.int64) if time is None else time + 1
        cause: BaseException | None = error
        if isinstance(error, RowError):
            place = self._place(error.row, time[error.row])
            cause = error.__cause__
        else:
            steps = "-".join(map(str, sorted({int(time.min()), int(time.max())})))
            place = ", ".join([*filter(None, self.owners), f"step {steps} of episodes"])
        if isinstance(cause, WorldError):
            return WorldError(f"world {self.name}: {cause} ({place})")
        return WorldError(
            f"world {self.name} raised {type(cause).__name__}: {cause} "
            f"in {method} ({place}; {_origin(cause)})"
        )


def converted(
    field: str, value: Any, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """An array of a shape and a type; axes of length 1 may differ, and numbers may have
    another type that holds the same values.

    WorldError says what `value` is instead."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise WorldError(f"{field} is no array: {value!r:.80}") from None
    if array.dtype.kind not in "biuf":
        raise WorldError(f"{field} must be numbers, got {array.dtype}: {value!r:.80}")
    if array.shape != shape:
        if _long_axes(array.shape) != _long_axes(shape):
            raise WorldError(
                f"{field} has shape {array.shape}, but {shape} was declared"
            )
        array = array.reshape(shape)
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        other = array.astype(dtype)
    # rounding to fewer digits is harmless; what becomes infinite is found later
    if dtype.kind != "f" and not np.array_equal(other, array):
        raise WorldError(f"{field} must be {dtype}, got {array.dtype}: {array!r:.80}")
    return other


def _long_axes(shape: tuple[int, ...]) -> list[int]:
    return [side for side in shape if side != 1]


def _is_array(value: Any, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    return type(value) is np.ndarray and value.shape == shape and value.dtype == dtype


def _zero(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy with zeros in these rows."""
    values = values.copy()
    values[rows] = 0
    return values


class _Bounds:
    """The declared bounds of observations. Infinite bounds are the largest finite
    numbers, so that one comparison finds all that is not finite, too."""

    def __init__(self, space: gym.spaces.Box):
        self.space = space
        info: Any = np.finfo if space.dtype.kind == "f" else np.iinfo
        if space.dtype.kind == "b":
            self.lowest, self.largest = False, True
        else:
            self.lowest = info(space.dtype).min
            self.largest = info(space.dtype).max
        with np.errstate(over="ignore", invalid="ignore"):
            self.low = self._loosened(space.low, -1)
            self.high = self._loosened(space.high, 1)
        always = (self.low <= self.lowest).all() and (self.high >= self.largest).all()
        # such as pictures of uint8
        self.cannot_break = bool(always) and space.dtype.kind != "f"

    def _loosened(self, bound: np.ndarray, sign: int) -> np.ndarray:
        if self.space.dtype.kind != "f":
            return bound
        slack = ROUNDING * np.maximum(1, np.abs(bound))
        loose = (bound + sign * slack).astype(self.space.dtype)
        return np.clip(loose, self.lowest, self.largest)

    def hold(self, obs: np.ndarray) -> bool:
        """Whether all numbers are finite and within bounds."""
        if self.cannot_break:
            return True
        return bool(((obs >= self.low) & (obs <= self.high)).all())

    def widen(self, obs: np.ndarray) -> str:
        """Accept these observations from now on; returns a sentence about the first
        number outside its bounds, or nothing."""
        if self.cannot_break or self.hold(obs):
            return ""
        outside = (obs < self.low) | (obs > self.high)
        row, *feature = np.argwhere(outside)[0].tolist()
        index = tuple(feature)
        value = obs[(row, *index)]
        low = self.space.low[index]
        high = self.space.high[index]
        broken = outside.any(0)
        self.low = np.where(broken, self.lowest, self.low).astype(obs.dtype)
        self.high = np.where(broken, self.largest, self.high).astype(obs.dtype)
        name = ", ".join(map(str, index))
        return (
            f"number {name} of the observation is {value:.6g}, outside its declared "
            f"bounds [{low:.6g}, {high:.6g}]; it is used as it is"
        )


def _differing(saved: State, again: State, count: int) -> np.ndarray:
    """Rows whose arrays [N, ...] differ between two saved states, [N] bool."""
    differing = np.zeros(count, bool)
    for name, value in saved.items():
        other = again.get(name)
        if not isinstance(value, np.ndarray) or value.shape[:1] != (count,):
            continue
        if not isinstance(other, np.ndarray) or other.shape != value.shape:
            differing[:] = True
            continue
        for row in range(count):
            differing[row] |= value[row].tobytes() != other[row].tobytes()
    return differing


def _origin(error: BaseException | None) -> str:
    """Where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    if not frames:
        return "nobody knows where"
    return f"{frames[-1].filename}, line {frames[-1].lineno}"
