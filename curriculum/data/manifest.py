"""The manifest of a data set: what its columns hold, and where they come from."""

import json
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from curriculum import files
from curriculum.types import Spec

FILE = "manifest.json"
FORMAT = 1  # of the folder; another number is refused


def package_version() -> str:
    """The version of this package."""
    return metadata.version("planning-curriculum")


class ColumnFile(NamedTuple):
    """What a column's file must hold."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str  # of the whole file


@dataclass(kw_only=True)
class Manifest:
    """What a data set holds, besides its columns."""

    spec: Spec  # of observations and actions; bounds are infinite where unknown
    env: str = ""  # the world, as `--env` names it; empty: unknown
    env_settings: dict[str, Any] = field(default_factory=dict)  # its fields
    # names of those who acted; the column `source` holds indices into it
    sources: tuple[str, ...] = ("unknown",)
    seeds: tuple[int, ...] = ()
    reward: str = ""  # what the rewards are, in words
    command: str = ""  # that wrote it
    # what else its makers want to tell, by name, such as a tier and its noise
    made: dict[str, Any] = field(default_factory=dict)
    # of this package, when it was written
    version: str = field(default_factory=package_version)
    episodes: int = 0
    transitions: int = 0
    # of undiscounted returns over episodes: mean, std, min, max
    returns: dict[str, float] = field(default_factory=dict)
    columns: dict[str, ColumnFile] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Its content as JSON can hold it."""
        values = dict(vars(self))
        values["format"] = FORMAT
        values["spec"] = _spec_as_json(self.spec)
        columns = self.columns.items()
        values["columns"] = {name: column._asdict() for name, column in columns}
        return values

    def write(self, folder: Path) -> None:
        """Write it to the folder of its data set."""
        text = json.dumps(self.as_json(), indent=1, allow_nan=False)
        files.write_text(folder / FILE, text + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read that of a data set; ValueError says what is wrong with it."""
        path = folder / FILE
        if not path.is_file():
            raise ValueError(
                f"{folder} is no data set, it has no {FILE}; data in another format is "
                f"converted by: python -m curriculum.collect convert {folder} OUT"
            )
        try:
            values = json.loads(path.read_text())
            number = values.pop("format")
            if number != FORMAT:
                raise ValueError(f"it has format {number}, this version reads {FORMAT}")
            values["spec"] = _spec_from_json(values["spec"])
            for name in ("sources", "seeds"):
                values[name] = tuple(values[name])
            columns = values["columns"].items()
            values["columns"] = {
                name: ColumnFile(
                    column["dtype"], tuple(column["shape"]), column["sha256"]
                )
                for name, column in columns
            }
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error


def spec_of_notes(notes: dict[str, Any]) -> Spec | None:
    """The spec that a file of another format tells, if it does; ValueError where it is
    damaged."""
    if "spec" not in notes:
        return None
    try:
        return _spec_from_json(dict(notes["spec"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its spec cannot be read: {error}") from error


def spec_of_arrays(observation: np.ndarray, action: np.ndarray) -> Spec:
    """What one episode says about its world: unbounded observations, and as many
    discrete actions as it took."""
    shape = observation.shape[1:]
    discrete = action.ndim == 1
    return Spec(
        obs_shape=shape,
        obs_dtype=observation.dtype.name,
        obs_low=np.full(shape, -np.inf),
        obs_high=np.full(shape, np.inf),
        actions=int(action.max(initial=0)) + 1 if discrete else 0,
        action_size=0 if discrete else action.shape[1],
    )


def _spec_as_json(spec: Spec) -> dict[str, Any]:
    values = spec._asdict()
    for name in ("obs_low", "obs_high"):
        values[name] = [_text_or_number(x) for x in values[name].reshape(-1).tolist()]
    if spec.obs_dtype == "uint8":  # pictures have the same bounds everywhere
        del values["obs_low"], values["obs_high"]
    return values


def _spec_from_json(values: dict[str, Any]) -> Spec:
    shape = tuple(values["obs_shape"])
    low = np.zeros(shape)
    high = np.full(shape, 255.0)
    if "obs_low" in values:
        low = np.array(values["obs_low"], float).reshape(shape)
        high = np.array(values["obs_high"], float).reshape(shape)
    return Spec(**{**values, "obs_shape": shape, "obs_low": low, "obs_high": high})


def _text_or_number(number: float) -> float | str:
    """JSON has no infinity."""
    return number if np.isfinite(number) else str(number)
