"""Data set start: training begins with the transitions of a data set."""

import math
from dataclasses import dataclass

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.storage import data_at
from curriculum.types import Buffer, Collector, SharedData, Start, within

ROUNDING = 1e-6  # transitions


@dataclass(kw_only=True)
class Dataset(Start):
    """Give all seeds the same data set, which is kept once, beside what each of them
    collects."""

    path: str = ""  # folder of the data set, also at a URL such as s3://bucket/data
    # of its transitions, in whole episodes: the first ones
    share: float = 1.0
    tail: bool = False  # take the last episodes instead of the first

    def __post_init__(self) -> None:
        within(self, 0, 1, "share")
        if self.share == 0:
            raise ValueError("share must be above 0, got 0; choose --start none")

    @property
    def size(self) -> int:
        return len(self.data().reward)

    def data(self) -> SharedData:
        data = self._open()
        return _selection(self.path, data, self._episodes(data))

    def verify(self) -> None:
        self._open().verify()

    def _open(self) -> DataSet:
        if not self.path:
            raise ValueError(
                "--start dataset needs the folder of a data set: --start.path DATA; "
                "python -m curriculum.collect makes one"
            )
        return DataSet(data_at(self.path))

    def _episodes(self, data: DataSet) -> range:
        """The fewest episodes that hold the share."""
        lengths = data.columns.length
        # 0.07 * 100 is a little more than 7
        wanted = math.ceil(self.share * data.transitions - ROUNDING)
        if self.tail:
            lengths = lengths[::-1]
        count = int(np.searchsorted(lengths.cumsum(), wanted)) + 1
        count = min(count, len(data))
        first = len(data) - count if self.tail else 0
        return range(first, first + count)

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        """The buffer holds the data from the beginning."""


def _selection(name: str, data: DataSet, episodes: range) -> SharedData:
    """Views of consecutive episodes."""
    columns = data.columns
    chosen = slice(episodes.start, episodes.stop)
    first, last = episodes[0], episodes[-1]
    length = int(columns.length[last])
    first_step = int(data.first_step[first])
    steps = slice(first_step, int(data.first_step[last]) + length)
    first_row = int(data.first_obs[first])
    rows = slice(first_row, int(data.first_obs[last]) + length + data.stack)
    return SharedData(
        name=name,
        spec=data.manifest.spec,
        obs=columns.obs[rows],
        action=columns.action[steps],
        reward=columns.reward[steps],
        length=columns.length[chosen],
        terminated=columns.terminated[chosen],
        truncated=columns.truncated[chosen],
        first_episode=first,
        checksums={
            name: column.sha256 for name, column in data.manifest.columns.items()
        },
    )
