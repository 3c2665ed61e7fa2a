"""Files of events, as TensorBoard reads them: records of any number of values each.

The writer of torch makes an event of every number, computes checksums byte by byte, and
imports large parts of TensorBoard that a run does not need.
"""

import itertools
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

from curriculum import crc

Value: TypeAlias = Summary.Value

VERSION = "brain.Event:2"  # of the format
LENGTH = struct.Struct("<Q")
CHECKSUM = struct.Struct("<I")
GIF_SIZE = struct.Struct("<HH")  # width and height
GIF_SIZE_AT = 6  # in a file
_numbers = itertools.count()  # of the files of this process


class EventFile:
    """A new file of events in a folder."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        origin = f"{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        path = folder / f"events.out.tfevents.{int(now):010d}.{origin}"
        self.file = path.open("wb")
        self._append(Event(wall_time=now, file_version=VERSION))

    def write(
        self, values: Sequence[Value], step: int = 0, wall_time: float | None = None
    ) -> None:
        """Write values of one step; those who read the file can see them at once."""
        if wall_time is None:
            wall_time = time.time()
        summary = Summary(value=values)
        self._append(Event(wall_time=wall_time, step=step, summary=summary))

    def close(self) -> None:
        self.file.close()

    def _append(self, event: Event) -> None:
        data = event.SerializeToString()
        length = LENGTH.pack(len(data))
        self.file.write(length)
        self.file.write(CHECKSUM.pack(crc.masked(length)))
        self.file.write(data)
        self.file.write(CHECKSUM.pack(crc.masked(data)))
        self.file.flush()


def scalar(tag: str, number: float) -> Value:
    """A point of a curve."""
    tensor = TensorProto(float_val=[number], dtype=DT_FLOAT)
    return Value(tag=tag, tensor=tensor, metadata=_SCALAR)


def text(tag: str, words: str) -> Value:
    """A text in Markdown."""
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[words.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    return Value(tag=f"{tag}/text_summary", tensor=tensor, metadata=_TEXT)


def picture(tag: str, encoded: bytes, height: int, width: int) -> Value:
    """A picture, given as a PNG file, or another one that browsers show."""
    image = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=encoded
    )
    return Value(tag=tag, image=image)


def film(tag: str, gif: bytes) -> Value:
    """A film, given as a GIF file."""
    width, height = GIF_SIZE.unpack_from(gif, GIF_SIZE_AT)
    return picture(tag, gif, height, width)


def chart_page(layout: Layout) -> Value:
    """The CUSTOM SCALARS page."""
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[layout.SerializeToString()],
        tensor_shape=TensorShapeProto(),
    )
    metadata = _metadata("custom_scalars")
    return Value(tag="custom_scalars__config__", tensor=tensor, metadata=metadata)


def hyperparameters(tag: str, content: HParamsPluginData) -> Value:
    """A part of the HPARAMS page."""
    no_numbers = TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)])
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=no_numbers)
    metadata = _metadata("hparams", content.SerializeToString())
    return Value(tag=f"_hparams_/{tag}", tensor=tensor, metadata=metadata)


def _metadata(plugin: str, content: bytes = b"") -> SummaryMetadata:
    """Which part of TensorBoard shows a value."""
    data = SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return SummaryMetadata(plugin_data=data)


_SCALAR = _metadata("scalars")
_TEXT = _metadata("text", TextPluginData(version=0).SerializeToString())
