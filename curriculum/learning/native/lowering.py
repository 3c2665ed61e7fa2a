"""Operations of torch as loops, reductions and matrix products."""

from typing import Any

from curriculum.learning.native.builder import Builder, load
from curriculum.learning.native.expressions import (
    Array,
    Expression,
    Unsupported,
    cast,
)
from curriculum.learning.native.formulas import FORMULAS
from curriculum.learning.native.nodes import Call, Node
from curriculum.learning.native.operations import HANDLERS
from curriculum.learning.native.trace import Operation, Trace

# arguments that name where the result goes: `outputs` has it
TARGETS = ("out", "grad_input")
# and those that do not change numbers
IGNORED = (
    *("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"),
    *("requires_grad", "generator", "half_to_float", "sparse_grad"),
)


def lower(trace: Trace) -> list[Node]:
    """Turn recorded operations into steps; storages that these need in between are
    added to the trace."""
    steps = Builder(trace.storages)
    for operation in trace.operations:
        _add(steps, operation)
    return steps.nodes


def _add(steps: Builder, operation: Operation) -> None:
    """Append the steps of one operation."""
    done = len(steps.nodes)
    try:
        if operation.name in FORMULAS:
            _formula(steps, operation)
        elif operation.name in HANDLERS:
            HANDLERS[operation.name](steps, operation)
        else:
            raise Unsupported(operation.name)
    except (Unsupported, TypeError, KeyError):  # or a variant with other arguments
        del steps.nodes[done:]
        steps.append(Call(operation))


def _formula(steps: Builder, operation: Operation) -> None:
    (out,) = operation.outputs
    arguments = {}
    for name, value in operation.values.items():
        if name in TARGETS or name in IGNORED:
            continue
        if isinstance(value, Array):
            value = load(value.expand(out.shape))
        arguments[name] = value
    if operation.name == "_to_copy" and out.type == "i1":
        raise Unsupported("numbers as truth values")
    value = FORMULAS[operation.name](**arguments)
    steps.store(out, _as_expression(value, out))


def _as_expression(value: Any, out: Array) -> Expression:
    return value if isinstance(value, Expression) else cast(value, out.type)
