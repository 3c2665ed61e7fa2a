"""Policies on their way out: each kind taken apart, rounded as worked out by hand,
written, read back or refused."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from curriculum.learning.normalizer import Normalize
from curriculum.shipping.artefact import deployable, fill, load, save
from curriculum.shipping.int8 import quantized
from curriculum.shipping.layers import Layer, Unsupported, assemble, dense
from curriculum.shipping.numpy_runner import runner

# LayerNorm's eps or 0 for none, whether it ends in Tanh
KINDS = [(0, False), (1e-5, False), (0, True), (1e-5, True)]
every_kind = pytest.mark.parametrize(("eps", "tanh"), KINDS)


def policy_of(*widths: int, eps: float = 0, tanh: bool = False) -> nn.Sequential:
    """A random policy: inputs, hidden widths, actions."""
    rng = np.random.default_rng(0)
    normaliser = Normalize(torch.full((widths[0],), 0.5), torch.full((widths[0],), 2.0))
    layers = []
    for fan_in, fan_out in pairwise(widths):
        weight = rng.normal(0, fan_in**-0.5, (fan_out, fan_in)).astype(np.float32)
        layers.append(
            Layer(weight, rng.normal(0, 0.1, fan_out).astype(np.float32), eps)
        )
    layers[-1] = layers[-1]._replace(eps=0, tanh=tanh)
    return assemble(normaliser, layers)


def observations(n: int, *shape: int) -> torch.Tensor:
    return torch.tensor(
        np.random.default_rng(1).random((n, *shape)), dtype=torch.float32
    )


def outputs(policy: nn.Module, obs: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return policy(obs).numpy()


def weights_of(module: nn.Module) -> list[np.ndarray]:
    return [
        weights.detach().numpy()
        for name, weights in module.named_parameters()
        if name.endswith("weight")
    ]


def file_of(policy: nn.Module, folder: Path) -> Path:
    save(deployable(policy), folder / "policy.safetensors")
    return folder / "policy.safetensors"


class Scaled(nn.Module):
    """Pixels to [0, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255


class Tower(nn.Module):
    """A policy for pictures [2, 4, 4] that is no Sequential: a residual block in it,
    whose layer is used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.scaled, self.first, self.block = (
            Scaled(),
            nn.Conv2d(2, 3, 2),
            nn.Conv2d(3, 3, 3, padding=1, bias=False),
        )
        self.again, self.norm, self.last = (
            self.block,
            nn.BatchNorm2d(3).eval(),
            nn.Linear(27, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(self.scaled(x)).relu()
        return self.last(self.norm(x + self.again(self.block(x))).flatten(1))


def pictures(n: int, *shape: int) -> torch.Tensor:
    return torch.tensor(
        np.random.default_rng(2).integers(0, 256, (n, *shape)), dtype=torch.uint8
    )


# --- layers ---


@every_kind
def test_a_dense_policy_is_taken_apart_and_put_together_again(eps, tanh):
    policy, obs = policy_of(4, 8, 6, 3, eps=eps, tanh=tanh), observations(20, 4)
    layers = dense(policy)
    assert [layer.weight.shape for layer in layers] == [(8, 4), (6, 8), (3, 6)]
    assert [layer.eps for layer in layers] == [eps, eps, 0]
    assert [layer.tanh for layer in layers] == [False, False, tanh]
    again = assemble(policy[0], layers)
    hidden = ["Linear", "LayerNorm", "ReLU"] if eps else ["Linear", "ReLU"]
    expected = ["Normalize", *hidden, *hidden, "Linear", *(["Tanh"] if tanh else [])]
    assert [type(part).__name__ for part in again] == expected
    np.testing.assert_array_equal(outputs(again, obs), outputs(policy, obs))


class Noisy(nn.Linear):
    """A Linear that computes something else."""


@pytest.mark.parametrize(
    "parts",
    [
        [nn.Linear(2, 2)],
        [Normalize(torch.zeros(2), torch.ones(2)), nn.Linear(2, 2, bias=False)],
        [Normalize(torch.zeros(2), torch.ones(2)), Noisy(2, 2)],
        [Normalize(torch.zeros(2), torch.ones(2)), nn.Linear(2, 2), nn.ReLU()],
        [
            Normalize(torch.zeros(2), torch.ones(2)),
            nn.Linear(2, 2),
            nn.Tanh(),
            nn.Linear(2, 2),
        ],
        [
            Normalize(torch.zeros(2), torch.ones(2)),
            nn.Linear(2, 2),
            nn.LayerNorm(2, elementwise_affine=False),
        ],
        [
            Normalize(torch.zeros(2), torch.ones(2)),
            nn.Linear(2, 2),
            nn.LayerNorm(2),
            nn.ReLU(),
            nn.Linear(2, 2),
        ],
        [
            Normalize(torch.zeros(2), torch.ones(2)),
            nn.Linear(2, 2),
            nn.LayerNorm(2, eps=0, elementwise_affine=False),
            nn.ReLU(),
            nn.Linear(2, 2),
        ],
    ],
    ids=[
        "no normaliser",
        "no bias",
        "subclass",
        "ReLU last",
        "inner Tanh",
        "norm last",
        "learnt norm",
        "eps 0",
    ],
)
def test_every_other_policy_is_left_to_torch(tmp_path, parts):
    policy = nn.Sequential(*parts)
    with pytest.raises(
        Unsupported, match=r"this policy is made of (Normalize, )?(Linear|Noisy)"
    ):
        dense(policy)
    assert set(deployable(policy).arrays) == {*policy.state_dict(), "torch"}
    with pytest.raises(ValueError, match="only torch can run"):
        load(file_of(policy, tmp_path))


def test_a_policy_that_is_no_sequence_is_named():
    with pytest.raises(
        Unsupported, match=r"Linear can be taken apart; this policy is made of Tower$"
    ):
        dense(Tower())


# --- int8 ---


def test_int8_rounds_every_channel_by_its_own_largest_weight():
    weight = np.array(
        [[1.27, -0.634, 0.004], [0.0, 0.0, 0.0], [-254.0, 3.1, 1.2]], np.float32
    )
    policy = assemble(
        Normalize(torch.zeros(3), torch.ones(3)),
        [Layer(weight, np.array([1, 2, 3], np.float32))],
    )
    rounded = quantized(deployable(policy))
    assert rounded.arrays["0.weight"].dtype == np.int8
    np.testing.assert_array_equal(
        rounded.arrays["0.weight"], [[127, -63, 0], [0, 0, 0], [-127, 2, 1]]
    )
    np.testing.assert_allclose(rounded.arrays["0.weight_scale"], [0.01, 1, 2])
    expected = np.array([[1.27, -0.63, 0], [0, 0, 0], [-254, 4, 2]])
    np.testing.assert_allclose(weights_of(rounded.module)[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(rounded.arrays["0.bias"], [1, 2, 3])


def test_no_weight_moves_by_more_than_half_a_scale():
    policy = policy_of(4, 128, 128, 3)
    rounded = quantized(deployable(policy))
    for i, (before, after) in enumerate(
        zip(weights_of(policy), weights_of(rounded.module), strict=True)
    ):
        scale = rounded.arrays[f"{i}.weight_scale"]
        assert (np.abs(before - after) <= scale[:, None] * 0.50001).all()
        assert np.abs(before - after).max() > scale.min() / 4  # it did round


def test_int8_rounds_convolutions_and_layers_of_any_module():
    conv, last = nn.Conv2d(1, 2, (1, 2)), nn.Linear(2, 1)
    conv.weight.data = torch.tensor([[[[1.27, -0.634]]], [[[-254.0, 3.1]]]])
    last.weight.data, last.bias.data = torch.tensor([[0.3, -0.9]]), torch.tensor([7.0])
    policy = nn.Sequential(Scaled(), conv, nn.ReLU(), nn.Flatten(), last)
    rounded = quantized(deployable(policy))
    np.testing.assert_array_equal(
        rounded.arrays["1.weight"], [[[[127, -63]]], [[[-127, 2]]]]
    )
    np.testing.assert_allclose(rounded.arrays["1.weight_scale"], [0.01, 2])
    # 0.3 / 0.9 * 127 = 42.3
    np.testing.assert_array_equal(rounded.arrays["4.weight"], [[42, -127]])
    np.testing.assert_allclose(
        weights_of(rounded.module)[0].ravel(), [1.27, -0.63, -254, 4], rtol=1e-6
    )
    np.testing.assert_allclose(
        weights_of(rounded.module)[1].ravel(), [0.9 * 42 / 127, -0.9], rtol=1e-6
    )
    # left alone
    np.testing.assert_allclose(
        weights_of(policy)[0].ravel(), [1.27, -0.634, -254, 3.1], rtol=1e-6
    )
    assert rounded.arrays["4.bias"] == [7]
    assert {
        str(a.dtype) for name, a in rounded.arrays.items() if name.endswith("weight")
    } == {"int8"}


# --- files ---


@every_kind
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1,)])
def test_the_file_acts_like_the_module_for_one_observation_and_for_many(
    tmp_path, shape, eps, tanh
):
    policy = policy_of(int(np.prod(shape)), 24, 24, 5, eps=eps, tanh=tanh)
    for obs in (observations(50, *shape), pictures(50, *shape)):
        for variant in (deployable(policy), quantized(deployable(policy))):
            save(variant, tmp_path / "policy.safetensors")
            forward = load(tmp_path / "policy.safetensors")
            expected, given = outputs(variant.module, obs), obs.numpy().copy()
            together, near = forward(given), 1e-5 * np.abs(expected).max()
            assert together.shape == (50, 5)
            assert together.dtype == np.float32
            np.testing.assert_allclose(together, expected, atol=near)
            one = forward(given[7])
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, expected[7], atol=near)
            np.testing.assert_allclose(forward(given[7:8]), expected[7:8], atol=near)
            assert forward(given[:0]).shape == (0, 5)
            np.testing.assert_array_equal(given, obs.numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["policy.safetensors"]


# of all hidden units alike, which LayerNorm takes away
@pytest.mark.parametrize("shift", [0, 5])
def test_numpy_normalises_and_squashes_as_worked_out_by_hand(tmp_path, shift):
    """(x - 2) * 3 = 3; hidden 3 and 9: mean 6, variance 9, with eps 7 that is -3/4 and
    3/4, ReLU leaves 3/4."""
    hidden = Layer(
        np.array([[1], [3]], np.float32), np.full(2, shift, np.float32), eps=7.0
    )
    # 4 * 3/4 + ln 2 - 3 = ln 2
    last = Layer(np.array([[5, 4]], np.float32), np.array([np.log(2) - 3], np.float32))
    # tanh(ln 2) = (2 - 1/2) / (2 + 1/2)
    for tanh, expected in ((False, np.log(2)), (True, 0.6)):
        policy = assemble(
            Normalize(torch.tensor([2.0]), torch.tensor([3.0])),
            [hidden, last._replace(tanh=tanh)],
        )
        forward = load(file_of(policy, tmp_path))
        assert forward(np.array([3.0])) == pytest.approx(expected)
        np.testing.assert_allclose(
            forward(np.array([[3], [3]])), [[expected]] * 2, rtol=1e-6
        )
        assert outputs(policy, torch.tensor([[3.0]])) == pytest.approx(expected)


def test_box_actions_never_leave_their_range(tmp_path):
    policy = policy_of(4, 16, 3, tanh=True)
    for weights in policy.parameters():
        weights.data *= 1_000
    actions = load(file_of(policy, tmp_path))(observations(200, 4).numpy())
    assert actions.min() == -1
    assert actions.max() == 1


def test_a_file_says_in_arrays_what_follows_the_layers():
    assert set(deployable(policy_of(4, 8, 3)).arrays) == {
        *("mean", "scale", "0.weight", "0.bias", "1.weight", "1.bias"),
    }
    arrays = deployable(policy_of(4, 8, 8, 3, eps=1e-5, tanh=True)).arrays
    extra = {
        name: array
        for name, array in arrays.items()
        if not name.endswith(("mean", "scale", "weight", "bias"))
    }
    assert extra == {"0.eps": np.float32(1e-5), "1.eps": np.float32(1e-5), "tanh": 1}
    assert {name: (array.dtype, array.shape) for name, array in extra.items()} == {
        "0.eps": (np.float32, (1,)),
        "1.eps": (np.float32, (1,)),
        "tanh": (np.uint8, (1,)),
    }


def test_arrays_are_written_in_their_logical_order(tmp_path):
    policy = deployable(policy_of(4, 8, 3))
    transposed = policy._replace(
        arrays={name: np.asfortranarray(array) for name, array in policy.arrays.items()}
    )
    save(transposed, tmp_path / "policy.safetensors")
    obs = observations(5, 4)
    np.testing.assert_allclose(
        load(tmp_path / "policy.safetensors")(obs.numpy()),
        outputs(policy.module, obs),
        atol=1e-5,
    )


def test_a_policy_runs_where_there_is_no_torch(tmp_path):
    policy = policy_of(2, 8, 3, eps=1e-5, tanh=True)
    path = file_of(policy, tmp_path)
    code = f"""import sys
sys.modules["torch"] = None
from curriculum.shipping.artefact import load
print(load({str(path)!r})([0, 1]))"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    expected = outputs(policy, torch.tensor([[0.0, 1.0]]))[0]
    np.testing.assert_allclose(
        np.fromstring(done.stdout.strip("[]\n"), sep=" "), expected, atol=1e-5
    )


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
        (
            "1.weight",
            None,
            r"'1.weight' should be \('float32', \(3, 8\)\), it is absent",
        ),
        (
            "1.weight",
            np.zeros((8, 3), np.float32),
            r"should be .*\(3, 8\).*, it is .*\(8, 3\)",
        ),
        (
            "0.weight",
            np.zeros((8, 4), np.float64),
            "should be .*float32.*, it is .*float64",
        ),
        ("0.weight", np.zeros((8, 4), np.int8), "should be .*float32.*, it is .*int8"),
        ("1.weight_scale", np.ones(3, np.float32), "'1.weight' should be .*int8"),
        ("other", np.ones(3, np.float32), "'other' should be absent"),
        (
            "1.bias",
            np.array([0, np.nan, 0], np.float32),
            "'1.bias' holds numbers that are not finite",
        ),
        (
            "tanh",
            np.ones(1, np.float32),
            r"'tanh' should be \('uint8', \(1,\)\), it is .*float32",
        ),
        ("tanh", np.ones((), np.uint8), r"'tanh' should be .*\(1,\).*, it is .*\(\)"),
        ("tanh", np.zeros(1, np.uint8), "'tanh' should be 1, it is 0"),
        ("0.eps", np.full(1, 1e-5), "'0.eps' should be .*float32.*, it is .*float64"),
        (
            "0.eps",
            np.full(8, 1e-5, np.float32),
            r"'0.eps' should be .*\(1,\).*, it is .*\(8,\)",
        ),
        ("0.eps", np.zeros(1, np.float32), "'0.eps' should be positive, it is 0"),
        ("0.eps", -np.ones(1, np.float32), "'0.eps' should be positive, it is -1"),
        ("1.eps", np.full(1, 1e-5, np.float32), "'1.eps' should be absent"),
    ],
)
def test_a_file_with_the_wrong_arrays_says_which(tmp_path, name, array, message):
    policy = deployable(policy_of(4, 8, 3))
    changed = {
        key: value
        for key, value in (policy.arrays | {name: array}).items()
        if value is not None
    }
    save(policy._replace(arrays=changed), tmp_path / "policy.safetensors")
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "policy.safetensors")
    assert "\n" not in str(error.value)


# --- files that only torch can use ---


def test_a_policy_that_only_torch_runs_comes_back_from_its_file(tmp_path):
    policy, obs, path = Tower(), pictures(30, 2, 4, 4), tmp_path / "policy.safetensors"
    for variant in (deployable(policy), quantized(deployable(policy))):
        save(variant, path)
        with pytest.raises(
            ValueError, match=r"only torch can run: load the run's checkpoint"
        ) as error:
            load(path)
        assert "\n" not in str(error.value)
        other = Tower()
        for tensor in other.state_dict().values():
            tensor.zero_()
        fill(other, path)
        np.testing.assert_array_equal(outputs(other, obs), outputs(variant.module, obs))
    difference = np.abs(outputs(other, obs) - outputs(policy, obs)).max()
    assert 0 < difference < 0.05  # rounded, and no more than that


def test_the_arrays_of_such_a_policy_are_its_state_as_it_is():
    policy = Tower()
    arrays, state = deployable(policy).arrays, policy.state_dict()
    assert arrays.keys() == {*state, "torch"}
    assert (arrays["torch"].dtype, arrays["torch"].tolist()) == (np.uint8, [1])
    assert (
        arrays["norm.num_batches_tracked"].dtype,
        arrays["norm.num_batches_tracked"].shape,
    ) == (np.int64, ())
    for name in state:
        np.testing.assert_array_equal(arrays[name], state[name].numpy())
    policy.last.bias.data += 1
    assert (arrays["last.bias"] != policy.last.bias.detach().numpy()).all()  # a copy


def test_int8_of_such_a_policy_rounds_a_layer_under_all_its_names():
    arrays = quantized(deployable(Tower())).arrays
    rounded = {name for name, array in arrays.items() if array.dtype == np.int8}
    assert rounded == {"first.weight", "block.weight", "again.weight", "last.weight"}
    assert {name for name in arrays if name.endswith("_scale")} == {
        f"{name}_scale" for name in rounded
    }
    np.testing.assert_array_equal(arrays["again.weight"], arrays["block.weight"])


def test_a_weight_computed_from_others_stays_as_it_is():
    policy = nn.Sequential(
        Scaled(), nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    )
    assert np.int8 not in {
        array.dtype.type for array in quantized(deployable(policy)).arrays.values()
    }


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("torch", None, "'torch' should be .*, it is absent"),
        ("last.bias", None, "'last.bias' should be .*, it is absent"),
        (
            "last.bias",
            np.zeros(4, np.float32),
            r"'last.bias' should be .*\(5,\).*, it is .*\(4,\)",
        ),
        (
            "last.weight",
            np.zeros((5, 27), np.int8),
            "'last.weight' should be .*float32.*, it is .*int8",
        ),
        (
            "last.weight_scale",
            np.ones(5, np.float32),
            "'last.weight' should be .*int8.*, it is .*float32",
        ),
        (
            "last.bias",
            np.full(5, np.inf, np.float32),
            "'last.bias' holds numbers that are not finite",
        ),
        ("other", np.zeros(1, np.float32), "'other' should be absent"),
    ],
)
def test_a_file_of_another_module_says_where_it_differs(tmp_path, name, array, message):
    policy = deployable(Tower())
    changed = {
        key: value
        for key, value in (policy.arrays | {name: array}).items()
        if value is not None
    }
    save(policy._replace(arrays=changed), tmp_path / "policy.safetensors")
    module = Tower()
    with pytest.raises(ValueError, match=message):
        fill(module, tmp_path / "policy.safetensors")
    # left as it was
    np.testing.assert_array_equal(module.last.bias.detach(), policy.arrays["last.bias"])


def test_numbers_that_are_not_finite_are_not_deployed():
    with pytest.raises(
        ValueError, match="not finite cannot be deployed; they are in scale"
    ):
        deployable(
            nn.Sequential(
                Normalize(torch.zeros(2), torch.tensor([1, torch.inf])), nn.Linear(2, 2)
            )
        )
    policy = Tower()
    policy.first.weight.data[1] = torch.nan
    with pytest.raises(
        ValueError, match=r"not finite cannot be deployed; they are in first\.weight"
    ):
        deployable(policy)


def test_what_is_no_policy_or_no_observation_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="nope is not a policy: there is no such file"):
        load(tmp_path / "nope")
    layer = Layer(np.ones((2, 3), np.float32), np.zeros(2, np.float32))
    policy = runner(np.zeros(3, np.float32), np.ones(3, np.float32), [layer])
    assert policy(np.zeros((5, 3))).shape == (5, 2)
    for shape in [(), (2,), (4,), (3, 2)]:
        with pytest.raises(ValueError, match="an observation has 3 numbers"):
            policy(np.zeros(shape))
