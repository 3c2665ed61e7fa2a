"""Compression: layers that really shrink, students that act alike, measurements that
add up."""

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.spec import spec_of
from curriculum.learning.normalizer import Normalize
from curriculum.run.evaluation import evaluation_door, play
from curriculum.shipping.artefact import deployable, save
from curriculum.shipping.compression import latency_us, measure, refusals, table
from curriculum.shipping.layers import Layer, Unsupported, assemble, dense
from curriculum.techniques.distil import Distil
from curriculum.techniques.prune import Prune
from curriculum.techniques.quantize import Quantize
from curriculum.types import Chain

TECHNIQUES: list[Any] = [
    Quantize(),
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
        Prune(share=0.75, updates=updates).compress(policy, obs, 0)["pruned"].module
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
        Prune(share=0.75, updates=updates).compress(policy, obs, 0)["pruned"].module
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
            Distil(updates=600).compress(teacher, obs, 0)["student"].module, fresh
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
    student = (
        Distil(updates=600)
        .compress(teacher, observations(1_000, 2), 0)["student"]
        .module
    )
    fresh = observations(1_000, 2, seed=2)
    x, y = fresh.numpy().T
    assert np.abs(outputs(student, fresh)[:, 0] - np.tanh(2 * (x - y))).max() < 0.05


@pytest.mark.parametrize("tanh", [False, True])
def test_a_student_has_no_layernorm_and_ends_as_its_teacher_does(tanh):
    policy = policy_of(4, 32, 3, eps=1e-5, tanh=tanh)
    layers = dense(
        Distil(hidden=(16, 8), updates=1)
        .compress(policy, observations(9, 4), 0)["student"]
        .module
    )
    assert [(len(layer.bias), layer.eps, layer.tanh) for layer in layers] == [
        (16, 0, False),
        (8, 0, False),
        (3, 0, tanh),
    ]


@pytest.mark.parametrize("kind", [{}, {"eps": 1e-5, "tanh": True}])
def test_compression_repeats_itself_and_leaves_policy_and_global_randomness_alone(kind):
    policy, obs = policy_of(4, 32, 32, 3, **kind), observations(300, 4)
    before, torch_state = deployable(policy).arrays, torch.get_rng_state()
    for technique in TECHNIQUES:
        once, again, other = (
            technique.compress(policy, obs, seed) for seed in (3, 3, 4)
        )
        for name in once:
            for key, array in once[name].arrays.items():
                np.testing.assert_array_equal(array, again[name].arrays[key])
            differs = any(
                (array != other[name].arrays[key]).any()
                for key, array in once[name].arrays.items()
            )
            assert differs == (name != "int8")
    for key, array in deployable(policy).arrays.items():
        np.testing.assert_array_equal(array, before[key])
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_smaller_variants_take_a_quarter_of_the_bytes(tmp_path):
    policy, obs = policy_of(4, 128, 128, 3), observations(200, 4)
    made = {"fp32": deployable(policy)}
    chains = [
        Chain([Prune(updates=20), Quantize()]),
        Chain([Distil(updates=8), Quantize()]),
    ]
    for technique in [Quantize(), *chains]:
        made |= technique.compress(policy, obs, 0)
    size = {}
    for name, variant in made.items():
        save(variant, tmp_path / name)
        size[name] = (tmp_path / name).stat().st_size
    weights = 4 * 128 + 128 * 128 + 128 * 3
    # the rest is normaliser and header
    assert 0 < size["fp32"] - 4 * (weights + 128 + 128 + 3) < 1_000
    assert size["int8"] < size["fp32"] / 3
    assert (
        max(size["student"], size["student-int8"], size["pruned-int8"])
        <= size["fp32"] / 4
    )


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


class Line(Dynamics):
    """Five cells in a row: action 1 goes right, 0 left; the right end pays 1 and ends
    the episode, a step costs 0.1."""

    max_steps = 10
    observation_space: Any = gym.spaces.Box(0, 4, (1,), np.float32)
    action_space: Any = gym.spaces.Discrete(2)

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


def played_in(world: Any, episodes: Any) -> tuple[Any, Any]:
    """What `measure` needs to know of a world, and how it plays there."""
    return spec_of(world), lambda act: play(act, evaluation_door(world, episodes))


class Doubled(nn.Module):
    """A last layer that leaves the range of box actions."""

    def forward(self, x):
        return 2 * x


class Reversed:
    """A technique that goes the other way."""

    def compress(self, policy, obs, seed):
        *hidden, last = dense(policy)
        last = last._replace(weight=-last.weight, bias=-last.bias)
        return {"reversed": deployable(assemble(policy[0], [*hidden, last]))}


def test_every_variant_is_measured_from_its_file_by_playing(tmp_path):
    played = played_in(Line(), range(3))
    # positive units: action 1 scores higher
    right = [Layer(np.ones((8, 1), np.float32), np.ones(8, np.float32))]
    right += [
        Layer(
            np.stack([-np.ones(8), np.ones(8)]).astype(np.float32),
            np.zeros(2, np.float32),
        )
    ]
    policy = assemble(Normalize(torch.zeros(1), torch.ones(1)), right)
    obs = torch.arange(5.0)[:, None]
    results = measure(policy, obs, [Reversed(), Quantize()], *played, tmp_path, seed=0)
    assert list(results) == ["fp32", "reversed", "int8"]
    # four steps to the right
    assert results["fp32"]["return"] == pytest.approx(1 - 4 * 0.1)
    assert results["int8"]["return"] == pytest.approx(1 - 4 * 0.1)
    # cut short after ten steps at the left end
    assert results["reversed"]["return"] == pytest.approx(-10 * 0.1)
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


class Slide(Line):
    """Two numbers in [-1, 1] a step: the first is the reward, and after four steps it
    is over."""

    max_steps = 4
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def step(self, state, action, rng):
        assert action.dtype == np.float32
        assert action.shape == (len(state), 2)
        return state + 1, action[:, 0].astype(float), np.zeros(len(state), bool)


def always(*action: float) -> nn.Sequential:
    """A policy for `Slide` that always takes this action."""
    last = Layer(
        np.zeros((2, 1), np.float32), np.arctanh(action).astype(np.float32), tanh=True
    )
    return assemble(Normalize(torch.zeros(1), torch.ones(1)), [last])


class Drift:
    """A technique that misses the action by a little, in one number alone."""

    def compress(self, policy, obs, seed):
        off = {"near": (0.6, -0.26), "far": (0.6, -0.24), "farther": (0.54, -0.3)}
        return {name: deployable(always(*action)) for name, action in off.items()}


def test_box_policies_are_measured_by_the_actions_they_give(tmp_path):
    played = played_in(Slide(), range(3))
    techniques: list[Any] = [
        Drift(),
        Reversed(),
        Quantize(),
        Chain([Prune(updates=2), Quantize()]),
        Distil(updates=200),
    ]
    results = measure(
        always(0.6, -0.3),
        torch.arange(5.0)[:, None],
        techniques,
        *played,
        tmp_path,
        seed=0,
    )
    returns = {
        name: round(row["return"], 4)
        for name, row in results.items()
        if "student" not in name
    }
    exact = {"fp32": 2.4, "near": 2.4, "far": 2.4, "farther": 2.16, "reversed": -2.4}
    assert returns == exact | {"int8": 2.4, "pruned": 2.4, "pruned-int8": 2.4}
    assert results["student"]["return"] == pytest.approx(2.4, abs=0.2)
    agreement = {name: row["agreement"] for name, row in results.items()}
    apart = {"far", "farther", "reversed"}  # 0.06 is more than 0.05, 0.04 is less
    assert agreement == {name: float(name not in apart) for name in results}
    assert len({tuple(row) for row in results.values()}) == 1
    assert "numpy_p50_us" in results["int8"]


def test_a_policy_for_other_actions_than_the_world_takes_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"must give 2 scores an observation; this one gives shape \(3,\)",
    ):
        measure(
            policy_of(1, 4, 3),
            observations(3, 1),
            [],
            *played_in(Line(), [0]),
            tmp_path,
            0,
        )
    with pytest.raises(
        ValueError,
        match=r"must give 2 numbers in \[-1, 1\] an observation; .* from -1.14 to 1.2",
    ):
        measure(
            policy_of(1, 2, tanh=True).append(Doubled()),
            torch.ones(3, 1),
            [],
            *played_in(Slide(), [0]),
            tmp_path,
            0,
        )


class Pictures(Line):
    """`Line` seen as one frame of 2 x 2 pixels, all of which are white in the upper row
    and black in the lower."""

    observation_space = gym.spaces.Box(0, 255, (1, 2, 2), np.uint8)

    def observe(self, state):
        return np.broadcast_to(
            np.array([[[255, 255], [0, 0]]], np.uint8), (len(state), 1, 2, 2)
        ).copy()


class Scaled(nn.Module):
    """Pixels to [0, 1]."""

    def forward(self, x):
        return x.float() / 255


def seer(small: float) -> nn.Sequential:
    """A convolutional policy for `Pictures`, right by 2 * small - 0.1; its int8 step is
    1."""
    conv, last = nn.Conv2d(1, 1, 1), nn.Linear(4, 2)
    conv.weight.data, last.weight.data = (
        torch.ones(1, 1, 1, 1),
        torch.tensor([[0.0] * 4, [small, small, 127.0, 0.0]]),
    )
    conv.bias.data, last.bias.data = torch.zeros(1), torch.tensor([0.1, 0.0])  # type: ignore[union-attr]
    return nn.Sequential(Scaled(), conv, nn.ReLU(), nn.Flatten(), last)


# rounded to 0, and to 1
@pytest.mark.parametrize(("small", "int8_goes_right"), [(0.4, False), (0.6, True)])
def test_what_numpy_cannot_run_is_measured_in_torch(tmp_path, small, int8_goes_right):
    obs = torch.from_numpy(Pictures().observe(np.zeros((700, 1))))
    obs[:350] = 0  # all black: both go left
    techniques: list[Any] = [Prune(), Quantize(), Distil()]
    results = measure(
        seer(small),
        obs,
        techniques,
        *played_in(Pictures(), range(3)),
        tmp_path,
        0,
    )
    assert list(results) == ["fp32", "int8"]
    assert results["fp32"]["return"] == pytest.approx(0.6)
    assert results["int8"]["return"] == pytest.approx(0.6 if int8_goes_right else -1.0)
    assert [row["success"] for row in results.values()] == [1, int8_goes_right]
    assert [row["agreement"] for row in results.values()] == [
        1,
        1 if int8_goes_right else 0.5,
    ]
    for name, row in results.items():
        assert row.keys() == {
            *(
                "return",
                "success",
                "agreement",
                "bytes",
                "params",
                "torch_p50_us",
                "torch_p99_us",
            ),
        }
        assert row["bytes"] == (tmp_path / f"{name}.safetensors").stat().st_size
        assert row["params"] == 1 + 1 + 8 + 2
        assert 0 < row["torch_p50_us"] <= row["torch_p99_us"]
    refused = refusals(tmp_path.parent)
    assert list(refused) == ["prune", "distil"]
    assert refused["prune"].endswith(
        "this policy is made of Scaled, Conv2d, ReLU, Flatten, Linear"
    )
    lines = table(results, refused).splitlines()
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert all(line.split(" | ")[-2] == "-" for line in lines[2:4])
    assert [line for line in lines[4:] if line] == [
        f"{k} is left out: {v}" for k, v in refused.items()
    ]
    measure(seer(small), obs[:3], [], *played_in(Pictures(), [0]), tmp_path, 0)
    assert refusals(tmp_path) == {}


class Undecided(nn.Module):
    """A policy for `Slide` that draws its action anew each time."""

    def __init__(self):
        super().__init__()
        self.width = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return (torch.rand(len(x), 2) * 2 - 1) * self.width


def test_a_policy_that_draws_agrees_with_itself_and_leaves_global_randomness_alone(
    tmp_path,
):
    results = []
    for seed in range(2):
        before = torch.manual_seed(seed).get_state()
        played = played_in(Slide(), [0])
        results.append(
            measure(Undecided(), observations(9, 1), [Quantize()], *played, tmp_path, 0)
        )
        assert torch.equal(torch.get_rng_state(), before)
    once, again = results
    assert once["int8"]["agreement"] == 1
    assert len({row["return"] for row in (*once.values(), *again.values())}) == 1
    assert once["fp32"]["return"] != 0


def test_a_share_of_a_return_that_is_not_positive_is_left_out():
    row = dict.fromkeys(["success", "agreement", "bytes", "params"], 1.0)
    row |= dict.fromkeys(
        ["numpy_p50_us", "numpy_p99_us", "torch_p50_us", "torch_p99_us"], 1.0
    )
    lines = table(
        {"fp32": row | {"return": -2.0}, "int8": row | {"return": -1.0}}
    ).splitlines()
    assert lines[3].startswith("| int8 | -1.000 | - |")


def test_two_variants_of_one_name_are_refused(tmp_path):
    policy = policy_of(1, 4, 2)
    with pytest.raises(ValueError, match="two variants are called int8"):
        measure(
            policy,
            observations(3, 1),
            [Quantize(), Quantize()],
            *played_in(Line(), [0]),
            tmp_path,
            0,
        )


def test_latency_is_of_single_observations_on_one_torch_thread(tmp_path, monkeypatch):
    seen = []

    def fake(call, inputs, calls):
        seen.append(
            (
                calls,
                torch.get_num_threads(),
                torch.is_inference_mode_enabled(),
                len(inputs),
                inputs[0].shape,
            )
        )
        return 1.0, 2.0

    monkeypatch.setattr("curriculum.shipping.compression.latency_us", fake)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure(
            policy_of(1, 4, 2),
            observations(3, 1),
            [],
            *played_in(Line(), [0]),
            tmp_path,
            0,
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    # numpy [*O], torch [1, *O]
    assert seen == [(1_000, 1, True, 3, (1,)), (1_000, 1, True, 3, (1, 1))]


def test_latency_is_the_median_and_the_99th_percentile_after_warm_up(monkeypatch):
    clock = iter(
        np.cumsum(
            [[1_000, 50_000]] * 100 + [[1_000, 2_000]] * 980 + [[1_000, 9_000]] * 20
        )
    )
    monkeypatch.setattr(
        "curriculum.shipping.compression.time.perf_counter_ns", lambda: next(clock)
    )
    seen: list[str] = []
    assert latency_us(seen.append, ["a", "b"]) == (2, 9)
    assert seen[:3] == ["a", "b", "a"]
