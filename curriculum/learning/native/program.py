"""A recorded function as a program that works on the same memory."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum.learning.native.emission import emit
from curriculum.learning.native.expressions import TYPES, Array
from curriculum.learning.native.fusion import fuse
from curriculum.learning.native.lowering import lower
from curriculum.learning.native.machine import Machine
from curriculum.learning.native.memory import Arena
from curriculum.learning.native.nodes import Call, arrays_in
from curriculum.learning.native.partition import Group, group
from curriculum.learning.native.trace import Trace, tensors_in, trace, whole

DTYPES = {name: dtype for dtype, name in TYPES.items()}


def record(function: Callable[..., Any], inputs: Sequence[Tensor]) -> Trace:
    """What a function does; memory from outside that it changes is as before
    afterwards.

    Raises `Unsupported` for what cannot be repeated."""
    own = [_own_storage(tensor) for tensor in inputs]
    return trace(lambda: function(*own), own)


class Recording:
    """A function of tensors as a list of steps, and their code."""

    def __init__(
        self, function: Callable[..., Any], inputs: Sequence[Tensor], seeds: int = 1
    ):
        """`seeds`: the size of the first dimension of most tensors."""
        self.trace = record(function, inputs)
        self.results = {array.storage for array in arrays_in(self.trace.results)}
        nodes = lower(self.trace)
        storages = enumerate(self.trace.storages)
        outside = {number for number, storage in storages if not storage.inside}
        self.steps = fuse(nodes, self.results | outside)
        self.in_memory = self.results | outside
        for node in self.steps:
            self.in_memory |= {array.storage for array in node.read}
            if isinstance(node, Call):
                self.in_memory |= {array.storage for array in node.written}
        self.groups = group(self.steps, seeds, self.results | outside)
        self.segments: list[list[Group]] = [[]]  # between steps that torch takes
        self.calls: list[Call] = []
        for own in self.groups:
            [first, *_] = own.nodes
            if isinstance(first, Call):
                self.calls.append(first)
                self.segments.append([])
            else:
                self.segments[-1].append(own)
        self.code = emit(self.segments, self.in_memory)


class Program:
    """Machine code that does what was recorded.

    It works on the very tensors that the function read and changed, while the inputs of
    every call may be others of the same layout. Results lie in memory that the next
    call overwrites."""

    def __init__(self, recording: Recording):
        self.operations = recording.trace.operations
        self.storages = recording.trace.storages
        self.changes = recording.trace.changes
        self.inputs = dict.fromkeys(recording.trace.inputs, torch.empty(0))
        self.arena = Arena(
            self.storages, recording.groups, recording.in_memory, recording.results
        )
        self.table = self._table()
        names = [f"segment{i}" for i in range(len(recording.segments))]
        self.machine = Machine(recording.code, names)
        first, *others = self.machine.functions
        self.steps: list[Callable[[int], None]] = [first]
        for call, function in zip(recording.calls, others, strict=True):
            self.steps += [self._call(call), function]
        self.results = self._with_tensors(recording.trace.results)

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the program."""
        for storage, tensor in zip(self.inputs, inputs, strict=True):
            self.table[storage] = tensor.data_ptr()
            self.inputs[storage] = tensor
        for step in self.steps:
            step(self.address)
        return self.results

    def difference(self) -> float:
        """How far memory from outside is from what torch had made of it while it was
        recorded, in relation to what torch had changed; 1: the code does something
        else.

        Means something after a first call with the same inputs and noise."""
        worst = 0.0
        for number, change in self.changes.items():
            tensor = self.storages[number].tensor
            if not tensor.is_floating_point():
                continue
            parts = (change.before, change.after, whole(tensor))
            before, after, now = (
                torch.nan_to_num(part.view(tensor.dtype), 0, 0, 0) for part in parts
            )
            size = (after - before).norm() + 1e-5 * after.norm() + 1e-30
            worst = max(worst, float((now - after).norm() / size))
        return worst

    def undo(self) -> None:
        """Restore memory from outside as it was before the recording."""
        for number, change in self.changes.items():
            whole(self.storages[number].tensor).copy_(change.before)

    def forget(self) -> None:
        """Free the memory that `difference` and `undo` need."""
        self.changes = {}

    def _table(self) -> np.ndarray:
        """The address of every storage."""
        table = np.zeros(len(self.storages), np.int64)
        for number, storage in enumerate(self.storages):
            if number in self.arena.starts:
                table[number] = self.arena.part(number).data_ptr()
                storage.tensor = self.arena.part(number)  # frees the recorded one
            elif storage.inside:
                storage.tensor = torch.empty(0)  # nobody needs it
            else:
                table[number] = storage.address
        self.address = table.ctypes.data
        return table

    def _call(self, call: Call) -> Callable[[int], None]:
        """A step that torch computes."""
        operation = call.operation

        def step(address: int) -> None:
            results = operation.function(**self._with_tensors(operation.values))
            if not operation.function._schema.is_mutable:
                found = tensors_in(results)
                for array, result in zip(operation.outputs, found, strict=True):
                    self._tensor(array).copy_(result)

        return step

    def _with_tensors(self, value: Any) -> Any:
        """Put tensors in the place of arrays, in nested containers too."""
        if isinstance(value, Array):
            return self._tensor(value)
        if isinstance(value, list):
            return [self._with_tensors(part) for part in value]
        if isinstance(value, dict):
            return {name: self._with_tensors(part) for name, part in value.items()}
        return value

    def _tensor(self, array: Array) -> Tensor:
        if array.storage in self.inputs:
            tensor = self.inputs[array.storage]
            offset = tensor.storage_offset() + array.offset
            return tensor.as_strided(array.shape, array.strides, offset)
        if array.storage in self.arena.starts:
            memory = self.arena.part(array.storage)
        else:
            memory = whole(self.storages[array.storage].tensor)
        dtype: Any = DTYPES.get(array.type) or getattr(torch, array.type[6:])
        elements = memory.view(dtype)
        offset = elements.storage_offset() + array.offset
        return elements.as_strided(array.shape, array.strides, offset)


def _own_storage(tensor: Tensor) -> Tensor:
    """A copy of the same layout that shares its memory with nothing."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(
        tensor
    )
