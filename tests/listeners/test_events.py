"""Event files: TensorBoard reads in them what it reads in those of torch's writer."""

from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
)
from torch.utils.tensorboard import summary

from curriculum.listeners._board import charts, events
from curriculum.report import png


def test_values_are_those_of_torch():
    assert [events.scalar("a/b", 0.1)] == summary.scalar(
        "a/b", 0.1, new_style=True
    ).value
    assert [events.text("config", "# é")] == summary.text("config", "# é").value
    page = {
        charts.TITLE: {
            title: ["Multiline", [f"^{tag}$" for tag in tags]]
            for title, tags in charts.CHARTS.items()
        }
    }
    assert [events.chart_page(charts.layout())] == summary.custom_scalars(page).value


def test_hyperparameters_are_those_of_tensorboard():
    content = HParamsPluginData(session_end_info=SessionEndInfo(end_time_secs=3))
    value = events.hyperparameters("session_end_info", content)
    assert value.tag == metadata.SESSION_END_INFO_TAG
    assert value.metadata == metadata.create_summary_metadata(content)
    assert value.tensor == metadata.NULL_TENSOR


def test_pictures_are_those_of_torch():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    own = events.picture("figures/a", png.encoded(pixels, 100), 2, 4)
    [other] = summary.image("figures/a", pixels, dataformats="HWC").value
    own.image.encoded_image_string = b""
    other.image.encoded_image_string = b""
    assert own == other


def test_written_events_are_read_at_once_in_their_order(tmp_path: Path):
    file = events.EventFile(tmp_path / "seed0")
    file.write([events.scalar("a", 1.0), events.scalar("b", 2.0)], 5, 1000.5)
    file.write([events.scalar("a", 3.0)], 6, 1001.0)
    [path] = (tmp_path / "seed0").iterdir()
    first, second, third = EventFileLoader(str(path)).Load()
    file.close()
    assert path.name.startswith("events.out.tfevents.")
    assert first.file_version == "brain.Event:2"
    assert (second.step, second.wall_time) == (5, 1000.5)
    assert [value.tag for value in second.summary.value] == ["a", "b"]
    assert third.summary.value[0].tensor.float_val == [3.0]


def test_two_files_of_one_moment_have_different_names(tmp_path: Path):
    for _ in range(2):
        events.EventFile(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 2
