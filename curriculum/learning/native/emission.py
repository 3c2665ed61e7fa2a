"""Steps in LLVM's language.

The code of a program is a function that takes a table with the address of every
storage, and calls a function for every step. Loops tell LLVM that their iterations do
not depend on each other, so that it computes several at a time; only sums are allowed
another order.
"""

from collections.abc import Collection, Sequence

from curriculum.learning.native.assembly import (
    IN_REGISTERS,
    INFINITY,
    Function,
    Module,
    number,
)
from curriculum.learning.native.elements import Elements
from curriculum.learning.native.expressions import Array, Type, loads
from curriculum.learning.native.nodes import (
    Loop,
    Node,
    Product,
    Reduction,
    Scatter,
)
from curriculum.learning.native.partition import Group
from curriculum.learning.native.transforms import contiguous_dims

BLAS = "sgemm_"
START: dict[str, float] = {
    "sum": 0.0,
    "amax": -INFINITY,
    "amin": INFINITY,
    "argmax": -INFINITY,
    "argmin": INFINITY,
}
# reductions over fewer neighbours go through memory, row by row
LONG = 16


def emit(segments: Sequence[Sequence[Group]], in_memory: Collection[int]) -> str:
    """Code with a function `segment0`, `segment1`, ... for every list of steps.

    Storages outside of `in_memory` are not written."""
    module = Module()
    for place, groups in enumerate(segments):
        segment = Function(f"segment{place}", module)
        for group in groups:
            names = []
            for node in group.nodes:
                name = f"segment{place}_step{len(module.functions)}"
                step = Function(name, module)
                _emit_step(step, node, in_memory)
                module.functions.append(step.text())
                names.append(name)
            with segment.loop(group.parts) as part:
                for name in names:
                    segment.lines.append(f"  call void @{name}(ptr %table, i64 {part})")
        module.functions.append(segment.text(is_step=False))
    return module.text()


def _emit_step(function: Function, node: Node, in_memory: Collection[int]) -> None:
    """Write the code of a step."""
    if isinstance(node, Loop):
        _loop(function, node, in_memory)
    elif isinstance(node, Reduction):
        _reduction(function, node)
    elif isinstance(node, Scatter):
        _scatter(function, node)
    elif isinstance(node, Product):
        _product(function, node)
    else:
        raise TypeError(f"torch computes {node}")


def _loop(function: Function, node: Loop, in_memory: Collection[int]) -> None:
    arrays = [store.target for store in node.stores]
    for store in node.stores:
        arrays += loads(store.value)
    sizes, views = contiguous_dims(node.shape, arrays)
    with function.loops(sizes, parallel=True) as places:
        formulas = Elements(function, places, views)
        for store in node.stores:
            formulas.store(store.target, store.value)
        for target, value in formulas.written.items():
            if target.storage in in_memory:
                address = function.address(views[target], places)
                function.write(target, address, value)


def _reduction(function: Function, node: Reduction) -> None:
    shape = (*node.target.shape, *node.reduced)
    arrays = loads(node.value)
    rank = len(node.target.shape)
    sizes, views = contiguous_dims(shape, arrays, node.target, rank)
    target = views[node.target]
    rank = len(target.shape)
    along = all(views[array].strides[-1] in (0, 1) for array in arrays)
    across = rank > 0 and any(views[a].strides[rank - 1] == 1 for a in arrays)
    long = along and sizes[-1] >= LONG
    if node.kind == "sum" and across and target.strides[-1] == 1 and not long:
        _sum_across(function, node, sizes, views)
    else:
        _reduce_along(function, node, sizes, views)


def _sum_across(
    function: Function, node: Reduction, sizes: Sequence[int], views: dict[Array, Array]
) -> None:
    """Add whole rows to the target."""
    target = views[node.target]
    rank = len(target.shape)
    zero = number(0, target.type)
    with function.loops(sizes[:rank], parallel=True) as places:
        function.write(target, function.address(target, places), zero)
    with (
        function.loops(sizes[: rank - 1]) as outer,
        function.loops(sizes[rank:]) as reduced,
        function.loop(sizes[rank - 1], parallel=True) as last,
    ):
        places = [*outer, last, *reduced]
        value = Elements(function, places, views).value(node.value)
        address = function.address(target, [*outer, last])
        old = function.read(target, address)
        function.write(target, address, function.sum(target.type, old, value))


def _reduce_along(
    function: Function, node: Reduction, sizes: Sequence[int], views: dict[Array, Array]
) -> None:
    """Compute one element of the target after the other."""
    target = views[node.target]
    rank = len(target.shape)
    kind = IN_REGISTERS[node.value.type]
    searches = node.kind.startswith("arg")
    best = "%best"
    function.head.append(f"  {best} = alloca {kind}")
    if searches:
        function.head.append("  %found = alloca i64")
        function.head.append("  %seen = alloca i64")
    with function.loops(sizes[:rank]) as outer:
        start = number(START[node.kind], node.value.type)
        function.lines.append(f"  store {kind} {start}, ptr {best}")
        if searches:
            function.lines.append("  store i64 0, ptr %found")
            function.lines.append("  store i64 0, ptr %seen")
        with function.loops(sizes[rank:], parallel=not searches) as reduced:
            formulas = Elements(function, [*outer, *reduced], views)
            value = formulas.value(node.value)
            _reduce_one(function, node.kind, node.value.type, value)
        result = "%found" if searches else best
        kind_of_result = "i64" if searches else kind
        total = function.new(f"load {kind_of_result}, ptr {result}")
        function.write(target, function.address(target, outer), total)


def _reduce_one(function: Function, kind: str, type: Type, value: str) -> None:
    """Take one more number into a reduction."""
    type_name = IN_REGISTERS[type]
    old = function.new(f"load {type_name}, ptr %best")
    if kind == "sum":
        best = function.sum(type, old, value, " reassoc")
    else:
        order = "ogt" if kind.endswith("max") else "olt"
        wins = function.new(f"fcmp {order} {type_name} {value}, {old}")
        if kind.startswith("arg"):
            _remember_place(function, wins)
        else:
            is_nan = function.new(f"fcmp uno {type_name} {value}, {value}")
            wins = function.new(f"or i1 {wins}, {is_nan}")
        best = function.new(f"select i1 {wins}, {type_name} {value}, {type_name} {old}")
    function.lines.append(f"  store {type_name} {best}, ptr %best")


def _remember_place(function: Function, wins: str) -> None:
    seen = function.new("load i64, ptr %seen")
    found = function.new("load i64, ptr %found")
    place = function.new(f"select i1 {wins}, i64 {seen}, i64 {found}")
    function.lines.append(f"  store i64 {place}, ptr %found")
    following = function.new(f"add i64 {seen}, 1")
    function.lines.append(f"  store i64 {following}, ptr %seen")


def _scatter(function: Function, node: Scatter) -> None:
    arrays = [*loads(node.index), *loads(node.value), node.target]
    views = {array: array for array in arrays}
    with function.loops(node.target.shape) as places:
        formulas = Elements(function, places, views)
        value = formulas.value(node.value)
        shift = formulas.shift(node.index, node.size, node.stride)
        address = function.address(node.target, places, shift)
        old = function.read(node.target, address)
        kind = node.target.type
        function.write(node.target, address, function.sum(kind, old, value))


def _product(function: Function, node: Product) -> None:
    """Call the BLAS library, which counts columns first: it computes the turned
    result from turned factors."""
    batch, rows, columns = node.target.shape
    inner = node.left.shape[-1]
    first, first_stride = _orientation(node.right)
    second, second_stride = _orientation(node.left)
    _declare_blas(function)
    integer = function.module.integer
    with function.loop(batch) as place:
        addresses = [
            function.address(array, [place, "0", "0"])
            for array in (node.right, node.left, node.target)
        ]
        arguments = (
            *(f"@{first}", f"@{second}"),
            *(integer(columns), integer(rows), integer(inner), "@one"),
            *(addresses[0], integer(first_stride)),
            *(addresses[1], integer(second_stride)),
            *("@zero", addresses[2], integer(node.target.strides[-2])),
        )
        joined = ", ".join(f"ptr {argument}" for argument in arguments)
        function.lines.append(f"  call void @{BLAS}({joined})")


def _declare_blas(function: Function) -> None:
    pointers = ", ".join(["ptr"] * 13)
    constant = "private unnamed_addr constant"
    function.module.declare(BLAS, f"declare void @{BLAS}({pointers})")
    function.module.declare("plain", f"@plain = {constant} i8 {ord('N')}")
    function.module.declare("turned", f"@turned = {constant} i8 {ord('T')}")
    function.module.declare("one", f"@one = {constant} float 1.0")
    function.module.declare("zero", f"@zero = {constant} float 0.0")


def _orientation(array: Array) -> tuple[str, int]:
    """Whether the BLAS library has to turn a matrix, and the distance of its rows."""
    columns = array.shape[-1]
    row_stride, column_stride = array.strides[-2:]
    if column_stride == 1 and row_stride >= columns:
        return "plain", row_stride
    return "turned", column_stride
