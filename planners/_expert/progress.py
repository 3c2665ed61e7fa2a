"""The progress of a training that goes on where it was interrupted.

A folder holds `training.json`, which names the other files: one with the newest state
and several with the transitions of the replay buffer, each written once. It is replaced
last, so that whoever kills the process leaves either the old progress or the new one.
"""

from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from curriculum.planners._expert import snapshot, storage
from curriculum.planners._expert.lock import LOCK
from curriculum.planners._expert.storage import MANIFEST
from curriculum.types import Rows, State

COLUMNS = (
    "observations",
    "next_observations",
    "actions",
    "rewards",
    "dones",
    "timeouts",
)
LARGEST_SEGMENT = 64_000_000  # bytes of transitions in one file, about


class Progress:
    """Saves and restores one training in `folder`.

    Transitions are counted in steps of all rows since training began."""

    def __init__(self, folder: Path, model: OffPolicyAlgorithm, rows: Rows):
        self.folder = folder
        self.model = model
        self.rows = rows
        assert model.replay_buffer is not None
        self.buffer: ReplayBuffer = model.replay_buffer
        self.saves = 0
        self.segments: list[dict[str, Any]] = []  # files of transitions, oldest first

    @property
    def exists(self) -> bool:
        """Whether anything was saved."""
        return (self.folder / MANIFEST).exists()

    @property
    def steps(self) -> int:
        """Steps of all rows that were taken."""
        return self.model.num_timesteps // self.rows.count

    def save(self, state: State) -> None:
        """Save the model, its rows and buffer, and `state` beside them."""
        self._write_transitions()
        self.saves += 1
        content = {
            "model": snapshot.state_of(self.model),
            "rows": self.rows.save(),
            "obs": self.model._last_obs,
            "beside": state,
        }
        entry = storage.write_state(
            self.folder / f"state-{self.saves}.safetensors", content
        )
        manifest = {"saves": self.saves, "state": entry, "segments": self.segments}
        storage.write_json(self.folder / MANIFEST, manifest)
        self._remove_others({entry["file"], *(s["file"] for s in self.segments)})

    def load(self) -> State:
        """Restore what `save` saved and return the state beside it.

        Raises ValueError where the files are damaged."""
        try:
            manifest = storage.read_json(self.folder / MANIFEST)
            self.saves = manifest["saves"]
            self.segments = list(manifest["segments"])
            for segment in self.segments:
                self._read_transitions(segment)
            content = storage.read_state(self.folder, manifest["state"])
            self.rows.load(content["rows"])
            self.model._last_obs = content["obs"]
            # last: it restores the global random generators
            snapshot.restore(self.model, content["model"])
        except (
            storage.Damaged,
            KeyError,
            TypeError,
            IndexError,
            RuntimeError,
        ) as error:
            raise ValueError(
                f"the interrupted training in {self.folder} is damaged ({error}); "
                "remove the folder to train from the beginning"
            ) from None
        size = self.buffer.buffer_size
        self.buffer.pos = self.steps % size
        self.buffer.full = self.steps >= size
        return content["beside"]

    def _write_transitions(self) -> None:
        """Write the transitions that no file has yet, and forget files whose
        transitions were all overwritten."""
        oldest = max(0, self.steps - self.buffer.buffer_size)
        written = self.segments[-1]["end"] if self.segments else 0
        step_bytes = sum(getattr(self.buffer, name)[0].nbytes for name in COLUMNS)
        length = max(1, LARGEST_SEGMENT // step_bytes)
        for begin in range(max(oldest, written), self.steps, length):
            end = min(begin + length, self.steps)
            slots = self._slots(begin, end)
            columns = {name: getattr(self.buffer, name)[slots] for name in COLUMNS}
            path = self.folder / f"replay-{begin}-{end}.safetensors"
            entry = storage.write_arrays(path, columns)
            self.segments.append({**entry, "begin": begin, "end": end})
        self.segments = [s for s in self.segments if s["end"] > oldest]

    def _read_transitions(self, segment: dict[str, Any]) -> None:
        columns, _ = storage.read_arrays(self.folder, segment)
        count = segment["end"] - segment["begin"]
        for name in COLUMNS:
            column = getattr(self.buffer, name)
            found = columns[name]
            same_shape = found.shape == (count, *column.shape[1:])
            if not same_shape or found.dtype != column.dtype:
                raise storage.Damaged(f"{segment['file']} has other {name}")
            column[self._slots(segment["begin"], segment["end"])] = found

    def _slots(self, begin: int, end: int) -> np.ndarray:
        """Where the buffer keeps the transitions of these steps."""
        return np.arange(begin, end) % self.buffer.buffer_size

    def _remove_others(self, used: set[str]) -> None:
        """Remove files of earlier progress."""
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in {MANIFEST, LOCK, *used}:
                path.unlink()
