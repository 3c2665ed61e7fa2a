"""The rows of TensorBoard's HPARAMS page, one for each seed of a run.

The page opens with five hyperparameters, those marked as differing first, and with all
metrics of the first run it finds.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from curriculum.listeners._board import events

FIRST = ("env", "planner", "learner", "decay", "seed")  # shown first
# settings that do not affect what is learned
HOUSEKEEPING = (
    "name",
    "runs_dir",
    "threads",
    "log_every",
    "checkpoint_every",
    "compress_every",
    "techniques",
    "map_every",
    "record",
)

Value = bool | int | float | str


def hyperparameters(settings: Mapping[str, Any], seed: int) -> dict[str, Value]:
    """The settings of one seed that affect what it learns; the first ones first."""
    chosen = {name: settings[name] for name in FIRST if name != "seed"}
    chosen["seed"] = seed
    for name, value in settings.items():
        ignored = name in HOUSEKEEPING or name == "seeds" or name.startswith("eval_")
        if ignored or value in ("", None, [], ()):
            continue
        is_plain = isinstance(value, Value)
        chosen.setdefault(name, value if is_plain else str(value))
    return chosen


def experiment(values: Mapping[str, Value], metrics: Sequence[str]) -> events.Value:
    """Describe the columns of the page."""
    columns = []
    for name, value in values.items():
        column = api_pb2.HParamInfo(
            name=name, type=_type_of(value), differs=name in FIRST
        )
        columns.append(column)
    infos = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    described = api_pb2.Experiment(
        hparam_infos=columns, metric_infos=infos, time_created_secs=time.time()
    )
    content = HParamsPluginData(experiment=described)
    return events.hyperparameters("experiment", content)


def begin(values: Mapping[str, Value]) -> events.Value:
    """Begin the row of one seed."""
    info = SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        field = info.hparams[name]
        if isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, str):
            field.string_value = value
        else:
            field.number_value = value
    content = HParamsPluginData(session_start_info=info)
    return events.hyperparameters("session_start_info", content)


def end(finished: bool) -> events.Value:
    """End the row of one seed, and say whether its run came to its end."""
    status = api_pb2.STATUS_SUCCESS if finished else api_pb2.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    content = HParamsPluginData(session_end_info=info)
    return events.hyperparameters("session_end_info", content)


def _type_of(value: Value) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    if isinstance(value, str):
        return api_pb2.DATA_TYPE_STRING
    return api_pb2.DATA_TYPE_FLOAT64
