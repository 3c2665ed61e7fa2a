"""Maps in the course of training, as files: arrays of all seeds, pictures of one."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np

from curriculum.files import write_bytes
from curriculum.listeners._moments import moment_of, name_of
from curriculum.types import Listener, Record

FOLDER = "maps"


@dataclass(kw_only=True)
class Maps(Listener):
    """Writes `maps/step-*.npz`, or `update-*` in the offline phase, and a PNG of the
    first seed beside each.

    A resumed run writes those again that follow its last checkpoint; they are the same
    ones."""

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.folder = folder / FOLDER
        return self

    def __call__(self, record: Record) -> None:
        if record.kind != "survey":
            return
        # matplotlib takes a second to import
        from curriculum.report import atlas, png, style

        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{name_of(record)}.npz"
        arrays = BytesIO()
        maps: dict[str, Any] = {}
        for tag, value in record.values.items():
            maps[tag.removeprefix("map/")] = value
        np.savez_compressed(arrays, **maps)
        write_bytes(path, arrays.getvalue())
        first = {tag: value[0] for tag, value in record.values.items()}
        drawn = atlas.picture(first, moment_of(record))
        write_bytes(path.with_suffix(".png"), png.encoded(drawn, style.DPI))
