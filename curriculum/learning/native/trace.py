"""Recording of the operations that torch performs, and of the memory they work on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from curriculum.learning.native.expressions import TYPES, Array, Unsupported

# operations that leave their output as it is
WITHOUT_EFFECT = ("empty", "empty_like", "new_empty", "empty_strided")
# operations that depend on no tensor, or on Python's numbers alone: what they return is
# kept instead of repeated
CONSTANT = ("arange", "linspace", "lift_fresh")


@dataclass
class Storage:
    """A block of memory that operations read or write."""

    tensor: Tensor  # the first tensor in it that was met
    inside: bool  # whether the recorded operations made it
    written: bool = False

    @property
    def elements(self) -> int:
        """Its size."""
        return self.tensor.untyped_storage().nbytes() // self.tensor.element_size()

    @property
    def address(self) -> int:
        """Where it begins."""
        return self.tensor.untyped_storage().data_ptr()


@dataclass
class Operation:
    """One operation of torch, with arrays in the place of tensors."""

    function: Any  # torch._ops.OpOverload
    values: dict[str, Any]  # arguments by name
    outputs: list[Array]

    @property
    def name(self) -> str:
        """Such as "add", for all its variants."""
        name = self.function.overloadpacket.__name__
        return name if name.startswith("_") else name.rstrip("_")


class Change(NamedTuple):
    """The bytes of a storage from outside before and after the recorded operations."""

    before: Tensor
    after: Tensor


@dataclass
class Trace:
    """What was recorded."""

    storages: list[Storage] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    results: Any = None  # what the function returned, with arrays for tensors
    inputs: list[int] = field(default_factory=list)  # storages of the inputs
    changes: dict[int, Change] = field(default_factory=dict)  # by storage


def trace(function: Callable[[], Any], inputs: list[Tensor]) -> Trace:
    """Run a function and record its operations; memory from outside that it changes is
    as before afterwards.

    `inputs` are tensors with a storage of their own, which another call of the recorded
    code may have elsewhere. Raises `Unsupported` for what cannot be repeated."""
    recorder = _Recorder()
    found = recorder.trace
    found.inputs = [recorder.array(tensor).storage for tensor in inputs]
    try:
        with recorder:
            results = function()
        found.results = recorder.replace(results)
    finally:
        recorder.undo()
    return found


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.trace = Trace()
        self.known: dict[int, int] = {}  # handle of a torch storage -> its number
        self.before: dict[int, Tensor] = {}  # contents of storages before writes
        self.constants: set[int] = set()  # storages

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # so that torch does not import its compiler, which takes 1.5 s

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        values = _by_name(function, args, kwargs or {})
        if torch.Tag.nondeterministic_seeded in function.tags:
            raise Unsupported(f"{function} draws numbers that are not the head's noise")
        recorded = {name: self.replace(value) for name, value in values.items()}
        for tensor in _written(function, values):
            self._before_write(tensor)
        result = function(*args, **(kwargs or {}))
        if isinstance(result, int | float | complex):
            raise Unsupported(f"{function} makes a number of Python out of a tensor")
        name = function.overloadpacket.__name__
        if name in CONSTANT:
            self.constants.add(self.array(result).storage)
            return result
        is_view = self._is_view(function, result)
        outputs = [self.array(tensor, inside=True) for tensor in tensors_in(result)]
        if not is_view and name not in WITHOUT_EFFECT:
            self.trace.operations.append(Operation(function, recorded, outputs))
        return result

    def _is_view(self, function: Any, result: Any) -> bool:
        """Whether the operation only looks at memory in another way."""
        if function._schema.is_mutable:
            return False
        tensors = list(tensors_in(result))
        return all(tensor.untyped_storage()._cdata in self.known for tensor in tensors)

    def array(self, tensor: Tensor, inside: bool = False) -> Array:
        """Where a tensor lies."""
        if tensor.device.type != "cpu" or tensor.layout != torch.strided:
            raise Unsupported(f"a tensor on {tensor.device}, {tensor.layout}")
        handle = tensor.untyped_storage()._cdata
        if handle not in self.known:
            self.known[handle] = len(self.trace.storages)
            self.trace.storages.append(Storage(tensor, inside))
        kind: Any = TYPES.get(tensor.dtype, str(tensor.dtype))
        return Array(
            self.known[handle],
            int(tensor.storage_offset()),
            tuple(tensor.shape),
            tensor.stride(),
            kind,
        )

    def replace(self, value: Any) -> Any:
        """Put arrays in the place of tensors, in nested containers too."""
        if isinstance(value, Tensor):
            return self.array(value)
        if isinstance(value, list | tuple):
            return [self.replace(part) for part in value]
        if isinstance(value, dict):
            return {name: self.replace(part) for name, part in value.items()}
        return value

    def _before_write(self, tensor: Tensor) -> None:
        number = self.array(tensor).storage
        if number in self.constants:
            raise Unsupported("a constant that changes in place")
        storage = self.trace.storages[number]
        if not storage.inside and not storage.written:
            self.before[number] = whole(storage.tensor).clone()
        storage.written = True

    def undo(self) -> None:
        """Restore memory from outside."""
        for number, contents in self.before.items():
            memory = whole(self.trace.storages[number].tensor)
            self.trace.changes[number] = Change(contents, memory.clone())
            memory.copy_(contents)


def whole(tensor: Tensor) -> Tensor:
    """All bytes of a tensor's storage."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())


def _by_name(function: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operation by name, with defaults."""
    values: dict[str, Any] = {}
    for place, argument in enumerate(function._schema.arguments):
        if place < len(args):
            values[argument.name] = args[place]
        elif argument.name in kwargs:
            values[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            values[argument.name] = argument.default_value
    return values


def _written(function: Any, values: dict[str, Any]) -> Iterator[Tensor]:
    """The arguments that an operation writes to."""
    for argument in function._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tensors_in(values.get(argument.name))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors among the results or arguments of an operation."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
