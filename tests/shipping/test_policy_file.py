"""Policy files: every kind of policy acts from its file as its learner does, with numpy
alone, and a file that was changed is refused in a sentence."""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors
from torch import nn

from curriculum.learning.normalizer import Normalize
from curriculum.setting import plugins
from curriculum.shipping import standalone
from curriculum.shipping.eager import module_of
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program, program_of
from curriculum.shipping.policy_file import save
from curriculum.shipping.standalone import DOCUMENT, WEIGHTS, checksum, load_policy
from curriculum.techniques.quantize import Quantize
from curriculum.types import Spec

DISCRETE = {"kind": "discrete", "n": 3, "start": 0}
BOX = {
    "kind": "box",
    "shape": [2],
    "dtype": "float32",
    "low": [-1.0, 0.0],
    "high": [1.0, 4.0],
}
# learner, its settings, whether it sees pictures, whether actions are discrete
KINDS = [
    ("cql", {}, False, True),
    ("dqn", {"layer_norm": True, "quantiles": 5}, False, True),
    ("sac", {}, False, False),
    ("iql", {"layer_norm": True}, False, False),
    ("bcq", {}, False, True),
    ("bcq", {"layer_norm": True}, False, False),
    ("dqn", {"encoder": "nature"}, True, True),
    ("dqn", {"encoder": "nips", "pixel_center": 0.3}, True, True),
    ("td3bc", {"encoder": "impala"}, True, False),
    ("bcq", {"encoder": "nature"}, True, True),
    ("bcq", {"encoder": "nature"}, True, False),
]


def spec_of(pictures: bool, discrete: bool) -> Spec:
    shape = (2, 40, 40) if pictures else (4,)
    return Spec(
        obs_shape=shape,
        obs_dtype="uint8" if pictures else "float32",
        obs_low=np.full(shape, -np.inf),
        obs_high=np.full(shape, np.inf),
        actions=3 if discrete else 0,
        action_size=0 if discrete else 2,
        frames=2 if pictures else 0,
    )


def exported(
    learner: str, settings: dict[str, Any], spec: Spec, seed: int = 0
) -> nn.Sequential:
    made = plugins.make("learner", learner, hidden=(16, 16), **settings)
    ready = made.setup(spec, (seed,))
    # a scale that clips, as that of data
    ready.normalizer.fit([observations(spec, 50) * 3])
    return ready.export(0)


def observations(spec: Spec, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if spec.frames:
        return rng.integers(0, 256, (count, *spec.obs_shape), np.uint8)
    return rng.normal(size=(count, *spec.obs_shape)).astype(np.float32)


def contract_of(spec: Spec, action: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "observation": {"shape": list(spec.obs_shape), "dtype": spec.obs_dtype},
        "action": action or (DISCRETE if spec.actions else BOX),
    }


def dense(*widths: int) -> nn.Sequential:
    """A random policy: inputs, hidden widths, actions."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        Normalize(torch.rand(widths[0]), torch.rand(widths[0]) + 0.5)
    ]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def vector(actions: int = 3) -> Spec:
    return spec_of(pictures=False, discrete=True)._replace(actions=actions)


def file_of(
    policy: nn.Module, folder: Path, contract: dict[str, Any] | None = None
) -> Path:
    path = folder / "policy.cur"
    save(program_of(policy), contract or contract_of(vector()), path)
    return path


def outputs(policy: nn.Module, obs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return policy(torch.from_numpy(obs)).numpy()


# --- every kind ---


@pytest.mark.parametrize(("learner", "settings", "pictures", "discrete"), KINDS)
def test_every_kind_of_policy_acts_from_its_file(
    tmp_path: Path, learner: str, settings: dict, pictures: bool, discrete: bool
):
    spec = spec_of(pictures, discrete)
    policy = exported(learner, settings, spec)
    loaded = load_policy(file_of(policy, tmp_path, contract_of(spec)))
    obs = observations(spec, 20)
    expected = outputs(policy, obs)
    np.testing.assert_allclose(loaded.scores(obs), expected, atol=1e-5)
    alone = np.stack([loaded.scores(own) for own in obs])
    np.testing.assert_allclose(alone, expected, atol=1e-5)
    actions = np.stack([loaded.act(own) for own in obs])
    assert actions.dtype == (np.int64 if discrete else np.float32)
    if discrete:
        np.testing.assert_array_equal(actions, expected.argmax(-1))
    else:
        # from [-1, 1] to [-1, 1] and [0, 4]
        wanted = expected * [1, 2] + [0, 2]
        np.testing.assert_allclose(actions, wanted, atol=1e-4)
    np.testing.assert_allclose(loaded.act(obs), actions, atol=1e-4)
    technique = Quantize(activations=("float32", "dynamic"))
    made = {"": policy, **technique.compress(policy, torch.from_numpy(obs), 0)}
    programs = {name: program_of(variant) for name, variant in made.items()}
    for program in programs.values():
        assert_same(program_of(module_of(program)), program)
    # a technique makes the same of the policy and of what its file holds
    module = module_of(programs[""])
    for name, variant in technique.compress(module, torch.from_numpy(obs), 0).items():
        assert_same(program_of(variant), programs[name])


def assert_same(one: Program, other: Program) -> None:
    """The same operations on the same arrays, in as many bits."""
    assert one.operations == other.operations
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(array, other.arrays[name])


def test_a_convolution_is_the_sum_worked_out_by_hand(tmp_path: Path):
    program = Program()
    weight = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    value = program.add(
        "conv2d",
        0,
        weight=weight,
        bias=torch.tensor([0.5]),
        stride=[2, 1],
        padding=[0, 1],
    )
    program.add("flatten", value)
    spec = vector(4)._replace(obs_shape=(1, 2, 3))
    contract = contract_of(spec, DISCRETE | {"n": 4})
    save(program, contract, tmp_path / "policy.cur")
    picture = np.array([[[1, 10, 100], [1, 0, 0]]], np.float32)
    # columns of zeros on both sides: 2*1+4*1, 1+20+3, 10+200, 100
    expected = [6.5, 24.5, 210.5, 100.5]
    scores = load_policy(tmp_path / "policy.cur").scores(picture)
    assert scores.tolist() == expected


def test_actions_are_those_of_the_world(tmp_path: Path):
    policy = nn.Sequential(Normalize(torch.zeros(2), torch.ones(2)))
    spec = vector(2)._replace(obs_shape=(2,))
    counted = contract_of(spec, DISCRETE | {"n": 2, "start": 5})
    loaded = load_policy(file_of(policy, tmp_path, counted))
    assert loaded.act([0.0, 1.0]) == 6
    assert loaded.act([[0.0, 1.0], [1.0, 0.0]]).tolist() == [6, 5]
    shaped = BOX | {"shape": [2, 1], "dtype": "float64"}
    loaded = load_policy(file_of(policy, tmp_path, contract_of(spec, shaped)))
    action = loaded.act(np.array([[0.5, 0.0], [-3.0, 3.0]]))
    assert action.dtype == np.float64
    assert action.tolist() == [[[0.5], [2.0]], [[-1.0], [4.0]]]


@pytest.mark.parametrize("dtype", ["int8", "int64", "float64"])
def test_observations_of_other_shapes_and_types_are_taken(tmp_path: Path, dtype: str):
    policy = dense(4, 8, 3)
    about = {"observation": {"shape": [2, 2], "dtype": dtype}, "action": DISCRETE}
    loaded = load_policy(file_of(policy, tmp_path, about))
    views = np.array([[[0, 1], [2, -3]], [[100, 0], [0, 7]]], dtype)
    expected = outputs(policy, views.astype(np.float32))
    np.testing.assert_allclose(loaded.scores(views), expected, rtol=1e-5, atol=1e-5)
    for view, wanted in zip(views, expected, strict=True):
        np.testing.assert_allclose(loaded.scores(view), wanted, rtol=1e-5, atol=1e-5)
        assert loaded.act(view) == wanted.argmax()


def test_an_observation_that_does_not_fit_is_refused(tmp_path: Path):
    loaded = load_policy(file_of(dense(4, 8, 3), tmp_path))
    with pytest.raises(ValueError, match=r"^an observation has shape \(4,\), a batch"):
        loaded.act(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match=r"^an observation holds numbers, got <U1"):
        loaded.act(["a"] * 4)
    for bad in (np.nan, np.inf):
        obs = np.array([0, bad, 0, 0], np.float32)
        for given in (obs, obs.astype(np.float64), np.stack([obs, obs])):
            problem = pytest.raises(ValueError, match=r"^the scores are not finite")
            with problem, np.errstate(invalid="ignore"):
                loaded.act(given)
    spec = spec_of(pictures=True, discrete=True)
    policy = exported("bcq", {}, spec)
    loaded = load_policy(file_of(policy, tmp_path, contract_of(spec)))
    obs = observations(spec, 2)
    assert loaded.act(obs.astype(np.int64)).tolist() == loaded.act(obs).tolist()
    with pytest.raises(ValueError, match=r"^observations are uint8, got float64"):
        loaded.act(obs / 255)


def test_an_action_that_bcq_excludes_hides_no_broken_observation(tmp_path: Path):
    policy = exported("bcq", {}, vector())
    loaded = load_policy(file_of(policy, tmp_path))
    with pytest.raises(ValueError, match=r"^the scores are not finite"):
        loaded.act(np.full(4, np.nan, np.float32))


def test_scores_outlive_the_next_call(tmp_path: Path):
    loaded = load_policy(file_of(dense(4, 8, 3), tmp_path))
    obs = observations(vector(), 2)
    first = loaded.scores(obs[0])
    kept = first.copy()
    loaded.scores(obs[1])
    np.testing.assert_array_equal(first, kept)


def test_equal_policies_are_equal_files(tmp_path: Path):
    one = file_of(dense(4, 8, 3), tmp_path).read_bytes()
    assert file_of(dense(4, 8, 3), tmp_path).read_bytes() == one


def test_the_contract_is_what_was_written(tmp_path: Path):
    contract = contract_of(vector()) | {"trained": {"learner": "cql", "seed": 3}}
    loaded = load_policy(file_of(dense(4, 8, 3), tmp_path, contract))
    assert loaded.contract == {"format": 1, **contract}


class Unknown(nn.Module):
    """A layer that no operation describes."""


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (Unknown(), "no operation of a policy file describes Unknown"),
        (nn.Conv2d(4, 4, 3, groups=2), "describes Conv2d"),
        (nn.Conv2d(4, 4, 3, padding="same"), "describes padding 'same'"),
        (nn.LayerNorm((2, 2)), "layer norms over one axis"),
    ],
)
def test_a_layer_that_no_operation_describes_is_refused(layer: nn.Module, says: str):
    with pytest.raises(Unsupported, match=says):
        program_of(nn.Sequential(layer))


def test_a_policy_that_is_not_finite_is_not_written():
    policy = dense(4, 8, 3)
    policy.get_parameter("1.weight").data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite .* they are in 2\.weight$"):
        program_of(policy)


# --- a robot ---


def test_a_copy_of_the_loader_acts_where_nothing_else_is_installed(tmp_path: Path):
    policy = dense(4, 8, 3)
    path = file_of(policy, tmp_path)
    robot = tmp_path / "robot"
    robot.mkdir()
    shutil.copy(standalone.__file__, robot / "loader.py")
    shutil.copy(path, robot)
    code = """import sys
for name in ("torch", "gymnasium", "safetensors", "curriculum"):
    sys.modules[name] = None
import loader
policy = loader.load_policy("policy.cur")
print(policy.act([1.0, 2.0, 3.0, 4.0]), *policy.scores([[1.0, 2.0, 3.0, 4.0]])[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=robot,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    action, *scores = map(float, done.stdout.split())
    expected = outputs(policy, np.array([[1, 2, 3, 4]], np.float32))[0]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert action == expected.argmax()


def test_the_package_loads_a_policy_without_its_heavy_libraries(tmp_path: Path):
    path = file_of(dense(4, 8, 3), tmp_path)
    code = f"""import sys, curriculum
curriculum.load_policy({str(path)!r}).act([0.0, 0.0, 0.0, 0.0])
print(sorted(sys.modules.keys() & {{"torch", "gymnasium", "matplotlib"}}))"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# --- files that were changed ---


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def signed(document: dict[str, Any], weights: bytes) -> bytes:
    """A file whose checksums hold."""
    document["sha256"] = {
        DOCUMENT: checksum(document),
        WEIGHTS: hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(document).encode()
    return zipped((DOCUMENT, text), (WEIGHTS, weights))


def refusal(data: bytes, folder: Path) -> str:
    """The sentence about a file; empty if it is accepted."""
    path = folder / "changed.cur"
    path.write_bytes(data)
    try:
        policy = load_policy(path)
        policy.act(np.zeros(policy.contract["observation"]["shape"], np.float32))
    except ValueError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 500
        return sentence.removeprefix(f"{path} is not a policy: ")
    return ""


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path):
    path = file_of(dense(4, 8, 3), tmp_path)
    members = members_of(path)
    weights = bytearray(members[WEIGHTS])
    weights[-3] ^= 1
    # a zip of its own has a correct checksum of the changed member
    data = zipped((DOCUMENT, members[DOCUMENT]), (WEIGHTS, bytes(weights)))
    assert refusal(data, tmp_path).startswith("weights.safetensors is damaged")


def test_a_changed_contract_is_found(tmp_path: Path):
    members = members_of(file_of(dense(4, 8, 3), tmp_path))
    document = members[DOCUMENT].replace(b'"start": 0', b'"start": 1')
    data = zipped((DOCUMENT, document), (WEIGHTS, members[WEIGHTS]))
    assert refusal(data, tmp_path).startswith("policy.json is damaged")


def test_a_zip_with_other_members_is_refused(tmp_path: Path):
    members = members_of(file_of(dense(4, 8, 3), tmp_path))
    both = tuple(members.items())
    text = members[DOCUMENT]
    expected = "it must hold policy.json and weights.safetensors, once each, it holds "
    for data, says in [
        (zipped(*both, ("../../evil.py", b"")), f"{expected}'policy.json', 'weights.s"),
        (
            zipped(*both, ("more.bin", b"")),
            f"{expected}'policy.json', 'weights.safeten",
        ),
        (zipped((DOCUMENT, text)), f"{expected}'policy.json'"),
        (zipped(), f"{expected}nothing"),
        (zipped(*both, method=zipfile.ZIP_DEFLATED), "policy.json is compressed"),
        (zipped(*((str(k), b"") for k in range(9_999))), "it has members besides"),
        (zipped(*both)[:-1], "it is no whole zip"),
        (b"", "it is no whole zip"),
        (b"PK\5\6" + bytes(18), f"{expected}nothing"),
    ]:
        assert refusal(data, tmp_path).startswith(says)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped((DOCUMENT, text), (DOCUMENT, text))
    assert refusal(twice, tmp_path).startswith(expected)
    with pytest.raises(ValueError, match="there is no such file"):
        load_policy(tmp_path)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path: Path):
    bomb = zipped(
        *((DOCUMENT, bytes(10**7)), (WEIGHTS, bytes(10**7))),
        method=zipfile.ZIP_DEFLATED,
    )
    # as if it were not compressed
    small = bytearray(bomb)
    for place in range(len(small) - 4):
        if small[place : place + 4] in (b"PK\1\2", b"PK\3\4"):
            method = place + (10 if small[place + 2] == 1 else 8)
            small[method : method + 2] = b"\0\0"
    tracemalloc.start()
    assert refusal(bomb, tmp_path) == "policy.json is compressed"
    assert refusal(bytes(small), tmp_path) == "policy.json has two sizes"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def document_and_weights(folder: Path) -> tuple[dict[str, Any], bytes]:
    members = members_of(file_of(dense(4, 8, 3), folder))
    return json.loads(members[DOCUMENT]), members[WEIGHTS]


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("format",), 2, "it has format 2, this version reads 1"),
        (("operations", 1, "op"), "system", "operation 2: 'system' is not an operat"),
        (("operations", 1, "op"), ["relu"], "operation 2: ['relu'] is not an operati"),
        (("operations", 1, "inputs"), [2], "operation 2: inputs [2] come after it"),
        (("operations", 1, "inputs"), [-1], "operation 2: 'inputs' is -1, it must b"),
        (("operations", 1, "inputs"), [1, 1], "operation 2: inputs of shapes"),
        (("operations", 1, "weight"), "no", "operation 2: there is no array 'no'"),
        (("operations", 1, "weight"), "4.weight", "operation 2: array '4.weight' has"),
        (("operations", 1, "bias"), "2.weight", "operation 2: there is no array '2.w"),
        (("operations", 3), {"op": "relu", "inputs": [3]}, "no operation uses array"),
        (("operations", 0, "limit"), "x", "operation 1: 'limit' is 'x', it must be a"),
        (("operations", 0, "limit"), 1e300, "operation 1: 'limit' is 1e+300, it must"),
        (("operations",), [], "it has 0 operations, it must have 1 to 1,000"),
        (("operations",), [{}] * 1001, "it has 1,001 operations, it must have 1 to"),
        (("operations",), "relu", "'operations' is 'relu', it must be a list"),
        (("action",), DISCRETE | {"n": 8}, "it gives 3 scores for 8 actions"),
        (("observation", "shape"), [5], "operation 1: array '1.mean' has shape (4,)"),
        (("observation", "shape"), [2**20, 2**20], "operation 1: array '1.mean' has"),
        (("observation", "dtype"), "object", "'dtype' is 'object', it must be one of"),
        (("action", "kind"), "any", "actions are 'any', they must be discrete or box"),
        (("action", "n"), True, "'n' is True, it must be a whole number from 1"),
        (("action",), BOX, "it gives 3 numbers for actions of shape (2,)"),
        (("action",), BOX | {"shape": [3]}, "'low' has 2 numbers, it must have 3"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(
    tmp_path: Path, place: tuple, value: Any, says: str
):
    document, weights = document_and_weights(tmp_path)
    inside: Any = document
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    assert refusal(signed(document, weights), tmp_path).startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * 10**5, "the JSON of policy.json is nested too deeply"),
        (b"[]", "the JSON of policy.json is no object"),
        (b'{"format": NaN}', "the JSON of policy.json cannot be read: NaN is no"),
        (b"9" * 10**4, "the JSON of policy.json cannot be read: Exceeds the limit"),
        (b" " * 2**22 + b"{}", "the JSON of policy.json is longer than 4,194,304"),
        (b"\xff{}", "the JSON of policy.json cannot be read: 'utf-8' codec"),
    ],
)
def test_a_document_that_is_no_json_is_refused(tmp_path: Path, text: bytes, says: str):
    data = zipped((DOCUMENT, text), (WEIGHTS, b""))
    assert refusal(data, tmp_path).startswith(says)


def test_operations_that_would_fill_the_memory_are_refused(tmp_path: Path):
    document, _ = document_and_weights(tmp_path)
    huge = {"op": "max_pool2d", "inputs": [0], "size": [1, 1], "stride": [1, 1]}
    document["operations"] = [huge | {"padding": [2**20, 2**20]}]
    document["observation"]["shape"] = [1, 4, 4]
    weights = safetensors.save({})
    says = refusal(signed(document, weights), tmp_path)
    assert says.startswith("operation 1: it computes 4,398,063,288,336 numbers")
    # many operations, each of them small enough
    document["observation"]["shape"] = [2**20]
    document["operations"] = [{"op": "relu", "inputs": [0]}] * 900
    says = refusal(signed(document, weights), tmp_path)
    assert says.startswith("it computes 17,825,792 numbers for one observation")


def header(about: dict[str, Any], content: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    text = json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (b"", "weights.safetensors is cut short"),
        (b"\xff" * 8, "weights.safetensors is cut short"),
        (header({"a": 1}), "array 'a' is none of F32, F16, I8"),
        (header({"a": {"dtype": "I4"}}), "array 'a' is none of F32, F16, I8"),
        (header({"a": {"dtype": ["I8"]}}), "array 'a' is none of F32, F16, I8"),
        (
            safetensors.save({"a": np.array([1, np.inf], np.float16)}),
            "array 'a' has numbers that are not finite",
        ),
        (
            header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
            "array 'a' does not lie where it should",
        ),
        (
            header({"a": {"dtype": "F32", "shape": [2**24] * 8}}),
            "array 'a' does not lie where it should",
        ),
        (
            header({"a": {"dtype": "F32", "shape": [-1]}}),
            "'shape' is -1, it must be a whole number",
        ),
        (header({}, b"1234"), "weights.safetensors holds more than its arrays"),
        (
            safetensors.save({"a": np.array([1, np.nan], np.float32)}),
            "array 'a' has numbers that are not finite",
        ),
    ],
)
def test_weights_that_make_no_sense_are_refused(
    tmp_path: Path, weights: bytes, says: str
):
    document, _ = document_and_weights(tmp_path)
    assert refusal(signed(document, weights), tmp_path).startswith(says)


STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    7,
    1e38,
    "",
    "relu",
    [],
    [[]],
    {},
    [0, 1],
    "2.weight",
)


def places(value: Any, place: tuple = ()) -> list[tuple]:
    """The places of all values inside lists and objects of JSON."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    inner = [found for key in keys for found in places(value[key], (*place, key))]
    return [*([place] if place else []), *inner]


def test_what_is_not_refused_is_the_same_policy_or_was_signed(tmp_path: Path):
    rng = np.random.default_rng(0)
    spec = spec_of(pictures=False, discrete=False)
    path = file_of(exported("bcq", {}, spec), tmp_path, contract_of(spec))
    whole = path.read_bytes()
    original = load_policy(path)
    members = members_of(path)
    refused = 0
    for _ in range(60):  # bytes of the file, those of the zip included
        data = bytearray(whole)
        start = int(rng.integers(len(data)))
        length = int(rng.integers(1, 40))
        choice = rng.integers(3)
        if choice == 0:
            data[start] ^= 1 << int(rng.integers(8))
        elif choice == 1:
            del data[start : start + length]
        else:
            data[start:start] = rng.bytes(int(length))
        if refusal(bytes(data), tmp_path):
            refused += 1
            continue
        found = load_policy(tmp_path / "changed.cur")
        assert found.contract == original.contract
        for name, array in original.arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)
    for _ in range(60):  # values of the document, with checksums that hold
        document = json.loads(members[DOCUMENT])
        del document["sha256"]
        every = places(document)
        place = every[rng.integers(len(every))]
        inside: Any = document
        for key in place[:-1]:
            inside = inside[key]
        if rng.integers(4):
            inside[place[-1]] = STRANGE[rng.integers(len(STRANGE))]
        else:
            del inside[place[-1]]
        refused += bool(refusal(signed(document, members[WEIGHTS]), tmp_path))
    assert refused > 90
