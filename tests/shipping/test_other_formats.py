"""Policies as C headers and as ONNX models: what they compute, and what is refused."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curriculum.learning.normalizer import Normalize
from curriculum.setting import plugins
from curriculum.shipping import c_header, onnx_model
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import program_of
from curriculum.shipping.policy_file import save
from curriculum.shipping.standalone import OPERATIONS, load_policy
from curriculum.types import Spec

has_compiler = any(map(which, c_header.COMPILERS))
with_compiler = pytest.mark.skipif(
    not has_compiler, reason="this machine has no C compiler, of any version"
)
DISCRETE = {"kind": "discrete", "n": 3, "start": 0}
BOX = {
    "kind": "box",
    "shape": [3],
    "dtype": "float32",
    "low": [-1.0, 0.0, -2.0],
    "high": [1.0, 4.0, 2.0],
}
# runs policy_act on every observation of its input
MAIN_OF_BOX = """#include <stdio.h>
#include "policy.h"
int main(void) {
  float observation[POLICY_INPUTS], action[POLICY_OUTPUTS];
  while (fread(observation, sizeof observation, 1, stdin) == 1) {
    policy_act(observation, action);
    fwrite(action, sizeof action, 1, stdout);
  }
  return 0;
}
"""
MAIN_OF_DISCRETE = """#include <stdio.h>
#include "policy.h"
int main(void) {
  float observation[POLICY_INPUTS];
  while (fread(observation, sizeof observation, 1, stdin) == 1)
    printf("%d ", policy_act(observation));
  return 0;
}
"""


def policy_of(
    *widths: int, norm: bool = False, tanh: bool = False, limit: float = 0.0
) -> nn.Sequential:
    """A random policy: inputs, hidden widths, outputs."""
    torch.manual_seed(0)
    mean = torch.randn(widths[0])
    layers: list[nn.Module] = [Normalize(mean, torch.rand(widths[0]) + 0.5, limit)]
    for inputs, outputs in pairwise(widths):
        layers.append(nn.Linear(inputs, outputs))
        if norm:
            layers.append(nn.LayerNorm(outputs))
        layers.append(nn.ReLU())
    layers = layers[: -2 if norm else -1]
    return nn.Sequential(*layers, *([nn.Tanh()] if tanh else []))


def contract(width: int, action: dict[str, Any], dtype: str = "float32") -> dict:
    return {"observation": {"shape": [width], "dtype": dtype}, "action": action}


def observations(count: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, width)).astype(np.float32) * 3


def outputs(policy: nn.Module, obs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return policy(torch.from_numpy(obs)).numpy()


def compiled(folder: Path, main: str, given: bytes) -> bytes:
    """What a C program with the header of a folder prints, without a warning."""
    (folder / "main.c").write_text(main)
    words = "-std=c99 -Wall -Wextra -Wpedantic -Werror -O2 -o main main.c -lm"
    compiler = next(filter(None, map(which, c_header.COMPILERS)))
    subprocess.run([compiler, *words.split()], cwd=folder, check=True)
    return subprocess.run(
        [folder / "main"], input=given, capture_output=True, check=True
    ).stdout


# --- C ---


@with_compiler
@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (policy_of(6, 128, 128, 3), DISCRETE),  # as of the gridworld
        (policy_of(11, 256, 256, 3, tanh=True), BOX),  # as of Hopper
        (policy_of(6, 32, 32, 3, norm=True, limit=2.0), DISCRETE),
    ],
)
def test_a_c_header_computes_what_the_policy_computes(
    tmp_path: Path, policy: nn.Sequential, action: dict[str, Any]
):
    width = policy.get_buffer("0.mean").numel()
    path = tmp_path / "policy.h"
    c_header.write(program_of(policy), contract(width, action), path)
    obs = observations(1_000, width)
    expected = outputs(policy, obs)
    np.testing.assert_allclose(c_header.scores(path, obs), expected, atol=1e-5)


@with_compiler
def test_actions_of_a_c_header_are_those_of_the_world(tmp_path: Path):
    obs = observations(100, 4)
    policy = policy_of(4, 8, 3, tanh=True)
    path = tmp_path / "policy.h"
    c_header.write(program_of(policy), contract(4, BOX), path)
    printed = compiled(tmp_path, MAIN_OF_BOX, obs.tobytes())
    action = np.frombuffer(printed, np.float32).reshape(-1, 3)
    # from [-1, 1] to [-1, 1], [0, 4] and [-2, 2]
    expected = outputs(policy, obs) * [1, 2, 2] + [0, 2, 0]
    np.testing.assert_allclose(action, expected, atol=1e-5)
    policy = policy_of(4, 8, 3)
    c_header.write(program_of(policy), contract(4, DISCRETE | {"start": -7}), path)
    printed = compiled(tmp_path, MAIN_OF_DISCRETE, obs.tobytes())
    indices = [int(word) + 7 for word in printed.split()]
    assert indices == outputs(policy, obs).argmax(-1).tolist()


def test_a_c_header_of_another_kind_is_refused(tmp_path: Path):
    spec = Spec((4,), "float32", np.zeros(4), np.ones(4), actions=3)
    policy = plugins.make("learner", "bcq", hidden=(8,)).setup(spec, (0,)).export(0)
    with pytest.raises(Unsupported, match=r"one needs admit: export it as \.cur or"):
        c_header.write(program_of(policy), contract(4, DISCRETE), tmp_path / "p.h")
    assert list(tmp_path.iterdir()) == []


def test_a_c_header_without_a_compiler_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(c_header, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(ValueError, match=r"there is no C compiler; install one of no-"):
        c_header.scores(tmp_path / "policy.h", observations(1, 4))


@with_compiler
def test_a_broken_header_says_what_the_compiler_says(tmp_path: Path):
    path = tmp_path / "policy.h"
    path.write_text("#error this is no policy\n")
    with pytest.raises(ValueError, match=r"failed: .*this is no policy"):
        c_header.scores(path, observations(1, 4))


# --- ONNX ---


def test_every_operation_has_a_form_in_onnx():
    assert onnx_model.OPERATIONS.keys() == OPERATIONS.keys()


KINDS = [
    ("cql", {}, (4,), True),
    ("iql", {"layer_norm": True}, (4,), False),
    ("bcq", {}, (4,), True),
    ("bcq", {"layer_norm": True}, (4,), False),
    ("dqn", {"encoder": "nature"}, (2, 36, 36), True),
    ("dqn", {"encoder": "nips", "pixel_center": 0.3}, (2, 36, 36), True),
    ("td3bc", {"encoder": "impala"}, (2, 16, 16), False),
]


@pytest.mark.parametrize(("learner", "settings", "shape", "discrete"), KINDS)
def test_an_onnx_model_acts_as_the_policy_file(
    tmp_path: Path, learner: str, settings: dict, shape: tuple, discrete: bool
):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    frames = shape[0] if len(shape) == 3 else 0
    spec = Spec(
        obs_shape=shape,
        obs_dtype="uint8" if frames else "float32",
        obs_low=np.full(shape, -np.inf),
        obs_high=np.full(shape, np.inf),
        actions=3 if discrete else 0,
        action_size=0 if discrete else 3,
        frames=frames,
    )
    made = plugins.make("learner", learner, hidden=(16,), **settings)
    policy = made.setup(spec, (0,)).export(0)
    action = DISCRETE | {"start": 2} if discrete else BOX | {"dtype": "float64"}
    about = {
        "observation": {"shape": list(shape), "dtype": spec.obs_dtype},
        "action": action,
    }
    program = program_of(policy)
    onnx_model.write(program, about, tmp_path / "policy.onnx")
    save(program, about, tmp_path / "policy.cur")
    loaded = load_policy(tmp_path / "policy.cur")
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(20, *shape)).astype(np.float32)
    if frames:
        obs = rng.integers(0, 256, (20, *shape), np.uint8)
    scores = onnx_model.scores(tmp_path / "policy.onnx", obs)
    np.testing.assert_allclose(scores, outputs(policy, obs), atol=1e-5)
    session = runtime.InferenceSession(
        tmp_path / "policy.onnx", providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["action"], {"observation": obs})
    expected = loaded.act(obs)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_without_the_extra_onnx_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'planning-curriculum\[onnx\]'"):
        onnx_model.write(
            program_of(policy_of(4, 8, 3)), contract(4, DISCRETE), tmp_path / "p.onnx"
        )
    assert list(tmp_path.iterdir()) == []
