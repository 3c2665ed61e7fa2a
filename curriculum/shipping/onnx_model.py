"""A policy as an ONNX model, made of the operations of its file.

Its input is `observation` [n, *O], in the type of the world; its outputs are `scores`
(see `curriculum.shipping.standalone`) and `action` in the units of the world. Needs the
extra `[onnx]`. An observation that is not finite is not refused.

A dense layer with int8 weights and inputs that are rounded to int8 becomes an int8
product; other weights that the file stores in fewer bits are restored on load.
"""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import EXCLUDED, LARGEST

OPSET = 17
IR_VERSION = 8  # that of the opset's release


class Graph:
    """Nodes and constants of a model in the making."""

    def __init__(self, onnx: ModuleType, arrays: dict[str, np.ndarray]):
        self.onnx = onnx
        self.arrays = arrays
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.steps: dict[str, str] = {}  # of values in whole steps: what int8 holds

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of an array."""
        name = f"constant{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype))
        array = array.reshape(np.shape(value))  # numbers have no axis
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def in_units(self, value: str) -> str:
        """A value that may be in whole steps, in its own units."""
        step = self.steps.get(value)
        return self.add("Mul", value, step) if step else value

    def weight(self, about: dict[str, Any]) -> str:
        """The name of the weight [out, ...] of an operation, as float32."""
        weight = self.arrays[about["weight"]]
        if weight.dtype == np.float32:
            return self.constant(weight)
        stored = self.constant(weight, weight.dtype)
        if weight.dtype == np.float16:
            return self.add("Cast", stored, to=self.onnx.TensorProto.FLOAT)
        scale = self.constant(self.arrays[about["weight_scale"]])
        return self.add("DequantizeLinear", stored, scale, axis=0)

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        name = output or f"value{len(self.nodes)}"
        node = self.onnx.helper.make_node(op, list(inputs), [name], **attributes)
        self.nodes.append(node)
        return name


def write(program: Program, contract: dict[str, Any], path: Path) -> None:
    """Write the model to a draft."""
    path.write_bytes(_model(program, contract))


def _model(program: Program, contract: dict[str, Any]) -> bytes:
    onnx = _required("onnx")
    graph = Graph(onnx, program.arrays)
    observation = contract["observation"]
    values = [graph.add("Cast", "observation", to=onnx.TensorProto.FLOAT)]
    for about in program.operations:
        inputs = [values[index] for index in about["inputs"]]
        if about["op"] != "linear":
            inputs = [graph.in_units(value) for value in inputs]
        values.append(OPERATIONS[about["op"]](graph, about, inputs))
    scores = graph.add("Identity", graph.in_units(values[-1]), output="scores")
    outputs = [_described(onnx, "scores", "float32", ["n", _width(contract)])]
    outputs.append(_action(graph, contract["action"], scores))
    inputs = [
        _described(
            onnx, "observation", observation["dtype"], ["n", *observation["shape"]]
        )
    ]
    made = onnx.helper.make_graph(
        graph.nodes, "policy", inputs, outputs, graph.constants
    )
    model = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="planning-curriculum",
    )
    onnx.helper.set_model_props(model, {"contract": json.dumps(contract)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def scores(path: Path, obs: np.ndarray) -> np.ndarray:
    """What onnxruntime computes for observations [n, *O]."""
    (found,) = _session(path.read_bytes()).run(["scores"], {"observation": obs})
    return found


def is_installed() -> bool:
    """Whether models can be written and run."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def actor(
    program: Program, contract: dict[str, Any]
) -> Callable[[np.ndarray], np.ndarray]:
    """What onnxruntime does on one thread: observations [n, *O] to actions."""
    session = _session(_model(program, contract))
    return lambda obs: session.run(["action"], {"observation": obs})[0]


def _session(model: bytes) -> Any:
    runtime = _required("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # restoring weights on load is no warning
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _required(name: str) -> ModuleType:
    try:
        if name == "onnx":
            import onnx.checker
            import onnx.helper
            import onnx.numpy_helper

            return onnx
        import onnxruntime

        return onnxruntime
    except ModuleNotFoundError:
        raise ValueError(
            f"an ONNX model needs the package {name}, which is not installed; install "
            "it: pip install 'planning-curriculum[onnx]'"
        ) from None


def _width(contract: dict[str, Any]) -> int:
    action = contract["action"]
    if action["kind"] == "discrete":
        return action["n"]
    return len(action["low"])


def _described(
    onnx: ModuleType, name: str, dtype: str, shape: Sequence[int | str]
) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _action(graph: Graph, about: dict[str, Any], scores: str) -> Any:
    """Append what turns scores into actions; returns the description of the output."""
    onnx = graph.onnx
    if about["kind"] == "discrete":
        index = graph.add("ArgMax", scores, axis=-1, keepdims=0)
        start = graph.constant(about["start"], np.int64)
        graph.add("Add", index, start, output="action")
        return _described(onnx, "action", "int64", ["n"])
    low = np.array(about["low"], np.float32)
    high = np.array(about["high"], np.float32)
    scaled = graph.add("Mul", scores, graph.constant((high - low) / 2))
    action = graph.add("Add", scaled, graph.constant((high + low) / 2))
    action = graph.add("Max", action, graph.constant(low))
    action = graph.add("Min", action, graph.constant(high))
    shape = graph.constant([-1, *about["shape"]], np.int64)
    action = graph.add("Reshape", action, shape)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(about["dtype"]))
    graph.add("Cast", action, output="action", to=kind)
    return _described(onnx, "action", about["dtype"], ["n", *about["shape"]])


# --- operations ---

About = dict[str, Any]
Inputs = list[str]


def _normalise(graph: Graph, about: About, inputs: Inputs) -> str:
    flat = graph.add("Flatten", *inputs, axis=1)
    mean = graph.constant(graph.arrays[about["mean"]])
    centred = graph.add("Sub", flat, mean)
    scale = graph.constant(graph.arrays[about["scale"]])
    scaled = graph.add("Mul", centred, scale)
    if not about["limit"]:
        return scaled
    return _clipped(graph, scaled, about["limit"])


def _clipped(graph: Graph, value: str, limit: float) -> str:
    lowest = graph.constant(-limit)
    return graph.add("Clip", value, lowest, graph.constant(limit))


def _pixels(graph: Graph, about: About, inputs: Inputs) -> str:
    scaled = graph.add("Div", *inputs, graph.constant(255))
    center = about.get("center", 0.0)  # files of former versions have none
    return graph.add("Sub", scaled, graph.constant(center)) if center else scaled


def _rounded(graph: Graph, about: About, inputs: Inputs) -> str:
    step = graph.constant(about["step"])
    if not about["step"]:
        step = _own_step(graph, *inputs)
    nearest = graph.add("Round", graph.add("Div", *inputs, step))
    lowest = graph.constant(-LARGEST - 1)
    value = graph.add("Clip", nearest, lowest, graph.constant(LARGEST))
    graph.steps[value] = step
    return value


def _own_step(graph: Graph, value: str) -> str:
    """The step of every observation, [n, 1]; [n, 1, ...] with more axes."""
    flat = graph.add("Flatten", graph.add("Abs", value), axis=1)
    largest = graph.add("ReduceMax", flat, axes=[-1])  # [n, 1]
    step = graph.add("Div", largest, graph.constant(LARGEST))
    is_zero = graph.add("Equal", step, graph.constant(0))
    step = graph.add("Where", is_zero, graph.constant(1), step)
    rank = graph.add("Shape", graph.add("Shape", value, start=1))  # [1]: other axes
    ones = graph.add("ConstantOfShape", rank, value=_one(graph))
    batch = graph.add("Shape", value, end=1)
    return graph.add("Reshape", step, graph.add("Concat", batch, ones, axis=0))


def _one(graph: Graph) -> Any:
    return graph.onnx.numpy_helper.from_array(np.ones(1, np.int64), "one")


def _linear(graph: Graph, about: About, inputs: Inputs) -> str:
    bias = graph.constant(graph.arrays[about["bias"]])
    weight = graph.arrays[about["weight"]]
    (value,) = inputs
    if value in graph.steps and weight.dtype == np.int8:
        product = _int8_product(graph, about, value)
    elif weight.dtype == np.float32:
        transposed = graph.constant(weight.T)
        product = graph.add("MatMul", graph.in_units(value), transposed)
    else:
        transposed = graph.add("Transpose", graph.weight(about), perm=[1, 0])
        product = graph.add("MatMul", graph.in_units(value), transposed)
    return graph.add("Add", product, bias)


def _int8_product(graph: Graph, about: About, value: str) -> str:
    """The product of inputs in whole steps and int8 weights, as float32."""
    types = graph.onnx.TensorProto
    weight = graph.constant(graph.arrays[about["weight"]].T, np.int8)
    int8 = graph.add("Cast", value, to=types.INT8)
    whole = graph.add("MatMulInteger", int8, weight)
    product = graph.add("Cast", whole, to=types.FLOAT)
    scale = graph.constant(graph.arrays[about["weight_scale"]])
    return graph.add("Mul", graph.add("Mul", product, graph.steps[value]), scale)


def _relu(graph: Graph, about: About, inputs: Inputs) -> str:
    return graph.add("Relu", *inputs)


def _tanh(graph: Graph, about: About, inputs: Inputs) -> str:
    return graph.add("Tanh", *inputs)


def _layer_norm(graph: Graph, about: About, inputs: Inputs) -> str:
    centred = graph.add("Sub", *inputs, graph.add("ReduceMean", *inputs, axes=[-1]))
    squares = graph.add("Mul", centred, centred)
    variance = graph.add("ReduceMean", squares, axes=[-1])
    raised = graph.add("Add", variance, graph.constant(about["eps"]))
    return graph.add("Div", centred, graph.add("Sqrt", raised))


def _affine(graph: Graph, about: About, inputs: Inputs) -> str:
    weight = graph.constant(graph.arrays[about["weight"]])
    scaled = graph.add("Mul", *inputs, weight)
    return graph.add("Add", scaled, graph.constant(graph.arrays[about["bias"]]))


def _conv2d(graph: Graph, about: About, inputs: Inputs) -> str:
    weight = graph.weight(about)
    bias = graph.constant(graph.arrays[about["bias"]])
    return graph.add(
        "Conv",
        *(*inputs, weight, bias),
        strides=about["stride"],
        pads=about["padding"] * 2,
    )


def _max_pool2d(graph: Graph, about: About, inputs: Inputs) -> str:
    return graph.add(
        "MaxPool",
        *inputs,
        kernel_shape=about["size"],
        strides=about["stride"],
        pads=about["padding"] * 2,
    )


def _flatten(graph: Graph, about: About, inputs: Inputs) -> str:
    return graph.add("Flatten", *inputs, axis=1)


def _add(graph: Graph, about: About, inputs: Inputs) -> str:
    return graph.add("Add", *inputs)


def _columns(graph: Graph, about: About, inputs: Inputs) -> str:
    bounds = [[0], [about["count"]], [-1]]  # start, end, axis
    return graph.add("Slice", *inputs, *(graph.constant(b, np.int64) for b in bounds))


def _mean(graph: Graph, about: About, inputs: Inputs) -> str:
    # 0 keeps the batch, -1 is what is left
    shape = graph.constant([0, about["groups"], -1], np.int64)
    parts = graph.add("Reshape", *inputs, shape)
    return graph.add("ReduceMean", parts, axes=[-1], keepdims=0)


def _join(graph: Graph, about: About, inputs: Inputs) -> str:
    features = graph.add("Unsqueeze", inputs[0], graph.constant([1], np.int64))
    if "latents" in about:
        latents = graph.arrays[about["latents"]]
        batch = graph.add("Shape", inputs[0], end=1)
        rest = graph.constant(latents.shape, np.int64)
        shape = graph.add("Concat", batch, rest, axis=0)
        vectors = graph.add("Expand", graph.constant(latents), shape)
    else:
        vectors = inputs[1]
    count = graph.add("Shape", vectors, start=1, end=2)
    one = graph.constant([1], np.int64)
    repeats = graph.add("Concat", one, count, one, axis=0)
    repeated = graph.add("Expand", features, repeats)
    return graph.add("Concat", repeated, vectors, axis=-1)


def _move(graph: Graph, about: About, inputs: Inputs) -> str:
    action, direction = inputs
    step = graph.add("Mul", direction, graph.constant(about["reach"]))
    return _clipped(graph, graph.add("Add", action, step), 1.0)


def _best(graph: Graph, about: About, inputs: Inputs) -> str:
    candidates, values = inputs
    index = graph.add("ArgMax", values, axis=1, keepdims=1)  # [n, 1, 1]
    size = graph.add("Shape", candidates, start=2)
    ones = graph.constant([1, 1], np.int64)
    shape = graph.add("Concat", ones, size, axis=0)
    indices = graph.add("Expand", index, shape)  # [n, 1, A]
    best = graph.add("GatherElements", candidates, indices, axis=1)
    return graph.add("Squeeze", best, graph.constant([1], np.int64))


def _admit(graph: Graph, about: About, inputs: Inputs) -> str:
    scores, logits = inputs
    below = graph.add("Sub", logits, graph.add("ReduceMax", logits, axes=[-1]))
    relative = graph.add("Exp", below)
    threshold = graph.constant(about["threshold"])
    is_unlikely = graph.add("Less", relative, threshold)
    return graph.add("Where", is_unlikely, graph.constant(EXCLUDED), scores)


OPERATIONS: dict[str, Callable[[Graph, About, Inputs], str]] = {
    "normalise": _normalise,
    "pixels": _pixels,
    "rounded": _rounded,
    "linear": _linear,
    "relu": _relu,
    "tanh": _tanh,
    "layer_norm": _layer_norm,
    "affine": _affine,
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "flatten": _flatten,
    "add": _add,
    "columns": _columns,
    "mean": _mean,
    "join": _join,
    "move": _move,
    "best": _best,
    "admit": _admit,
}
