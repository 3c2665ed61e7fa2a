"""The data that all seeds share: whether they fit the world, and what follows from
their columns."""

import math
from collections.abc import Iterator

import numpy as np

from curriculum.types import SharedData, Spec, State

CHUNK = 1 << 20  # numbers of observations that are read at once


def count(data: SharedData | None) -> int:
    """Transitions N, 0 without data."""
    return len(data.reward) if data else 0


def last_steps(data: SharedData) -> np.ndarray:
    """The last transition of every episode, [M]."""
    return data.length.cumsum() - 1


def begins(data: SharedData) -> np.ndarray:
    """Whether each transition begins an episode, [N] bool."""
    found = np.zeros(count(data), bool)
    found[last_steps(data) + 1 - data.length] = True
    return found


def terminated(data: SharedData) -> np.ndarray:
    """Whether each transition truly ended its episode, [N] bool."""
    found = np.zeros(count(data), bool)
    found[last_steps(data)] = data.terminated
    return found


def rows(data: SharedData) -> np.ndarray:
    """Where in `obs` the observation of every transition begins, [N] int64; the next
    observation begins one row later."""
    after_last = max(data.spec.frames, 1)  # rows of an episode beyond its length
    shift = after_last * np.arange(len(data.length))
    return np.arange(count(data)) + shift.repeat(data.length)


def discounted_returns(data: SharedData, discount: float) -> np.ndarray:
    """Discounted return from every transition to the end of its episode, [N]; -inf
    where the recording stops before the episode is over."""
    returns = np.asarray(data.reward, np.float64).copy()
    steps_left = last_steps(data).repeat(data.length) - np.arange(count(data))
    span = 1  # steps that each sum includes; it doubles every time
    while span <= steps_left.max():
        continues = np.flatnonzero(steps_left >= span)
        later = returns[continues + span]
        returns[continues] += discount**span * later
        span *= 2
    unknown = ~(data.terminated | data.truncated)
    returns[unknown.repeat(data.length)] = -np.inf
    return returns


def complete_returns(data: SharedData) -> np.ndarray:
    """Undiscounted returns of the episodes that are over."""
    return data.returns()[data.terminated | data.truncated]


def chunks(
    data: SharedData, numbers: int = CHUNK
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Transitions by column of a batch, about `numbers` of observations at a time;
    ValueError names the episode where they are not finite or no actions of the world.

    Stacks of frames are not among the columns."""
    size = max(numbers // math.prod(data.obs.shape[1:]), 1)
    first_row = rows(data)
    ended = terminated(data)
    for start in range(0, count(data), size):
        steps = slice(start, min(start + size, count(data)))
        values = {
            "action": np.asarray(data.action[steps]),
            "reward": _as_float(data.reward[steps]),
            "terminated": ended[steps],
        }
        if not data.spec.frames:
            begin = int(first_row[start])
            end = int(first_row[steps.stop - 1]) + 2
            obs = _as_float(data.obs[begin:end])
            local = first_row[steps] - begin
            values["obs"] = obs[local]
            values["next_obs"] = obs[local + 1]
        _require_values(data, start, values)
        yield steps, values


def _as_float(column: np.ndarray) -> np.ndarray:
    """Numbers that are too large for float32 become infinite, and are refused."""
    with np.errstate(over="ignore"):
        return np.asarray(column, np.float32)


def _require_values(
    data: SharedData, start: int, values: dict[str, np.ndarray]
) -> None:
    for name in ("obs", "next_obs", "reward"):
        if name in values and not np.isfinite(values[name]).all():
            finite = np.isfinite(values[name].reshape(len(values[name]), -1))
            _refuse(data, start, ~finite.all(1), f"{name} is not finite")
    action = values["action"]
    if data.spec.actions:
        wrong = (action < 0) | (action >= data.spec.actions)
        allowed = f"0 .. {data.spec.actions - 1}"
    else:
        wrong = ~(np.abs(_as_float(action)) <= 1).all(1)  # also where it is nan
        allowed = "[-1, 1]"
    if wrong.any():
        _refuse(data, start, wrong, f"the action is not in {allowed}")


def _refuse(data: SharedData, start: int, wrong: np.ndarray, problem: str) -> None:
    step = start + int(np.flatnonzero(wrong)[0])
    index = int(np.searchsorted(last_steps(data), step))
    time = step - (int(last_steps(data)[index]) + 1 - int(data.length[index]))
    raise ValueError(
        f"{data.name}: {problem} in step {time} of episode "
        f"{data.first_episode + index}; write the data set without this episode"
    )


def require_fit(data: SharedData, spec: Spec) -> None:
    """Raise ValueError where data cannot be those of a world."""
    found = data.spec
    fits = (
        found.obs_shape == spec.obs_shape
        and found.frames == spec.frames
        and bool(found.actions) == bool(spec.actions)
        # a data set may know fewer actions than there are
        and found.actions <= spec.actions
        and found.action_size == spec.action_size
        and (not spec.frames or data.obs.dtype == np.uint8)
    )
    if not fits:
        raise ValueError(
            f"{data.name} holds {_described(found)}, the world has {_described(spec)}; "
            "give the world that the data are from (--env) or another --start.path"
        )


def _described(spec: Spec) -> str:
    shape = list(spec.obs_shape)
    obs = f"observations {shape}"
    if spec.frames:
        obs = f"stacks of {spec.obs_dtype} frames {shape}"
    if spec.actions:
        return f"{obs} and {spec.actions} discrete actions"
    return f"{obs} and box actions of {spec.action_size} numbers"


def identity(data: SharedData | None) -> State:
    """What data are known by; empty without any."""
    if data is None:
        return {}
    return {
        "first_episode": data.first_episode,
        "episodes": len(data.length),
        "checksums": data.checksums,
    }


def require_same(data: SharedData | None, saved: State) -> None:
    """Raise ValueError where data are not those of a state's `identity`."""
    found = identity(data)
    if found == saved:
        return
    if data is None or not saved:
        raise ValueError(
            "the checkpoint and this configuration do not both have a data set; resume "
            "with the --start of the run"
        )
    now, then = found["checksums"], saved["checksums"]
    changed = [name for name in now if now[name] != then.get(name)]
    what = f"other contents in {', '.join(changed)}" if changed else "other episodes"
    raise ValueError(
        f"{data.name} has {what} than when the run was started; restore the data set "
        "or start a new run"
    )
