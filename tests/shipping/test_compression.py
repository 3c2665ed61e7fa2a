"""Compression: layers that really shrink, students that act alike, measurements that
add up."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curriculum.learning.normalizer import Normalize
from curriculum.shipping import compression, onnx_model, policy_file, stopwatch
from curriculum.shipping.compression import Timing, measure
from curriculum.shipping.layers import Layer, Unsupported, assemble, dense
from curriculum.shipping.operations import program_of
from curriculum.shipping.standalone import load_policy
from curriculum.shipping.stopwatch import Timed, latencies_us
from curriculum.techniques.distil import Distil
from curriculum.techniques.half import Half
from curriculum.techniques.prune import Prune
from curriculum.techniques.quantize import Quantize
from curriculum.techniques.sparsify import Sparsify
from curriculum.types import Chain

TECHNIQUES: list[Any] = [
    Half(),
    Quantize(activations=("float32", "dynamic", "static")),
    Sparsify(),
    Prune(updates=20),
    Distil(hidden=(16, 16), updates=20),
]


def policy_of(*widths: int, eps: float = 0, tanh: bool = False) -> nn.Sequential:
    """A random policy: inputs, hidden widths, actions."""
    rng = np.random.default_rng(0)
    layers = []
    for fan_in, fan_out in pairwise(widths):
        weight = rng.normal(0, fan_in**-0.5, (fan_out, fan_in)).astype(np.float32)
        layers.append(
            Layer(weight, rng.normal(0, 0.1, fan_out).astype(np.float32), eps)
        )
    layers[-1] = layers[-1]._replace(eps=0, tanh=tanh)
    return assemble(
        Normalize(torch.full((widths[0],), 0.5), torch.full((widths[0],), 2.0)), layers
    )


def observations(n: int, *shape: int, seed: int = 1) -> torch.Tensor:
    return torch.tensor(
        np.random.default_rng(seed).random((n, *shape)), dtype=torch.float32
    )


def outputs(policy: nn.Module, obs: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return policy(obs).numpy()


# --- pruning ---


def test_pruning_keeps_the_units_with_the_largest_norms_in_and_out():
    first = np.array([[3, 4], [1, 0], [0, 2], [6, 8]], np.float32)  # norms 5, 1, 2, 10
    # norms 1, 9, 2, 0: importance 5, 9, 4, 0
    second = np.array([[1, 9, 2, 0]], np.float32)
    layers = [
        Layer(first, np.array([1, 2, 3, 4], np.float32)),
        Layer(second, np.array([7], np.float32)),
    ]
    policy = assemble(Normalize(torch.zeros(2), torch.ones(2)), layers)
    smaller = dense(Prune(share=0.5).rebuilt(policy))
    np.testing.assert_array_equal(smaller[0].weight, [[3, 4], [1, 0]])
    np.testing.assert_array_equal(smaller[0].bias, [1, 2])
    np.testing.assert_array_equal(smaller[1].weight, [[1, 9]])
    np.testing.assert_array_equal(smaller[1].bias, [7])


@pytest.mark.parametrize(
    ("share", "width"), [(0.0, 40), (0.5, 20), (0.75, 10), (0.999, 1)]
)
def test_rebuilt_layers_are_smaller_and_equal_their_masked_twin(share, width):
    policy, obs, prune = (
        policy_of(4, 40, 40, 3),
        observations(200, 4),
        Prune(share=share),
    )
    rebuilt, masked = prune.rebuilt(policy), prune.masked(policy)
    assert [layer.weight.shape for layer in dense(rebuilt)] == [
        (width, 4),
        (width, width),
        (3, width),
    ]
    assert [layer.weight.shape for layer in dense(masked)] == [
        (40, 4),
        (40, 40),
        (3, 40),
    ]
    np.testing.assert_allclose(outputs(rebuilt, obs), outputs(masked, obs), atol=1e-6)
    changed = np.abs(outputs(rebuilt, obs) - outputs(policy, obs)).max()
    assert changed < 1e-6 if share == 0 else changed > 0.01


def test_layers_rebuilt_under_layernorm_equal_their_balanced_twin():
    """A unit at the others' mean is 0 behind LayerNorm and ReLU, but counts in the
    variance: of 40 units where 10 are kept it is a quarter, so what is left doubles,
    and weights of a half in the next layer take that back."""
    policy, obs, prune = (
        policy_of(4, 40, 40, 3, eps=1e-9, tanh=True),
        observations(200, 4),
        Prune(share=0.75),
    )
    twin, factor = dense(policy), 1.0
    for layer, units in zip(twin, prune.kept(policy), strict=True):
        layer.weight[:] *= np.float32(factor)
        removed = np.setdiff1d(np.arange(len(layer.bias)), units)
        layer.weight[removed], layer.bias[removed] = (
            layer.weight[units].mean(0),
            layer.bias[units].mean(),
        )
        factor = 0.5
    rebuilt = prune.rebuilt(policy)
    assert [(len(layer.bias), layer.eps, layer.tanh) for layer in dense(rebuilt)] == [
        *((10, 1e-9, False), (10, 1e-9, False), (3, 0, True)),
    ]
    np.testing.assert_allclose(
        outputs(rebuilt, obs), outputs(assemble(policy[0], twin), obs), atol=1e-5
    )
    assert np.abs(outputs(rebuilt, obs) - outputs(policy, obs)).max() > 0.01


@pytest.mark.parametrize("eps", [0, 1e-5])
def test_tuning_wins_back_what_pruning_lost(eps):
    policy, obs = policy_of(4, 64, 64, 3, eps=eps), observations(1_000, 4)
    best = outputs(policy, obs).argmax(1)
    cut, tuned = (
        Prune(share=0.75, updates=updates).compress(policy, obs, 0)["pruned"]
        for updates in (0, 400)
    )
    before, after = (
        (outputs(module, obs).argmax(1) == best).mean() for module in (cut, tuned)
    )
    assert after > max(0.95, before + 0.05)


@pytest.mark.parametrize("eps", [0, 1e-5])
def test_tuning_wins_back_box_actions(eps):
    policy, obs = policy_of(4, 64, 64, 3, eps=eps, tanh=True), observations(1_000, 4)
    cut, tuned = (
        Prune(share=0.75, updates=updates).compress(policy, obs, 0)["pruned"]
        for updates in (0, 400)
    )
    before, after = (
        np.abs(outputs(module, obs) - outputs(policy, obs)).mean()
        for module in (cut, tuned)
    )
    assert after < before / 3


# --- distillation ---


def test_a_student_acts_like_its_teacher_and_speaks_in_its_unit():
    """The teacher takes the action whose number is largest: of x, y and 1 - x - y,
    times a unit."""
    first = Layer(np.eye(2, dtype=np.float32), np.ones(2, np.float32))
    weight, bias = (
        np.array([[1, 0], [0, 1], [-1, -1]], np.float32),
        np.array([-1, -1, 3], np.float32),
    )
    obs, fresh, taught = observations(1_000, 2), observations(1_000, 2, seed=2), {}
    for unit in (1 / 64, 1, 64):
        last = Layer(weight * np.float32(unit), bias * np.float32(unit))
        teacher = assemble(Normalize(torch.zeros(2), torch.ones(2)), [first, last])
        taught[unit] = outputs(
            Distil(updates=600).compress(teacher, obs, 0)["student"], fresh
        )
    x, y = fresh.numpy().T
    best = np.argmax([x, y, 1 - x - y], 0)
    assert min(np.bincount(best)) > 100
    assert (taught[1].argmax(1) == best).mean() >= 0.95
    np.testing.assert_allclose(
        taught[1 / 64] * 64, taught[1], atol=0.01 * np.ptp(taught[1])
    )
    np.testing.assert_allclose(
        taught[64] / 64, taught[1], atol=0.01 * np.ptp(taught[1])
    )


def test_a_student_learns_box_actions_by_regression():
    """The teacher's only action is tanh(2 (x - y)); a softmax over a single number
    would teach nothing."""
    first = Layer(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    last = Layer(np.array([[2, -2]], np.float32), np.zeros(1, np.float32), tanh=True)
    teacher = assemble(Normalize(torch.zeros(2), torch.ones(2)), [first, last])
    student = Distil(updates=600).compress(teacher, observations(1_000, 2), 0)[
        "student"
    ]
    fresh = observations(1_000, 2, seed=2)
    x, y = fresh.numpy().T
    assert np.abs(outputs(student, fresh)[:, 0] - np.tanh(2 * (x - y))).max() < 0.05


@pytest.mark.parametrize("tanh", [False, True])
def test_a_student_has_no_layernorm_and_ends_as_its_teacher_does(tanh):
    policy = policy_of(4, 32, 3, eps=1e-5, tanh=tanh)
    layers = dense(
        Distil(hidden=(16, 8), updates=1).compress(policy, observations(9, 4), 0)[
            "student"
        ]
    )
    assert [(len(layer.bias), layer.eps, layer.tanh) for layer in layers] == [
        (16, 0, False),
        (8, 0, False),
        (3, 0, tanh),
    ]


@pytest.mark.parametrize("kind", [{}, {"eps": 1e-5, "tanh": True}])
def test_compression_repeats_itself_and_leaves_policy_and_global_randomness_alone(kind):
    policy, obs = policy_of(4, 32, 32, 3, **kind), observations(300, 4)
    before, torch_state = program_of(policy).arrays, torch.get_rng_state()
    for technique in TECHNIQUES:
        once, again, other = (
            technique.compress(policy, obs, seed) for seed in (3, 3, 4)
        )
        for name in once:
            own, repeated, others = (
                program_of(made[name]).arrays for made in (once, again, other)
            )
            for key, array in own.items():
                np.testing.assert_array_equal(array, repeated[key])
            differs = any((array != others[key]).any() for key, array in own.items())
            assert differs == (name in ("pruned", "student"))
    for key, array in program_of(policy).arrays.items():
        np.testing.assert_array_equal(array, before[key])
    assert torch.equal(torch.get_rng_state(), torch_state)


def file_of(policy: nn.Module, path: Path, action: Any = None) -> Path:
    """The policy file of a policy for vectors."""
    inputs = policy[0].mean.numel()  # type: ignore[index]
    actions = program_of(policy).arrays[program_of(policy).operations[-1]["bias"]].size
    observation = {"shape": [inputs], "dtype": "float32", "low": None, "high": None}
    discrete = {"kind": "discrete", "n": actions, "start": 0}
    contract = {"observation": observation, "action": action or discrete}
    policy_file.save(program_of(policy), contract, path)
    return path


def test_smaller_variants_take_a_quarter_of_the_bytes(tmp_path: Path):
    policy, obs = policy_of(4, 128, 128, 3), observations(200, 4)
    made: dict[str, nn.Module] = {"fp32": policy}
    chains = [
        Chain([Prune(updates=20), Quantize()]),
        Chain([Distil(updates=8), Quantize()]),
    ]
    for technique in [Half(), Quantize(), Sparsify(), *chains]:
        made |= technique.compress(policy, obs, 0)
    size = {
        name: file_of(variant, tmp_path / name).stat().st_size
        for name, variant in made.items()
    }
    weights = 4 * 128 + 128 * 128 + 128 * 3
    # the rest is normaliser, contract and header
    assert 0 < size["fp32"] - 4 * (weights + 128 + 128 + 3) < 2_000
    assert size["fp16"] == pytest.approx(size["fp32"] / 2, rel=0.05)
    assert size["int8"] < size["fp32"] / 3
    # weights that are 0 take as many bytes as others
    assert size["sparse"] == size["fp32"]
    small = ("student", "student-int8", "pruned-int8")
    assert max(size[name] for name in small) <= size["fp32"] / 4


# --- fewer bits ---


def test_int8_and_half_weights_are_the_nearest_that_their_types_hold():
    weight = np.array([[0.5, -127, 63.4], [0, 0, 0], [1e-3, 2e-3, 0]], np.float32)
    policy = assemble(
        Normalize(torch.zeros(3), torch.ones(3)), [Layer(weight, np.zeros(3, "f4"))]
    )
    (int8,) = Quantize().compress(policy, observations(1, 3), 0).values()
    arrays = program_of(int8).arrays
    # the scale of a row is its largest / 127, of a row of zeros 1; 0.5 goes to even
    assert arrays["2.weight"].tolist() == [[0, -127, 63], [0, 0, 0], [64, 127, 0]]
    np.testing.assert_allclose(arrays["2.weight_scale"], [1, 1, 2e-3 / 127], rtol=1e-6)
    (half,) = Half().compress(policy, observations(1, 3), 0).values()
    assert program_of(half).arrays["2.weight"].dtype == np.float16
    np.testing.assert_array_equal(
        program_of(half).arrays["2.weight"][0], [0.5, -127, np.float16(63.4)]
    )


def test_int8_products_are_those_worked_out_by_hand():
    """Weights 1 and -1 are 127 steps of 1 / 127. Inputs 2 and 0.5 have steps of
    2 / 127 on their own, by 4 in the buffer of 4 / 127: 0.5 is 31.75, or 15.875 of
    them."""
    weight = np.array([[1, -1]], np.float32)
    policy = assemble(
        Normalize(torch.zeros(2), torch.ones(2)), [Layer(weight, np.zeros(1, "f4"))]
    )
    made = Quantize(activations=("dynamic", "static")).compress(
        policy, torch.tensor([[1.0, 4.0], [2.0, 2.0]]), 0
    )
    obs = torch.tensor([[2.0, 0.5], [8.0, 0.0]])
    # 8 is beyond 127 steps of 4 / 127
    expected = {
        "int8-dynamic": [2 - 32 * 2 / 127, 8],
        "int8-static": [64 * 4 / 127 - 16 * 4 / 127, 4],
    }
    assert made.keys() == expected.keys()
    for name, numbers in expected.items():
        np.testing.assert_allclose(outputs(made[name], obs)[:, 0], numbers, rtol=1e-6)


def test_sparse_weights_are_the_largest():
    weight = np.array([[3, -1], [0.5, -4]], np.float32)
    policy = assemble(
        Normalize(torch.zeros(2), torch.ones(2)), [Layer(weight, np.ones(2, "f4"))]
    )
    (sparse,) = Sparsify(share=0.5).compress(policy, observations(1, 2), 0).values()
    assert dense(sparse)[0].weight.tolist() == [[3, 0], [0, -4]]
    assert dense(policy)[0].weight.tolist() == weight.tolist()


def test_a_rounded_policy_can_be_pruned():
    policy, obs = policy_of(4, 40, 40, 3), observations(200, 4)
    made = Chain([Quantize(), Prune(updates=0)]).compress(policy, obs, 0)
    assert [len(layer.bias) for layer in dense(made["int8-pruned"])] == [20, 20, 3]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Quantize(activations=("int4",)), "float32, dynamic, static, got int4"),
        (lambda: Quantize(activations=()), "got none"),
        (lambda: Sparsify(share=1.0), r"must be in \[0, 1\), got 1"),
        (lambda: Distil(unit="logit"), "no unit 'logit'; there are: spread, score"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, says: str):
    with pytest.raises(ValueError, match=says):
        make()


def test_what_cannot_be_compressed_is_refused():
    for technique in (Prune(), Distil()):
        with pytest.raises(
            Unsupported, match=r"this policy is made of Flatten, Linear$"
        ):
            technique.compress(
                nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), observations(3, 2), 0
            )
    with pytest.raises(
        ValueError, match=r"share of units to prune must be in \[0, 1\), got 1"
    ):
        Prune(share=1.0).compress(policy_of(2, 4, 2), observations(3, 2), 0)
    with pytest.raises(ValueError, match="no observations"):
        Distil().compress(policy_of(2, 4, 2), observations(0, 2), 0)


# --- measuring ---


def test_a_pruned_policy_is_smaller_than_its_masked_twin(tmp_path: Path):
    """Both compute the same; a mask alone saves no bytes."""
    policy, prune = policy_of(4, 1024, 1024, 3), Prune(share=0.75)
    twins = {"fp32": prune.masked(policy), "rebuilt": prune.rebuilt(policy)}
    files = {name: file_of(twins[name], tmp_path / name) for name in twins}
    obs = observations(64, 4).numpy()
    scores = {name: load_policy(file).scores(obs) for name, file in files.items()}
    # relative to the largest score
    size = np.abs(scores["fp32"]).max()
    np.testing.assert_allclose(
        scores["rebuilt"] / size, scores["fp32"] / size, atol=1e-6
    )
    found = measure(files, obs, Timing(rounds=3, calls=20))
    assert found["rebuilt"]["bytes"] < found["fp32"]["bytes"] / 10
    assert found["rebuilt"]["peak_bytes"] < found["fp32"]["peak_bytes"] / 10


def test_the_figures_of_a_policy_are_those_of_its_file(tmp_path: Path):
    policy = policy_of(4, 8, 3)
    *hidden, last = dense(policy)
    # every second action of the original is worse by far
    last = last._replace(bias=last.bias + np.array([0, -1e3, 0], np.float32))
    changed = assemble(policy[0], [*hidden, last])
    obs = observations(200, 4).numpy()
    (int8,) = Quantize().compress(policy, torch.from_numpy(obs), 0).values()
    made = {"fp32": policy, "changed": changed, "int8": int8}
    files = {name: file_of(made[name], tmp_path / name) for name in made}
    seen: list[int] = []
    found = measure(files, obs, Timing(rounds=2, calls=3), seen.append)
    assert seen == [1, 2]
    original = outputs(policy, torch.from_numpy(obs)).argmax(-1)
    kept = outputs(changed, torch.from_numpy(obs)).argmax(-1) == original
    assert 0 < kept.mean() < 1
    assert found["fp32"]["agreement"] == 1
    assert found["changed"]["agreement"] == pytest.approx(kept.mean())
    parameters = 4 * 8 + 8 + 8 * 3 + 3
    for name, figures in found.items():
        assert figures["bytes"] == files[name].stat().st_size
        assert figures["params"] == parameters
        # with the normaliser's 8; at once alive: 4 inputs and as many normalised, or 4
        # and 8, or 8 and 3
        assert figures["peak_bytes"] == 4 * (parameters + 8) + 4 * (8 + 8)
    assert found["fp32"]["parameter_bytes"] == 4 * parameters
    # int8 weights, float32 biases and scales
    assert found["int8"]["parameter_bytes"] == 4 * 8 + 8 * 3 + 4 * 2 * (8 + 3)
    runners = ["numpy", "torch"] + ["onnx"] * onnx_model.is_installed()
    for figures in found.values():
        for runner in runners:
            for batch in (1, 64):
                p50, p95, p99 = (
                    figures[f"{runner}_{batch}_p{percent}_us"]
                    for percent in (50, 95, 99)
                )
                assert 0 < p50 <= p95 <= p99


def test_box_actions_agree_within_the_tolerance(tmp_path: Path):
    def always(*action: float) -> nn.Sequential:
        bias = np.arctanh(action).astype(np.float32)
        last = Layer(np.zeros((2, 1), np.float32), bias, tanh=True)
        return assemble(Normalize(torch.zeros(1), torch.ones(1)), [last])

    box = {
        "kind": "box",
        "shape": [2],
        "dtype": "float32",
        "low": [-1, 0],
        "high": [1, 4],
    }
    made = {"fp32": (0.6, -0.3), "near": (0.6, -0.26), "far": (0.54, -0.3)}
    files = {}
    for name, action in made.items():
        policy = always(*action)
        files[name] = tmp_path / name
        contract = {
            "observation": {
                "shape": [1],
                "dtype": "float32",
                "low": None,
                "high": None,
            },
            "action": box,
        }
        policy_file.save(program_of(policy), contract, files[name])
    found = measure(files, np.ones((3, 1), np.float32), Timing(rounds=1, calls=1))
    agreement = {name: figures["agreement"] for name, figures in found.items()}
    assert agreement == {"fp32": 1, "near": 1, "far": 0}  # 0.04, and 0.06


def test_without_onnxruntime_its_latencies_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_model, "is_installed", lambda: False)
    files = {"fp32": file_of(policy_of(4, 3), tmp_path / "fp32")}
    found = measure(files, observations(3, 4).numpy(), Timing(rounds=1, calls=1))
    assert not [name for name in found["fp32"] if name.startswith("onnx")]
    assert "numpy_64_p99_us" in found["fp32"]


def test_every_runner_acts_as_the_file_says(tmp_path: Path):
    policy, obs = policy_of(4, 16, 16, 3, eps=1e-5), observations(64, 4)
    technique = Quantize(activations=("float32", "dynamic", "static"))
    made = {"fp32": policy, **technique.compress(policy, obs, 0)}
    for name, variant in made.items():
        loaded = load_policy(file_of(variant, tmp_path / name))
        expected = loaded.act(obs.numpy())
        for runner, prepare in compression.runners().items():
            actions = prepare(loaded)(obs.numpy())
            assert actions.tolist() == expected.tolist(), (name, runner)


def test_latencies_are_taken_in_turns_after_a_round_that_does_not_count(monkeypatch):
    clock = iter(np.arange(0, 10**9, 1_000))
    monkeypatch.setattr(stopwatch.time, "perf_counter_ns", lambda: next(clock))
    calls: list[Any] = []
    functions = [
        Timed(lambda given: calls.append(("a", given)), [1, 2]),
        Timed(lambda given: calls.append(("b", given)), [3]),
    ]
    found = latencies_us(functions, rounds=2, calls=2)
    one_round = ["a", "a", "b", "b"]
    assert [name for name, _ in calls] == one_round * 3
    assert {given for name, given in calls if name == "a"} == {1, 2}
    assert [own.tolist() for own in found] == [[1.0] * 4, [1.0] * 4]


def test_slow_functions_are_called_less_often(monkeypatch):
    now = [0]
    monkeypatch.setattr(stopwatch.time, "perf_counter_ns", lambda: now[0])

    def slow(milliseconds: int) -> None:
        now[0] += milliseconds * 1_000_000

    functions = [Timed(slow, [40]), Timed(slow, [1])]
    found = latencies_us(functions, rounds=3, calls=10, most_seconds=0.1)
    assert [len(own) for own in found] == [3 * 3, 3 * 10]
    assert stopwatch.percentiles(np.arange(101.0)) == {"p50": 50, "p95": 95, "p99": 99}
