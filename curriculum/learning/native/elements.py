"""The values of formulas at one place of a loop."""

from collections.abc import Sequence

from curriculum.learning.native.assembly import IN_REGISTERS, Function, number
from curriculum.learning.native.expressions import (
    Apply,
    Array,
    Constant,
    Expression,
    Gather,
    Load,
    Type,
)

# functions of the C library, without the suffix of their type
LIBRARY = ("exp", "log", "log1p", "tanh", "atanh", "pow", "cos", "sin")
ARITHMETIC = ("add", "sub", "mul", "div")
ORDERED = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
OF_INTEGERS = {
    "lt": "slt",
    "le": "sle",
    "gt": "sgt",
    "ge": "sge",
    "eq": "eq",
    "ne": "ne",
}


class Elements:
    """Values of formulas at one element, each computed once."""

    def __init__(
        self, function: Function, places: Sequence[str], views: dict[Array, Array]
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
