"""LLVM's language: registers, memory, loops."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from curriculum.learning.native.expressions import Array, Number, Type

IN_REGISTERS: dict[Type, str] = {
    "f32": "float",
    "f64": "double",
    "i64": "i64",
    "i1": "i1",
}
IN_MEMORY = IN_REGISTERS | {"i1": "i8"}
BYTES: dict[Type, int] = {"f32": 4, "f64": 8, "i64": 8, "i1": 1}
INFINITY = float("inf")


class Module:
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


class Function:
    """The code of one step."""

    def __init__(self, name: str, module: Module):
        self.name = name
        self.module = module
        self.head: list[str] = []
        self.lines: list[str] = []
        self.count = 0
        self.bases: dict[int, str] = {}  # storage -> register with its address
        self.group = ""  # metadata of loads and stores in the innermost loop

    def text(self, is_step: bool = True) -> str:
        """The function; one that is no step can be called from outside."""
        name = f"@{self.name}(ptr %table"
        head = f"define void {name}) {{"
        if is_step:
            head = f"define internal void {name}, i64 %part) noinline {{"
        return "\n".join([head, "entry:", *self.head, *self.lines, "  ret void", "}"])

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
        if array.step:
            step = self.new(f"mul nsw i64 %part, {array.step}")
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


def number(value: Number, type: Type) -> str:
    """A number as LLVM writes it: reals by their bits."""
    if type in ("i64", "i1"):
        return str(int(value)) if type == "i64" else str(bool(value)).lower()
    real = float(value)
    if type == "f32" and abs(real) != INFINITY:
        real = struct.unpack("f", struct.pack("f", real))[0]
    return "0x" + struct.pack(">d", real).hex().upper()
