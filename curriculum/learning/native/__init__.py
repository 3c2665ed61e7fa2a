"""Updates as machine code, without a compiler on the machine.

The operations of one update are recorded once, as torch performs them (`trace`). Each
becomes loops or a matrix product over the same memory (`lowering`, with `formulas` and
`operations`), loops that follow one another are joined (`fusion`), and seeds are taken
one after the other (`partition`). The result is written in LLVM's language (`emission`)
and compiled by llvmlite (`machine`), which keeps it in the user's cache folder. An
operation without such a form is left to torch. A recorded update holds for one layout
of batches: every number that Python computed for it, such as a discount, is part of the
code.

    recording = Recording(function, inputs)  # runs it once, and changes nothing
    program = Program(recording)
    results = program(*other_inputs)
"""

from curriculum.learning.native.expressions import Unsupported
from curriculum.learning.native.machine import obstacle
from curriculum.learning.native.program import Program, Recording, record

__all__ = ["Program", "Recording", "Unsupported", "obstacle", "record"]
