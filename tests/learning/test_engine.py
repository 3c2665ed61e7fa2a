"""How updates run: the choice is a function of the run's configuration, and compiled
updates are the same updates."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from curriculum.learning import native
from curriculum.learning.engine import Compiled, choose, is_emulated
from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

CAN_COMPILE = shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(
    not CAN_COMPILE, reason="torch.compile needs g++ or clang++"
)


def make(name: str, box: bool, **settings) -> Learner:
    edge = np.full(4, np.inf, np.float32)
    spec = Spec((4,), "float32", -edge, edge, 0 if box else 3, 2 if box else 0)
    return plugins.make("learner", name, hidden=(16, 16), **settings).setup(
        spec, (0, 1)
    )


def batches(box: bool, n: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(n):
        uniform = torch.rand(2, 8, 2, generator=generator) * 2 - 1
        action = uniform if box else torch.randint(3, (2, 8), generator=generator)
        obs, next_obs = torch.randn(2, 2, 8, 4, generator=generator)
        reward, returns = torch.randn(2, 2, 8, generator=generator)
        window = torch.stack([action.roll(-step, 1) for step in range(5)], 2)
        drawn.append(
            Batch(
                *(obs, action, reward, torch.full((2, 8), 0.9), next_obs, returns),
                label=action.flip(1),
                has_label=(returns > 0).float(),
                action_window=window,
                window_taken=torch.ones(2, 8, 5),
            )
        )
    return drawn


@needs_compiler
@pytest.mark.parametrize(
    ("name", "box"),
    [("dqn", False), ("td3bc", True)],
)
@pytest.mark.slow
def test_compiled_updates_are_the_updates_as_written(name: str, box: bool):
    settings = {"schedule": "linear", "schedule_updates": 10, "grad_clip": 1.0}
    written, compiled = make(name, box, **settings), make(name, box, **settings)
    update = Compiled(compiled)
    for batch in batches(box, 4):
        written.update(batch)
        update(batch)
        for network, loss in written.last_losses.items():
            torch.testing.assert_close(
                compiled.last_losses[network],
                loss,
                atol=1e-5,
                rtol=1e-4,
                equal_nan=True,
            )
    assert compiled.updates == 4
    for mine, theirs in zip(
        written.weights.members.values(), compiled.weights.members.values(), strict=True
    ):
        torch.testing.assert_close(mine.vector, theirs.vector, atol=1e-4, rtol=1e-3)
    # the same draws were used
    states = [learner.head.noise.state() for learner in (written, compiled)]
    assert torch.equal(states[0]["generators"], states[1]["generators"])


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("name", plugins.names("learner"))
def test_every_learner_compiles(name: str, box: bool):
    if ("box" if box else "discrete") not in plugins.make("learner", name).kinds:
        pytest.skip(f"{name} does not take these actions")
    written, compiled = make(name, box), make(name, box)
    update = Compiled(compiled)
    for batch in batches(box, 3):
        written.update(batch)
        update(batch)
    for network, loss in written.last_losses.items():
        torch.testing.assert_close(
            compiled.last_losses[network], loss, atol=1e-3, rtol=1e-3, equal_nan=True
        )


@pytest.mark.slow
@needs_compiler
def test_a_compiled_run_resumes_exactly():
    data = batches(True, 4)
    through, first, second = (make("td3bc", True) for _ in range(3))
    for learner, part in ((through, data), (first, data[:3])):
        update = Compiled(learner)
        for batch in part:
            update(batch)
    second.load(first.state())
    Compiled(second)(data[3])
    for mine, theirs in zip(
        through.weights.members.values(), second.weights.members.values(), strict=True
    ):
        assert torch.equal(mine.vector, theirs.vector)


def test_auto_chooses_native_code_where_it_pays():
    assert choose("auto", "cpu", "fp32", 500)[0] == "eager"
    assert choose("auto", "cpu", "fp32", 5_000)[0] == "native"
    assert choose("auto", "cpu", "fp32", 5_000, pixels=True)[0] == "eager"
    assert choose("auto", "cpu", "bf32", 5_000)[0] == "eager"
    assert choose("torch", "cpu", "fp32", 1_000_000)[0] == "eager"
    assert choose("auto", "cuda", "fp32", 10)[0] == "captured"


def test_auto_compiles_long_runs_where_native_code_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
):
    long = "compiled" if CAN_COMPILE else "eager"
    assert choose("auto", "cpu", "fp32", 1_000_000, pixels=True)[0] == long
    monkeypatch.setattr(native, "obstacle", lambda: "llvmlite is missing")
    assert choose("auto", "cpu", "fp32", 1_000_000)[0] == long
    mode, explanation = choose("auto", "cpu", "fp32", 50_000)
    assert mode == "eager"
    assert "llvmlite is missing" in explanation
    with pytest.raises(ValueError, match="llvmlite is missing; or choose"):
        choose("native", "cpu", "fp32", 50_000)


def test_what_cannot_be_compiled_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with pytest.raises(ValueError, match="choose --engine torch"):
        choose("compile", "cpu", "bf32", 10)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match="g\\+\\+"):
        choose("compile", "cpu", "fp32", 10)
    assert choose("auto", "cpu", "fp32", 1_000_000, pixels=True)[0] == "eager"


@pytest.mark.parametrize(
    ("precision", "device", "instruction", "emulated"),
    [
        ("bf16", "cpu", "", True),
        ("bf16", "cpu", "avx512_bf16", False),
        ("bf32", "cpu", "amx_bf16", False),
        ("fp32", "cpu", "", False),
        ("bf16", "cuda", "", False),
    ],
)
def test_precision_without_instructions_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    device: str,
    instruction: str,
    emulated: bool,
):
    found = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}
    if instruction:
        found[instruction] = True
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert is_emulated(precision, device) == emulated
