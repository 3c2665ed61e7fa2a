"""Machine code from LLVM's language, kept in the user's cache folder."""

import ctypes
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch

from curriculum.files import cache_folder
from curriculum.learning.native.emission import BLAS
from curriculum.learning.native.expressions import Unsupported

FOLDER = "updates"  # inside the cache folder
DIGEST_BYTES = 32  # of SHA-256, at the begin of a file in that folder
Function = Callable[[int], None]


class Machine:
    """Compiled functions, which live as long as this object."""

    def __init__(self, code: str, names: list[str]):
        import llvmlite.binding as llvm

        _initialize()
        target = _target_machine()
        host = f"{target.triple} {llvm.get_host_cpu_name()} {_features()}"
        key = "\n".join([llvm.llvm_version_info.__repr__(), host, code])
        digest = hashlib.sha256(key.encode()).hexdigest()
        kept = cache_folder() / FOLDER / f"{digest[:32]}.o"
        compiled = _read(kept)
        self.was_kept = compiled is not None
        if compiled is None:
            compiled = _compile(code, target)
            _write(kept, compiled)
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(compiled))
        self.engine.finalize_object()
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.functions: list[Function] = [
            signature(self.engine.get_function_address(name)) for name in names
        ]


@cache
def obstacle() -> str:
    """Why updates cannot be made machine code here; empty: they can."""
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError:
        return "llvmlite is missing; pip install 'planning-curriculum[fast]'"
    if not _blas_address():
        return "this build of torch does not offer its matrix product (sgemm)"
    return ""


@cache
def _initialize() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.add_symbol(BLAS, _blas_address())


@cache
def _blas_address() -> int:
    """Where torch's own single-precision matrix product begins, 0 if it is hidden."""
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        with suppress(OSError, AttributeError):
            function = getattr(ctypes.CDLL(str(folder / name)), BLAS)
            return ctypes.cast(function, ctypes.c_void_p).value or 0
    return 0


def _features() -> str:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_features().flatten()


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(),
        opt=3,
        jit=True,
        codemodel="jitdefault",
    )


def _compile(code: str, target: Any) -> bytes:
    import llvmlite.binding as llvm

    try:
        module = llvm.parse_assembly(code)
        module.verify()
    except RuntimeError as error:
        raise Unsupported(f"LLVM refuses the code ({error})") from None
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = False  # half the time to compile for the same speed
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def _read(path: Path) -> bytes | None:
    """Compiled code from the cache; None if it is not there, or damaged."""
    try:
        contents = path.read_bytes()
    except OSError:
        return None
    digest = contents[:DIGEST_BYTES]
    compiled = contents[DIGEST_BYTES:]
    return compiled if hashlib.sha256(compiled).digest() == digest else None


def _write(path: Path, compiled: bytes) -> None:
    """Keep compiled code, whole or not at all; without a place it is compiled again."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(compiled).digest() + compiled)
        os.replace(file.name, path)
