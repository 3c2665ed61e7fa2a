"""How updates run: eager, as native code, compiled by torch, or captured as a CUDA
graph."""

import os
import shutil
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from curriculum.learning import native
from curriculum.learning.learner import Learner
from curriculum.learning.modules import ModuleNetwork
from curriculum.learning.networks import Stacked
from curriculum.learning.noise import Draw
from curriculum.types import Batch, Computing

Engine = Literal["auto", "torch", "native", "compile"]
Mode = Literal["eager", "native", "compiled", "captured"]
Update = Callable[[Batch, np.ndarray | None], None]
Losses = dict[str, Tensor]
# eager updates before a graph is captured, in which libraries choose their kernels
WARM_UP_UPDATES = 3
# native code takes 0.2 to 2 s, of which the user's cache saves most, and saves 0.7 ms
# or more of each update; torch's compiler takes 5 to 30 s and saves 0.2 ms or more
# (benchmarks/)
WORTHWHILE_UPDATES = {"native": 1_000, "compile": 100_000}
OF_MODE: dict[Mode, Engine] = {
    "eager": "torch",
    "native": "native",
    "compiled": "compile",
    "captured": "auto",
}


def choose(
    engine: Engine, device: str, precision: str, updates: float, pixels: bool = False
) -> tuple[Mode, str]:
    """Choose the mode for a run of so many updates, by `--engine`, and say why in one
    clause.

    `pixels`: networks begin with convolutions. Raises ValueError where the engine
    cannot run here."""
    if engine == "torch":
        return "eager", "eager (--engine torch)"
    if device == "cuda" and engine == "auto":
        return "captured", "captured once as a CUDA graph, then replayed"
    if engine == "auto":
        return _choose_for_processor(precision, updates, pixels)
    obstacle = _obstacle(engine, device, precision)
    if obstacle:
        raise ValueError(f"--engine {engine}: {obstacle}; or choose --engine torch")
    if engine == "native":
        return "native", "as native code (--engine native)"
    return "compiled", "compiled (--engine compile); the first one takes 5 to 30 s"


def _choose_for_processor(
    precision: str, updates: float, pixels: bool
) -> tuple[Mode, str]:
    """What `--engine auto` means on a CPU."""
    if updates < WORTHWHILE_UPDATES["native"]:
        return "eager", f"eager: {updates:,.0f} are too few for native code to pay off"
    obstacle = _obstacle("native", "cpu", precision)
    if not pixels and not obstacle:
        return "native", "as native code, made in the first of them"
    if pixels:
        obstacle = "convolutions take most of the time, and torch has the fastest"
    can_compile = not _obstacle("compile", "cpu", precision)
    if updates < WORTHWHILE_UPDATES["compile"] or not can_compile:
        return "eager", f"eager: {obstacle}"
    return "compiled", f"compiled ({obstacle}); the first one takes 5 to 30 s"


class Updates:
    """Updates of a learner by the engine that suits a run; `explanation` says in one
    clause how they run."""

    def __init__(self, learner: Learner, computing: Computing):
        self.learner = learner
        self.computing = computing
        self._use(computing.engine)

    def _use(self, engine: Engine) -> None:
        computing = self.computing
        self.chosen, self.explanation = choose(
            engine,
            computing.device,
            computing.precision,
            computing.updates,
            self.learner.head.pixels,
        )
        self.update = updater(self.learner, self.chosen)

    @property
    def mode(self) -> Mode:
        """How updates run now."""
        is_broken = isinstance(self.update, Native) and self.update.problem
        return "eager" if is_broken else self.chosen

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        """Take one gradient step, as `Learner.update` does."""
        self.update(batch, has_data)

    def keep(self, mode: Mode) -> None:
        """Stay with what `auto` chose before a resume: other code rounds
        differently."""
        if self.computing.engine == "auto" and mode != self.mode:
            self._use(OF_MODE[mode])
        if isinstance(self.update, Native):
            self.update.is_resumed = True


def is_emulated(precision: str, device: str) -> bool:
    """Whether the processor has no instructions for products in this precision, which
    then are many times slower than in fp32."""
    if precision == "fp32" or device != "cpu":
        return False
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") != "x86_64":
        return False
    return not (capabilities["avx512_bf16"] or capabilities["amx_bf16"])


def _obstacle(engine: Engine, device: str, precision: str) -> str:
    """Why an engine cannot run here; empty: it can."""
    if engine == "native":
        if device != "cpu":
            return f"native code runs on the CPU, not on {device}"
        if precision != "fp32":
            return f"native code computes in fp32, not in {precision}"
        return native.obstacle()
    if precision == "bf32":
        return "compiled code cannot change the precision of single products (bf32)"
    compilers = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compilers:
        return "compiling needs g++ or clang++, and neither is installed"
    return ""


def updater(learner: Learner, mode: Mode) -> Update:
    """The function to call in the place of `learner.update`."""
    modules = [
        name for name, net in learner.nets.items() if isinstance(net, ModuleNetwork)
    ]
    if modules and mode != "eager":
        warnings.warn(
            f"updates run eager: {', '.join(modules)} came as modules of torch, which "
            f"are not {mode}",
            stacklevel=2,
        )
        return Eager(learner)
    if mode == "native":
        return Native(learner)
    if mode == "compiled":
        return Compiled(learner)
    if mode == "captured":
        return Captured(learner)
    return Eager(learner)


class Eager:
    """Updates as one operation after the other."""

    def __init__(self, learner: Learner):
        self.learner = learner

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        self.learner.update(batch, has_data)


class Native:
    """Updates as one call of native code: losses, gradients, Adam and targets.

    All noise that the losses use is drawn before each call. Updates are eager from then
    on, with a warning, if torch does something that cannot be recorded, if the first
    update differs from that of torch by more than rounding does, or if the learner
    turns out to do something else in later updates: it is recorded again in the second
    one, and ever more rarely after that."""

    # largest difference between both first updates, as a share of what changed: a
    # rounding error can turn the sign of single steps of Adam
    TOLERANCE = 0.1
    # updates before those in which a learner is recorded
    CHECKED = (0, *(4**power for power in range(16)))

    def __init__(self, learner: Learner):
        self.learner = learner
        # in double precision, as torch computes with Python's numbers
        self.learning_rate = torch.zeros((), dtype=torch.float64)
        self.seed_weights = torch.ones(len(learner.seeds))
        self.programs: dict[tuple, native.Program] = {}
        self.draws: dict[tuple, list[Draw]] = {}
        self.runs: dict[tuple, int] = {}
        self.problem = ""  # why updates are eager
        self.is_resumed = False  # whether earlier updates were native, too

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        if not self.problem:
            self._prepare(has_data)
            kind = _kind_of_update(self.learner, batch)
            runs = self.runs.get(kind, 0)
            if runs in self.CHECKED:
                self.problem = self._check(kind, batch)
            if not self.problem:
                self._run(kind, batch)
                self.runs[kind] = runs + 1
                return
            self._warn()
        self.learner.update(batch, has_data)

    def _warn(self) -> None:
        text = f"updates run eager: {self.problem}"
        if self.is_resumed:
            text += "; the run no longer repeats bit for bit from its checkpoint"
        warnings.warn(text, stacklevel=3)

    def _prepare(self, has_data: np.ndarray | None) -> None:
        """Put the numbers that belong to this update where programs read them."""
        learner = self.learner
        self.learning_rate.fill_(learner.learning_rate_at(learner.updates))
        if has_data is None:
            self.seed_weights.fill_(1)
        else:
            self.seed_weights.copy_(torch.from_numpy(has_data))

    def _run(self, kind: tuple, batch: Batch) -> None:
        learner = self.learner
        noise = [learner.head.noise.draw(draw) for draw in self.draws[kind]]
        columns = [column for column in batch if column is not None]
        losses = self.programs[kind](*columns, *noise)
        # the next call overwrites them
        learner.finish_update({name: loss.clone() for name, loss in losses.items()})

    def _check(self, kind: tuple, batch: Batch) -> str:
        """Make the program for this kind of update, or compare it with what the learner
        does now; returns what is wrong. The learner does not change."""
        noise = self.learner.head.noise
        generators = noise.state()
        self.draws[kind] = _required_draws(self.learner, batch)
        numbers = [noise.draw(draw) for draw in self.draws[kind]]
        try:
            return self._record(kind, batch, numbers)
        except native.Unsupported as error:
            return str(error)
        finally:
            noise.replay([])
            noise.load(generators)

    def _record(self, kind: tuple, batch: Batch, noise: list[Tensor]) -> str:
        columns = {
            name: column
            for name, column in batch._asdict().items()
            if column is not None
        }

        def step(*tensors: Tensor) -> Losses:
            self.learner.head.noise.replay(tensors[len(columns) :])
            given: Any = dict(zip(columns, tensors, strict=False))
            return self.learner.step(
                Batch(**given), self.learning_rate, self.seed_weights
            )

        inputs = [*columns.values(), *noise]
        if kind in self.programs:
            operations = native.record(step, inputs).operations
            changed = operations != self.programs[kind].operations
            return "this learner changes from update to update" if changed else ""
        native.record(step, inputs)  # in which networks allocate what they keep
        for network in self.learner.nets.values():
            if isinstance(network, Stacked):
                # else the same gradient again, in which rounding is all that changes
                network.gradient_memory.clear()
        recording = native.Recording(step, inputs, len(self.learner.seeds))
        program = native.Program(recording)
        program(*inputs)
        difference = program.difference()
        program.undo()
        if difference > self.TOLERANCE:
            return "native code and torch disagree on this learner"
        program.forget()
        self.programs[kind] = program
        return ""


class Compiled:
    """Updates as one call of compiled code: losses, gradients, Adam and targets.

    Compiled code cannot draw from the seeds' generators, so all noise that the losses
    use is drawn before each call. Updates in which some seeds have no data are
    eager."""

    def __init__(self, learner: Learner):
        import torch._dynamo.config

        # lets a compiled function compute gradients
        torch._dynamo.config.trace_autograd_ops = True
        self.learner = learner
        self.learning_rate = torch.zeros((), device=learner.device)
        self.draws: dict[tuple, list[Draw]] = {}
        self.steps: dict[tuple, Callable[..., Losses]] = {}

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        learner = self.learner
        if has_data is not None and not has_data.all():
            learner.update(batch, has_data)
            return
        key = _kind_of_update(learner, batch)
        if key not in self.steps:
            self.draws[key] = _required_draws(learner, batch)
            self.steps[key] = _compile_step()
        noise = [learner.head.noise.draw(draw) for draw in self.draws[key]]
        self.learning_rate.fill_(learner.learning_rate_at(learner.updates))
        losses = self.steps[key](learner, batch, self.learning_rate, noise)
        learner.finish_update(losses)


def _kind_of_update(learner: Learner, batch: Batch) -> tuple:
    """What compiled code is specialised on."""
    layouts = [
        None if column is None else (column.shape, column.stride()) for column in batch
    ]
    return (learner.phase, *layouts)


@torch.no_grad()
def _required_draws(learner: Learner, batch: Batch) -> list[Draw]:
    """The draws that the losses make in this phase; the generators do not move."""
    with learner.head.noise.record() as draws:
        learner.losses(learner.normalizer.prepare(batch))
    return draws


def _compile_step() -> Callable[..., Losses]:
    """Compile `_step` anew for one learner, phase and shape of batches.

    Since each of them has its own compiled code, no call needs to check its guards.
    Torch keeps compiled code with the code object of a function, hence the copy."""
    own_step = FunctionType(_step.__code__.replace(), _step.__globals__)
    options: Any = {
        "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
        "cpp_wrapper": True,
    }
    return torch.compile(own_step, dynamic=False, fullgraph=True, options=options)


def _step(
    learner: Learner, batch: Batch, learning_rate: Tensor, noise: list[Tensor]
) -> Losses:
    learner.head.noise.replay(noise)
    losses = learner.step(batch, learning_rate)
    unused = learner.head.noise.replaying
    assert not unused, "the losses used less noise than was drawn for them"
    return losses


class Captured:
    """Updates as replays of CUDA graphs: everything from a batch to moved weights is
    one launch.

    There is a graph for each phase of the learner's cycle, and another one for updates
    in which some seeds have no data."""

    def __init__(self, learner: Learner):
        self.learner = learner
        self.eager_updates = 0
        self.graphs: dict[tuple[int, bool], torch.cuda.CUDAGraph] = {}
        self.losses: dict[tuple[int, bool], Losses] = {}
        # what graphs read, at fixed addresses
        self.batch: Batch | None = None
        self.learning_rate = torch.zeros((), device=learner.device)
        self.seed_weights = torch.ones(len(learner.seeds), device=learner.device)

    def __call__(self, batch: Batch, has_data: np.ndarray | None = None) -> None:
        learner = self.learner
        if self.eager_updates < WARM_UP_UPDATES * learner.cycle:
            self.eager_updates += 1
            learner.update(batch, has_data)
            return
        self._fill(batch)
        self.learning_rate.fill_(learner.learning_rate_at(learner.updates))
        masked = has_data is not None and not has_data.all()
        if masked:
            mask = torch.as_tensor(has_data, dtype=torch.float32)
            self.seed_weights.copy_(mask)
        key = (learner.phase, masked)
        if key not in self.graphs:
            self._capture(key)
        self.graphs[key].replay()
        learner.finish_update(self.losses[key])

    def _fill(self, batch: Batch) -> None:
        """Copy a batch to where the graphs read it."""
        if self.batch is None:
            columns = [None if column is None else column.clone() for column in batch]
            self.batch = Batch(*columns)  # type: ignore[arg-type]
        for own, given in zip(self.batch, batch, strict=True):
            if own is not None and given is not None:
                own.copy_(given)

    def _capture(self, key: tuple[int, bool]) -> None:
        graph = torch.cuda.CUDAGraph()
        for generator in self.learner.head.noise.generators:
            graph.register_generator_state(generator)
        assert self.batch is not None
        _, masked = key
        seed_weights = self.seed_weights if masked else None
        with torch.cuda.graph(graph):
            losses = self.learner.step(self.batch, self.learning_rate, seed_weights)
        self.graphs[key] = graph
        self.losses[key] = losses
