"""Steps in LLVM's language.

The code of a program is a function that takes a table with the address of every
storage, and calls a function for every step. Loops tell LLVM that their iterations do
not depend on each other, so that it computes several at a time; only sums are allowed
another order.
"""

import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from curriculum.learning.native.expressions import (
    Apply,
    Array,
    Constant,
    Expression,
    Gather,
    Load,
    Number,
    Type,
    loads,
)
from curriculum.learning.native.nodes import (
    Loop,
    Node,
    Product,
    Reduction,
    Scatter,
)
from curriculum.learning.native.transforms import contiguous_dims

IN_REGISTERS: dict[Type, str] = {
    "f32": "float",
    "f64": "double",
    "i64": "i64",
    "i1": "i1",
}
IN_MEMORY = IN_REGISTERS | {"i1": "i8"}
BYTES: dict[Type, int] = {"f32": 4, "f64": 8, "i64": 8, "i1": 1}
# functions of the C library, without the suffix of their type
LIBRARY = ("exp", "log", "log1p", "tanh", "atanh", "pow", "cos", "sin")
ARITHMETIC = {"add": "add", "sub": "sub", "mul": "mul", "div": "div"}
ORDERED = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
OF_INTEGERS = {
    "lt": "slt",
    "le": "sle",
    "gt": "sgt",
    "ge": "sge",
    "eq": "eq",
    "ne": "ne",
}
BLAS = "sgemm_"
INFINITY = float("inf")
START: dict[str, float] = {
    "sum": 0.0,
    "amax": -INFINITY,
    "amin": INFINITY,
    "argmax": -INFINITY,
    "argmin": INFINITY,
}
# reductions over fewer neighbours go through memory, row by row
LONG = 16


def emit(segments: Sequence[Sequence[Node]], in_memory: Collection[int]) -> str:
    """Code with a function `segment0`, `segment1`, ... for every list of steps.

    Storages outside of `in_memory` are not written."""
    module = _Module()
    for number, nodes in enumerate(segments):
        names: list[str] = []
        for node in nodes:
            name = f"segment{number}_step{len(names)}"
            function = _Function(name, module, in_memory)
            function.emit(node)
            module.functions.append(function.text())
            names.append(name)
        calls = [f"  call void @{name}(ptr %table)" for name in names]
        head = f"define void @segment{number}(ptr %table) {{"
        module.functions.append("\n".join([head, *calls, "  ret void", "}"]))
    return module.text()


class _Module:
    """Functions, and the declarations that they need."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.declared: dict[str, str] = {}
        self.metadata: list[str] = []

    def declare(self, name: str, line: str) -> None:
        """Make a function or constant from elsewhere known."""
        self.declared[name] = line

    def integer(self, value: int) -> str:
        """A constant int of C in memory."""
        name = f"@int{value}"
        self.declare(name, f"{name} = private unnamed_addr constant i32 {value}")
        return name

    def note(self, text: str) -> str:
        """A piece of metadata."""
        self.metadata.append(text)
        return f"!{len(self.metadata) - 1}"

    def text(self) -> str:
        """The whole module."""
        numbered = [f"!{i} = {text}" for i, text in enumerate(self.metadata)]
        return "\n".join([*self.declared.values(), *self.functions, *numbered, ""])


class _Function:
    """The code of one step."""

    def __init__(self, name: str, module: _Module, in_memory: Collection[int]):
        self.name = name
        self.module = module
        self.in_memory = in_memory
        self.head: list[str] = []
        self.lines: list[str] = []
        self.count = 0
        self.bases: dict[int, str] = {}  # storage -> register with its address
        self.group = ""  # metadata of loads and stores in the innermost loop

    def text(self) -> str:
        """The function."""
        head = f"define internal void @{self.name}(ptr %table) noinline {{\nentry:"
        return "\n".join([head, *self.head, *self.lines, "  ret void", "}"])

    def emit(self, node: Node) -> None:
        """Write the code of a step."""
        if isinstance(node, Loop):
            self._loop(node)
        elif isinstance(node, Reduction):
            self._reduction(node)
        elif isinstance(node, Scatter):
            self._scatter(node)
        elif isinstance(node, Product):
            self._product(node)
        else:
            raise TypeError(f"torch computes {node}")

    # --- registers and memory ---

    def new(self, code: str) -> str:
        """Put the result of an instruction into a new register."""
        self.count += 1
        self.lines.append(f"  %r{self.count} = {code}")
        return f"%r{self.count}"

    def base(self, storage: int) -> str:
        """The address of a storage."""
        if storage not in self.bases:
            place = f"%place{storage}"
            base = f"%base{storage}"
            self.head.append(
                f"  {place} = getelementptr ptr, ptr %table, i64 {storage}"
            )
            self.head.append(f"  {base} = load ptr, ptr {place}")
            self.bases[storage] = base
        return self.bases[storage]

    def address(self, array: Array, places: Sequence[str], extra: str = "") -> str:
        """The address of an element; `extra` is added to its offset."""
        offset = str(array.offset)
        for place, stride in zip(places, array.strides, strict=True):
            if stride:
                step = self.new(f"mul nsw i64 {place}, {stride}")
                offset = self.new(f"add nsw i64 {offset}, {step}")
        if extra:
            offset = self.new(f"add nsw i64 {offset}, {extra}")
        kind = IN_MEMORY[array.type]
        base = self.base(array.storage)
        return self.new(f"getelementptr inbounds {kind}, ptr {base}, i64 {offset}")

    def read(self, array: Array, address: str) -> str:
        """Load one element."""
        kind = IN_MEMORY[array.type]
        align = f", align {BYTES[array.type]}{self.group}"
        value = self.new(f"load {kind}, ptr {address}{align}")
        if array.type == "i1":
            return self.new(f"icmp ne i8 {value}, 0")
        return value

    def write(self, array: Array, address: str, value: str) -> None:
        """Store one element."""
        if array.type == "i1":
            value = self.new(f"zext i1 {value} to i8")
        kind = IN_MEMORY[array.type]
        align = f", align {BYTES[array.type]}{self.group}"
        self.lines.append(f"  store {kind} {value}, ptr {address}{align}")

    def sum(self, type: Type, left: str, right: str, flags: str = "") -> str:
        """Add two numbers."""
        kind = IN_REGISTERS[type]
        if type == "i64":
            return self.new(f"add {kind} {left}, {right}")
        return self.new(f"fadd{flags} {kind} {left}, {right}")

    @contextmanager
    def loop(self, size: int, parallel: bool = False) -> Iterator[str]:
        """Code for every place of a dimension, in whose iterations nothing depends on
        another if `parallel`."""
        self.count += 1
        label = f"l{self.count}"
        place = f"%{label}.i"
        self.lines += [
            f"  br label %{label}.before",
            f"{label}.before:",
            f"  br label %{label}",
            f"{label}:",
            f"  {place} = phi i64 [0, %{label}.before], [{place}.next, %{label}.end]",
        ]
        group = self.module.note("distinct !{}") if parallel else ""
        if parallel:
            self.group = f", !llvm.access.group {group}"
        yield place
        self.group = ""
        note = self._loop_note(group) if parallel else ""
        self.lines += [
            f"  br label %{label}.end",
            f"{label}.end:",
            f"  {place}.next = add nuw nsw i64 {place}, 1",
            f"  {place}.more = icmp ult i64 {place}.next, {size}",
            f"  br i1 {place}.more, label %{label}, label %{label}.after{note}",
            f"{label}.after:",
        ]

    def _loop_note(self, group: str) -> str:
        """Metadata that promises independent iterations."""
        accesses = self.module.note(f'!{{!"llvm.loop.parallel_accesses", {group}}}')
        number = len(self.module.metadata)
        own = self.module.note(f"distinct !{{!{number}, {accesses}}}")
        return f", !llvm.loop {own}"

    @contextmanager
    def loops(
        self, sizes: Sequence[int], parallel: bool = False
    ) -> Iterator[list[str]]:
        """Nested loops; only the innermost one can be parallel."""
        if not sizes:
            yield []
            return
        *outer, last = sizes
        if outer:
            with self.loops(outer) as places, self.loop(last, parallel) as place:
                yield [*places, place]
        else:
            with self.loop(last, parallel) as place:
                yield [place]

    # --- steps ---

    def _loop(self, node: Loop) -> None:
        arrays = [store.target for store in node.stores]
        for store in node.stores:
            arrays += loads(store.value)
        sizes, views = contiguous_dims(node.shape, arrays)
        with self.loops(sizes, parallel=True) as places:
            formulas = _Formulas(self, places, views)
            for store in node.stores:
                formulas.store(store.target, store.value)
            for target, value in formulas.written.items():
                if target.storage in self.in_memory:
                    address = self.address(views[target], places)
                    self.write(target, address, value)

    def _reduction(self, node: Reduction) -> None:
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
            self._sum_across(node, sizes, views)
        else:
            self._reduce_along(node, sizes, views)

    def _sum_across(
        self, node: Reduction, sizes: Sequence[int], views: dict[Array, Array]
    ) -> None:
        """Add whole rows to the target."""
        target = views[node.target]
        rank = len(target.shape)
        zero = number(0, target.type)
        with self.loops(sizes[:rank], parallel=True) as places:
            self.write(target, self.address(target, places), zero)
        with (
            self.loops(sizes[: rank - 1]) as outer,
            self.loops(sizes[rank:]) as reduced,
            self.loop(sizes[rank - 1], parallel=True) as last,
        ):
            places = [*outer, last, *reduced]
            value = _Formulas(self, places, views).value(node.value)
            address = self.address(target, [*outer, last])
            old = self.read(target, address)
            self.write(target, address, self.sum(target.type, old, value))

    def _reduce_along(
        self, node: Reduction, sizes: Sequence[int], views: dict[Array, Array]
    ) -> None:
        """Compute one element of the target after the other."""
        target = views[node.target]
        rank = len(target.shape)
        kind = IN_REGISTERS[node.value.type]
        searches = node.kind.startswith("arg")
        best = "%best"
        self.head.append(f"  {best} = alloca {kind}")
        if searches:
            self.head.append("  %found = alloca i64")
            self.head.append("  %seen = alloca i64")
        with self.loops(sizes[:rank]) as outer:
            start = number(START[node.kind], node.value.type)
            self.lines.append(f"  store {kind} {start}, ptr {best}")
            if searches:
                self.lines.append("  store i64 0, ptr %found")
                self.lines.append("  store i64 0, ptr %seen")
            with self.loops(sizes[rank:], parallel=not searches) as reduced:
                formulas = _Formulas(self, [*outer, *reduced], views)
                value = formulas.value(node.value)
                self._reduce_one(node.kind, node.value.type, value)
            result = "%found" if searches else best
            kind_of_result = "i64" if searches else kind
            total = self.new(f"load {kind_of_result}, ptr {result}")
            self.write(target, self.address(target, outer), total)

    def _reduce_one(self, kind: str, type: Type, value: str) -> None:
        """Take one more number into a reduction."""
        type_name = IN_REGISTERS[type]
        old = self.new(f"load {type_name}, ptr %best")
        if kind == "sum":
            best = self.sum(type, old, value, " reassoc")
        else:
            order = "ogt" if kind.endswith("max") else "olt"
            wins = self.new(f"fcmp {order} {type_name} {value}, {old}")
            if kind.startswith("arg"):
                self._remember_place(wins)
            else:
                is_nan = self.new(f"fcmp uno {type_name} {value}, {value}")
                wins = self.new(f"or i1 {wins}, {is_nan}")
            best = self.new(f"select i1 {wins}, {type_name} {value}, {type_name} {old}")
        self.lines.append(f"  store {type_name} {best}, ptr %best")

    def _remember_place(self, wins: str) -> None:
        seen = self.new("load i64, ptr %seen")
        found = self.new("load i64, ptr %found")
        place = self.new(f"select i1 {wins}, i64 {seen}, i64 {found}")
        self.lines.append(f"  store i64 {place}, ptr %found")
        following = self.new(f"add i64 {seen}, 1")
        self.lines.append(f"  store i64 {following}, ptr %seen")

    def _scatter(self, node: Scatter) -> None:
        arrays = [*loads(node.index), *loads(node.value), node.target]
        views = {array: array for array in arrays}
        with self.loops(node.target.shape) as places:
            formulas = _Formulas(self, places, views)
            value = formulas.value(node.value)
            shift = formulas.shift(node.index, node.size, node.stride)
            address = self.address(node.target, places, shift)
            old = self.read(node.target, address)
            kind = node.target.type
            self.write(node.target, address, self.sum(kind, old, value))

    def _product(self, node: Product) -> None:
        """Call the BLAS library, which counts columns first: it computes the turned
        result from turned factors."""
        batch, rows, columns = node.target.shape
        inner = node.left.shape[-1]
        first, first_stride = _orientation(node.right)
        second, second_stride = _orientation(node.left)
        self._declare_blas()
        integer = self.module.integer
        with self.loop(batch) as place:
            addresses = [
                self.address(array, [place, "0", "0"])
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
            self.lines.append(f"  call void @{BLAS}({joined})")

    def _declare_blas(self) -> None:
        pointers = ", ".join(["ptr"] * 13)
        constant = "private unnamed_addr constant"
        self.module.declare(BLAS, f"declare void @{BLAS}({pointers})")
        self.module.declare("plain", f"@plain = {constant} i8 {ord('N')}")
        self.module.declare("turned", f"@turned = {constant} i8 {ord('T')}")
        self.module.declare("one", f"@one = {constant} float 1.0")
        self.module.declare("zero", f"@zero = {constant} float 0.0")


class _Formulas:
    """Values of formulas at one element, each computed once."""

    def __init__(
        self, function: _Function, places: Sequence[str], views: dict[Array, Array]
    ):
        self.function = function
        self.places = places
        self.views = views
        self.written: dict[Array, str] = {}  # what this iteration has computed
        self.computed: dict[int, str] = {}  # by identity of the formula
        self.loaded: dict[Array, str] = {}

    def value(self, formula: Expression) -> str:
        """The register, or the number, that holds the value."""
        if isinstance(formula, Load):
            return self._load(formula.array)
        if id(formula) not in self.computed:
            self.computed[id(formula)] = self._compute(formula)
        return self.computed[id(formula)]

    def store(self, target: Array, formula: Expression) -> None:
        """Compute an element that later formulas may read."""
        value = self.value(formula)
        if _is_kept_or_replaced(target, formula):
            zero = number(0, target.type)
            value = self.function.sum(target.type, value, zero)
        self.written[target] = value
        self.computed.clear()  # it may hold what the element was before

    def _load(self, array: Array) -> str:
        if array in self.written:
            return self.written[array]
        if array not in self.loaded:
            address = self.function.address(self.views[array], self.places)
            self.loaded[array] = self.function.read(array, address)
        return self.loaded[array]

    def _compute(self, formula: Expression) -> str:
        if isinstance(formula, Constant):
            return number(formula.value, formula.type)
        if isinstance(formula, Gather):
            shift = self.shift(formula.index, formula.size, formula.stride)
            view = self.views[formula.array]
            address = self.function.address(view, self.places, shift)
            return self.function.read(formula.array, address)
        assert isinstance(formula, Apply)
        arguments = [self.value(argument) for argument in formula.arguments]
        return self._apply(formula, arguments)

    def shift(self, index: Expression, size: int, stride: int) -> str:
        """How far an index, kept inside its dimension, lies from its begin."""
        new = self.function.new
        place = self.value(index)
        negative = new(f"icmp slt i64 {place}, 0")
        place = new(f"select i1 {negative}, i64 0, i64 {place}")
        beyond = new(f"icmp sgt i64 {place}, {size - 1}")
        place = new(f"select i1 {beyond}, i64 {size - 1}, i64 {place}")
        return new(f"mul nsw i64 {place}, {stride}")

    def _apply(self, formula: Apply, values: list[str]) -> str:
        new = self.function.new
        name = formula.function
        kind = IN_REGISTERS[formula.type]
        given = formula.arguments[0].type
        real = given in ("f32", "f64")
        if name in ARITHMETIC:
            letter = "f" if real else ""
            return new(f"{letter}{name} {kind} {values[0]}, {values[1]}")
        if name in ORDERED:
            order = f"fcmp {ORDERED[name]}" if real else f"icmp {OF_INTEGERS[name]}"
            if given == "i1":
                order = order.replace(" s", " u")
            return new(f"{order} {IN_REGISTERS[given]} {values[0]}, {values[1]}")
        if name in ("and", "or", "xor"):
            return new(f"{name} i1 {values[0]}, {values[1]}")
        if name == "select":
            chosen = f"{kind} {values[1]}, {kind} {values[2]}"
            return new(f"select i1 {values[0]}, {chosen}")
        if name == "cast":
            return self._cast(values[0], given, formula.type)
        return self._call(name, formula.type, values)

    def _call(self, name: str, type: Type, values: Sequence[str]) -> str:
        """A function of the C library, or one that processors have."""
        kind = IN_REGISTERS[type]
        if name in LIBRARY:
            symbol = name + ("f" if type == "f32" else "")
        else:
            symbol = f"llvm.{'fabs' if name == 'abs' else name}.{type}"
        kinds = ", ".join([kind] * len(values))
        effects = " nounwind willreturn memory(none)"
        declaration = f"declare {kind} @{symbol}({kinds}){effects}"
        self.function.module.declare(symbol, declaration)
        given = ", ".join(f"{kind} {value}" for value in values)
        return self.function.new(f"call {kind} @{symbol}({given})")

    def _cast(self, value: str, given: Type, wanted: Type) -> str:
        new = self.function.new
        before = IN_REGISTERS[given]
        after = IN_REGISTERS[wanted]
        if wanted == "i1":
            zero = number(0, given)
            compared = "fcmp une" if given in ("f32", "f64") else "icmp ne"
            return new(f"{compared} {before} {value}, {zero}")
        instructions = {
            ("i1", "i64"): "zext",
            ("i1", "f32"): "uitofp",
            ("i1", "f64"): "uitofp",
            ("i64", "f32"): "sitofp",
            ("i64", "f64"): "sitofp",
            ("f32", "f64"): "fpext",
            ("f64", "f32"): "fptrunc",
            ("f32", "i64"): "fptosi",
            ("f64", "i64"): "fptosi",
        }
        instruction = instructions[given, wanted]
        return new(f"{instruction} {before} {value} to {after}")


def _is_kept_or_replaced(target: Array, formula: Expression) -> bool:
    """Whether an element stays or takes another value: LLVM would store it under a
    mask, which some processors do slowly, unless 0 is added."""
    if not isinstance(formula, Apply) or formula.function != "select":
        return False
    chosen = formula.arguments[1:]
    stays = any(isinstance(one, Load) and one.array == target for one in chosen)
    return stays and target.type in ("f32", "f64")


def number(value: Number, type: Type) -> str:
    """A number as LLVM writes it: reals by their bits."""
    if type in ("i64", "i1"):
        return str(int(value)) if type == "i64" else str(bool(value)).lower()
    real = float(value)
    if type == "f32" and abs(real) != INFINITY:
        real = struct.unpack("f", struct.pack("f", real))[0]
    return "0x" + struct.pack(">d", real).hex().upper()


def _orientation(array: Array) -> tuple[str, int]:
    """Whether the BLAS library has to turn a matrix, and the distance of its rows."""
    columns = array.shape[-1]
    row_stride, column_stride = array.strides[-2:]
    if column_stride == 1 and row_stride >= columns:
        return "plain", row_stride
    return "turned", column_stride
