"""Compression: rounding worked out by hand, layers that really shrink, files that survive, measurements that add up."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from curriculum.compress import latency_us, measure, table
from curriculum.deploy import assemble, dense, deployable, load, quantized, save
from curriculum.evaluate import evaluation_rows
from curriculum.nets import Normalize
from curriculum.techniques.distil import Distil
from curriculum.techniques.prune import Prune
from curriculum.techniques.quantize import Quantize

TECHNIQUES: list[Any] = [Quantize(), Prune(updates=20), Distil(hidden=(16, 16), updates=20)]


def policy_of(*widths: int, seed: int = 0) -> nn.Sequential:
    """A random policy: inputs, hidden widths, actions."""
    rng = np.random.default_rng(seed)
    normaliser = Normalize(torch.full((widths[0],), 0.5), torch.full((widths[0],), 2.0))
    layers = [(rng.normal(0, i**-0.5, (o, i)), rng.normal(0, 0.1, o)) for i, o in pairwise(widths)]
    return assemble(normaliser, [(w.astype(np.float32), b.astype(np.float32)) for w, b in layers])


def observations(n: int, *shape: int, seed: int = 1) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).random((n, *shape)), dtype=torch.float32)


def weights_of(module: nn.Module) -> list[np.ndarray]:
    return [weights.detach().numpy() for name, weights in module.named_parameters() if name.endswith("weight")]


def scores(policy: nn.Module, obs: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return policy(obs).numpy()


def file_of(policy: nn.Sequential, folder: Path) -> Path:
    save(deployable(policy), folder / "policy.safetensors")
    return folder / "policy.safetensors"


# --- int8 ---


def test_int8_rounds_every_channel_by_its_own_largest_weight():
    weight = np.array([[1.27, -0.634, 0.004], [0.0, 0.0, 0.0], [-254.0, 3.1, 1.2]], np.float32)
    policy = assemble(Normalize(torch.zeros(3), torch.ones(3)), [(weight, np.array([1, 2, 3], np.float32))])
    rounded = quantized(deployable(policy))
    assert rounded.arrays["0.weight"].dtype == np.int8
    np.testing.assert_array_equal(rounded.arrays["0.weight"], [[127, -63, 0], [0, 0, 0], [-127, 2, 1]])
    np.testing.assert_allclose(rounded.arrays["0.weight_scale"], [0.01, 1, 2])
    expected = np.array([[1.27, -0.63, 0], [0, 0, 0], [-254, 4, 2]])
    np.testing.assert_allclose(weights_of(rounded.module)[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(rounded.arrays["0.bias"], [1, 2, 3])


def test_no_weight_moves_by_more_than_half_a_scale():
    policy = policy_of(4, 128, 128, 3)
    rounded = Quantize().compress(policy, observations(1, 4), 0)["int8"]
    for i, (before, after) in enumerate(zip(weights_of(policy), weights_of(rounded.module), strict=True)):
        scale = rounded.arrays[f"{i}.weight_scale"]
        assert (np.abs(before - after) <= scale[:, None] * 0.50001).all()
        assert np.abs(before - after).max() > scale.min() / 4  # it did round


# --- pruning ---


def test_pruning_keeps_the_units_with_the_largest_norms_in_and_out():
    first = np.array([[3, 4], [1, 0], [0, 2], [6, 8]], np.float32)  # norms 5, 1, 2, 10
    second = np.array([[1, 9, 2, 0]], np.float32)  # norms 1, 9, 2, 0: importance 5, 9, 4, 0
    layers = [(first, np.array([1, 2, 3, 4], np.float32)), (second, np.array([7], np.float32))]
    policy = assemble(Normalize(torch.zeros(2), torch.ones(2)), layers)
    smaller = dense(Prune(share=0.5).rebuilt(policy))
    np.testing.assert_array_equal(smaller[0][0], [[3, 4], [1, 0]])
    np.testing.assert_array_equal(smaller[0][1], [1, 2])
    np.testing.assert_array_equal(smaller[1][0], [[1, 9]])
    np.testing.assert_array_equal(smaller[1][1], [7])


@pytest.mark.parametrize(("share", "width"), [(0.0, 40), (0.5, 20), (0.75, 10), (0.999, 1)])
def test_rebuilt_layers_are_smaller_and_equal_their_masked_twin(share, width):
    policy, obs, prune = policy_of(4, 40, 40, 3), observations(200, 4), Prune(share=share)
    rebuilt, masked = prune.rebuilt(policy), prune.masked(policy)
    assert [w.shape for w, _ in dense(rebuilt)] == [(width, 4), (width, width), (3, width)]
    assert [w.shape for w, _ in dense(masked)] == [(40, 4), (40, 40), (3, 40)]
    np.testing.assert_allclose(scores(rebuilt, obs), scores(masked, obs), atol=1e-6)
    changed = np.abs(scores(rebuilt, obs) - scores(policy, obs)).max()
    assert changed < 1e-6 if share == 0 else changed > 0.01


def test_tuning_wins_back_what_pruning_lost():
    policy, obs = policy_of(4, 64, 64, 3), observations(1_000, 4)
    best = scores(policy, obs).argmax(1)
    cut, tuned = (Prune(share=0.75, updates=updates).compress(policy, obs, 0)["pruned"].module for updates in (0, 400))
    before, after = ((scores(module, obs).argmax(1) == best).mean() for module in (cut, tuned))
    assert after > max(0.95, before + 0.05)


# --- distillation ---


def test_a_student_acts_like_its_teacher_and_speaks_in_its_unit():
    """The teacher takes the action whose number is largest: of x, y and 1 - x - y, times a unit."""
    first = (np.eye(2, dtype=np.float32), np.ones(2, np.float32))
    weight, bias = np.array([[1, 0], [0, 1], [-1, -1]], np.float32), np.array([-1, -1, 3], np.float32)
    obs, fresh, taught = observations(1_000, 2), observations(1_000, 2, seed=2), {}
    for unit in (1 / 64, 1, 64):
        last = (weight * np.float32(unit), bias * np.float32(unit))
        teacher = assemble(Normalize(torch.zeros(2), torch.ones(2)), [first, last])
        taught[unit] = scores(Distil(updates=600).compress(teacher, obs, 0)["student"].module, fresh)
    x, y = fresh.numpy().T
    best = np.argmax([x, y, 1 - x - y], 0)
    assert min(np.bincount(best)) > 100
    assert (taught[1].argmax(1) == best).mean() >= 0.95
    np.testing.assert_allclose(taught[1 / 64] * 64, taught[1], atol=0.01 * np.ptp(taught[1]))
    np.testing.assert_allclose(taught[64] / 64, taught[1], atol=0.01 * np.ptp(taught[1]))


def test_compression_repeats_itself_and_leaves_policy_and_global_randomness_alone():
    policy, obs = policy_of(4, 32, 32, 3), observations(300, 4)
    before, torch_state = deployable(policy).arrays, torch.get_rng_state()
    for technique in TECHNIQUES:
        once, again, other = (technique.compress(policy, obs, seed) for seed in (3, 3, 4))
        for name in once:
            for key, array in once[name].arrays.items():
                np.testing.assert_array_equal(array, again[name].arrays[key])
            differs = any((array != other[name].arrays[key]).any() for key, array in once[name].arrays.items())
            assert differs == (name != "int8")
    for key, array in deployable(policy).arrays.items():
        np.testing.assert_array_equal(array, before[key])
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_smaller_variants_take_a_quarter_of_the_bytes(tmp_path):
    policy, obs = policy_of(4, 128, 128, 3), observations(200, 4)
    made = {"fp32": deployable(policy)}
    for technique in [*TECHNIQUES[:2], Distil(updates=8)]:
        made |= technique.compress(policy, obs, 0)
    size = {}
    for name, variant in made.items():
        save(variant, tmp_path / name)
        size[name] = (tmp_path / name).stat().st_size
    weights = 4 * 128 + 128 * 128 + 128 * 3
    assert 0 < size["fp32"] - 4 * (weights + 128 + 128 + 3) < 1_000  # the rest is normaliser and header
    assert size["int8"] < size["fp32"] / 3
    assert max(size["student"], size["student-int8"], size["pruned-int8"]) <= size["fp32"] / 4


# --- files ---


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1,)])
def test_the_file_scores_like_the_module_for_one_observation_and_for_many(tmp_path, shape):
    policy, obs = policy_of(int(np.prod(shape)), 24, 24, 5), observations(50, *shape)
    for variant in (deployable(policy), quantized(deployable(policy))):
        save(variant, tmp_path / "policy.safetensors")
        forward = load(tmp_path / "policy.safetensors")
        expected, given = scores(variant.module, obs), obs.numpy().copy()
        together = forward(given)
        assert together.shape == (50, 5)
        assert together.dtype == np.float32
        np.testing.assert_allclose(together, expected, atol=1e-5)
        np.testing.assert_allclose(forward(given[7]), expected[7], atol=1e-5)
        np.testing.assert_allclose(forward(given[7:8]), expected[7:8], atol=1e-5)
        assert forward(given[:0]).shape == (0, 5)
        np.testing.assert_array_equal(given, obs.numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["policy.safetensors"]


def test_arrays_are_written_in_their_logical_order(tmp_path):
    policy = deployable(policy_of(4, 8, 3))
    transposed = policy._replace(arrays={name: np.asfortranarray(array) for name, array in policy.arrays.items()})
    save(transposed, tmp_path / "policy.safetensors")
    obs = observations(5, 4)
    np.testing.assert_allclose(
        load(tmp_path / "policy.safetensors")(obs.numpy()), scores(policy.module, obs), atol=1e-5
    )


def test_a_policy_runs_where_there_is_no_torch(tmp_path):
    path = file_of(policy_of(2, 8, 3), tmp_path)
    code = f"""import sys
sys.modules["torch"] = None
from curriculum.deploy import load
print(load({str(path)!r})([0, 1]))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = scores(policy_of(2, 8, 3), torch.tensor([[0.0, 1.0]]))[0]
    np.testing.assert_allclose(np.fromstring(done.stdout.strip("[]\n"), sep=" "), expected, atol=1e-5)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_one_clear_error(tmp_path, kept):
    path = file_of(policy_of(4, 8, 3), tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("mean", None, "'mean' should be .*, it is absent"),
        ("0.bias", None, "'0.bias' should be .*, it is absent"),
        ("1.weight", None, r"'1.weight' should be \('float32', \(3, 8\)\), it is absent"),
        ("1.weight", np.zeros((8, 3), np.float32), r"should be .*\(3, 8\).*, it is .*\(8, 3\)"),
        ("0.weight", np.zeros((8, 4), np.float64), "should be .*float32.*, it is .*float64"),
        ("0.weight", np.zeros((8, 4), np.int8), "should be .*float32.*, it is .*int8"),
        ("1.weight_scale", np.ones(3, np.float32), "'1.weight' should be .*int8"),
        ("other", np.ones(3, np.float32), "'other' should be absent"),
        ("1.bias", np.array([0, np.nan, 0], np.float32), "'1.bias' holds numbers that are not finite"),
    ],
)
def test_a_file_with_the_wrong_arrays_says_which(tmp_path, name, array, message):
    policy = deployable(policy_of(4, 8, 3))
    changed = {key: value for key, value in (policy.arrays | {name: array}).items() if value is not None}
    save(policy._replace(arrays=changed), tmp_path / "policy.safetensors")
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "policy.safetensors")
    assert "\n" not in str(error.value)


def test_what_cannot_be_compressed_is_refused():
    with pytest.raises(TypeError, match="this one is Linear, Tanh"):
        deployable(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    with pytest.raises(ValueError, match=r"share of units to prune must be in \[0, 1\), got 1.0"):
        Prune(share=1.0).compress(policy_of(2, 4, 2), observations(3, 2), 0)
    with pytest.raises(ValueError, match="not finite cannot be deployed; they are in scale"):
        deployable(nn.Sequential(Normalize(torch.zeros(2), torch.tensor([1, torch.inf])), nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="no observations"):
        Distil().compress(policy_of(2, 4, 2), observations(0, 2), 0)


# --- measuring ---


class Line:
    """Five cells in a row: action 1 goes right, 0 left; the right end pays 1 and ends the episode, a step costs 0.1."""

    max_steps = 10
    observation_space = gym.spaces.Box(0, 4, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def begin(self, rng, rows):
        return np.zeros((rows, 1), np.int64)

    def step(self, state, action, rng):
        state = np.clip(state + 2 * action[:, None] - 1, 0, 4)
        return state, self.success(state) - 0.1, self.success(state)

    def observe(self, state):
        return state.astype(np.float32)

    def success(self, state):
        return state[:, 0] == 4

    def draw(self, state):
        raise NotImplementedError


class Reversed:
    """A technique that goes the other way."""

    def compress(self, policy, obs, seed):
        *hidden, (weight, bias) = dense(policy)
        return {"reversed": deployable(assemble(policy[0], [*hidden, (-weight, -bias)]))}


def test_every_variant_is_measured_from_its_file_by_playing(tmp_path):
    def rows():
        return evaluation_rows(Line(), range(3))

    right = [(np.ones((8, 1), np.float32), np.ones(8, np.float32))]  # hidden units are positive: action 1 scores higher
    right += [(np.stack([-np.ones(8), np.ones(8)]).astype(np.float32), np.zeros(2, np.float32))]
    policy = assemble(Normalize(torch.zeros(1), torch.ones(1)), right)
    obs = torch.arange(5.0)[:, None]
    results = measure(policy, obs, [Reversed(), Quantize()], rows, tmp_path, seed=0)
    assert list(results) == ["fp32", "reversed", "int8"]
    assert results["fp32"]["return"] == pytest.approx(1 - 4 * 0.1)  # four steps to the right
    assert results["int8"]["return"] == pytest.approx(1 - 4 * 0.1)
    assert results["reversed"]["return"] == pytest.approx(-10 * 0.1)  # cut short after ten steps at the left end
    assert [row["success"] for row in results.values()] == [1, 0, 1]
    assert [row["agreement"] for row in results.values()] == [1, 0, 1]
    assert {row["params"] for row in results.values()} == {8 + 8 + 16 + 2}
    for name, row in results.items():
        assert row["bytes"] == (tmp_path / f"{name}.safetensors").stat().st_size
        assert 0 < row["numpy_p50_us"] <= row["numpy_p99_us"]
        assert 0 < row["torch_p50_us"] <= row["torch_p99_us"]
    lines = table(results).splitlines()
    assert [line.split(" | ")[:5] for line in lines[2:]] == [
        ["| fp32", "0.600", "1.000", "1.000", "1.000"],
        ["| reversed", "-1.000", "-1.667", "0.000", "0.000"],
        ["| int8", "0.600", "1.000", "1.000", "1.000"],
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_a_share_of_a_return_that_is_not_positive_is_left_out():
    row = dict.fromkeys(["success", "agreement", "bytes", "params"], 1.0)
    row |= dict.fromkeys(["numpy_p50_us", "numpy_p99_us", "torch_p50_us", "torch_p99_us"], 1.0)
    lines = table({"fp32": row | {"return": -2.0}, "int8": row | {"return": -1.0}}).splitlines()
    assert lines[3].startswith("| int8 | -1.000 | - |")


def test_two_variants_of_one_name_are_refused(tmp_path):
    policy = policy_of(1, 4, 2)
    with pytest.raises(ValueError, match="two variants are called int8"):
        measure(policy, observations(3, 1), [Quantize(), Quantize()], lambda: evaluation_rows(Line(), [0]), tmp_path, 0)


def test_latency_is_of_single_observations_on_one_torch_thread(tmp_path, monkeypatch):
    seen = []

    def fake(call, inputs):
        seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled(), len(inputs), inputs[0].shape))
        return 1.0, 2.0

    monkeypatch.setattr("curriculum.compress.latency_us", fake)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure(policy_of(1, 4, 2), observations(3, 1), [], lambda: evaluation_rows(Line(), [0]), tmp_path, 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert seen == [(1, True, 3, (1,)), (1, True, 3, (1, 1))]  # numpy [*O], torch [1, *O]


def test_latency_is_the_median_and_the_99th_percentile_after_warm_up(monkeypatch):
    clock = iter(np.cumsum([[1_000, 50_000]] * 100 + [[1_000, 2_000]] * 980 + [[1_000, 9_000]] * 20))
    monkeypatch.setattr("curriculum.compress.time.perf_counter_ns", lambda: next(clock))
    seen: list[str] = []
    assert latency_us(seen.append, ["a", "b"]) == (2, 9)
    assert seen[:3] == ["a", "b", "a"]
