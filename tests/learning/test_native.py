"""Native code does what torch does, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learning import native
from curriculum.learning.engine import Native, Updates
from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.types import Batch, Computing, Spec

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    bool(native.obstacle()), reason="native code needs llvmlite"
)

KINDS = [
    (name, box)
    for name in plugins.names("learner")
    for box in (False, True)
    if ("box" if box else "discrete") in plugins.make("learner", name).kinds
]

# learners whose losses are the most different; the others are slow
QUICK = (("bc", False), ("dqn", False), ("iql", False), ("cql", True), ("td3bc", True))


def make(name: str, box: bool, seeds: tuple[int, ...] = (0, 1), **settings) -> Learner:
    edge = np.full(4, np.inf, np.float32)
    spec = Spec((4,), "float32", -edge, edge, 0 if box else 3, 2 if box else 0)
    learner = plugins.make("learner", name, hidden=(16, 16), **settings)
    return learner.setup(spec, seeds)


def batches(box: bool, count: int, seeds: tuple[int, ...] = (0, 1)) -> list[Batch]:
    """Batches of which seed k has the same part whichever others there are."""
    drawn = []
    for number in range(count):
        parts = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(1000 * seed + number)
            obs, next_obs = torch.randn(2, 12, 4, generator=generator)
            reward, returns = torch.randn(2, 12, generator=generator)
            uniform = torch.rand(12, 2, generator=generator) * 2 - 1
            choice = torch.randint(3, (12,), generator=generator)
            discount = 0.9 * (torch.rand(12, generator=generator) < 0.8)
            action = uniform if box else choice
            label = action.flip(0)
            has_label = (returns > 0).float()
            soft_label = torch.rand(12, 3, generator=generator).softmax(-1)
            label_value = torch.randn(12, generator=generator)
            label_stake = torch.rand(12, generator=generator) * has_label
            window = torch.stack([action.roll(-step, 0) for step in range(5)], 1)
            length = torch.randint(1, 6, (12, 1), generator=generator)
            taken = (torch.arange(5) < length).float()
            parts.append(
                (
                    *(obs, action, reward, discount, next_obs, returns),
                    *(label, has_label, soft_label, label_value, label_stake),
                    *(window, taken),
                )
            )
        drawn.append(Batch(*map(torch.stack, zip(*parts, strict=True))))
    return drawn


def compiled(function: Callable, inputs: list[Tensor]) -> native.Program:
    return native.Program(native.Recording(function, inputs))


def assert_equal_weights(one: Learner, other: Learner, tolerance: float) -> None:
    for name, mine in one.weights.members.items():
        theirs = other.weights.members[name]
        torch.testing.assert_close(
            mine.vector, theirs.vector, atol=tolerance, rtol=tolerance, msg=name
        )


@pytest.mark.filterwarnings("error:updates run eager")
@pytest.mark.parametrize(
    ("name", "box"),
    [
        pytest.param(*kind, marks=() if kind in QUICK else pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_every_learner_learns_the_same_natively(name: str, box: bool):
    settings: dict = {"schedule": "linear", "schedule_updates": 10, "grad_clip": 1.0}
    if not (name == "bcq" and box):  # which takes no labels of box actions
        settings["label_weight"] = 0.5
    if name in ("iql", "td3bc"):
        settings["actor_hidden"] = (24, 8, 16)
    written, made = make(name, box, **settings), make(name, box, **settings)
    update = Native(made)
    for number, batch in enumerate(batches(box, 2 * written.cycle)):
        factors = np.array([0.9, 0.5]) ** number
        for learner in (written, made):
            learner.schedule_weights(regularizer=factors, label=factors)
        written.update(batch)
        update(batch)
        assert made.updates == number + 1
        for network, loss in written.last_losses.items():
            found = made.last_losses[network]
            torch.testing.assert_close(
                found, loss, atol=1e-6, rtol=1e-6, equal_nan=True, msg=network
            )
    # Adam's mean is a tenth of the gradient
    assert_equal_weights(written, made, 1e-6)
    states = [learner.head.noise.state() for learner in (written, made)]
    assert torch.equal(states[0]["generators"], states[1]["generators"])


@pytest.mark.filterwarnings("error:updates run eager")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dagger", {"soft_labels": True, "stake_power": 0.7}),
        ("iql", {"label_weight": 0.5, "soft_labels": True, "bound_weight": 0.3}),
        ("dqn", {"label_weight": 0.5, "stake_power": 2.0, "bound_weight": 0.3}),
    ],
)
def test_decisions_teach_the_same_natively(name: str, settings: dict):
    written, made = (make(name, False, **settings) for _ in range(2))
    update = Native(made)
    for batch in batches(False, 3):
        written.update(batch)
        update(batch)
        for network, loss in written.last_losses.items():
            torch.testing.assert_close(made.last_losses[network], loss)
    assert_equal_weights(written, made, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "box"), KINDS)
def test_two_hundred_updates_stay_together(name: str, box: bool):
    written, made, perturbed = (make(name, box) for _ in range(3))
    generator = torch.Generator().manual_seed(0)
    for weights in perturbed.weights.members.values():
        rounding = 6e-8 * torch.randn(weights.vector.shape, generator=generator)
        weights.vector.mul_(1 + rounding)
    update = Native(made)
    for batch in batches(box, 200):
        written.update(batch)
        perturbed.update(batch)
        update(batch)
    # EDAC multiplies any rounding error by 10,000
    own_spread = largest_difference(written, perturbed)
    assert largest_difference(written, made) <= max(1e-5, 3 * own_spread)


def largest_difference(one: Learner, other: Learner) -> float:
    found = 0.0
    for name, mine in one.weights.members.items():
        difference = (mine.vector - other.weights.members[name].vector).abs()
        if not name.startswith("adam"):
            found = max(found, float(difference.max()))
    return found


@pytest.mark.parametrize(("name", "box"), [("cql", False), ("iql", True)])
def test_a_seed_alone_is_the_seed_among_others(name: str, box: bool):
    together, alone = make(name, box, (0, 1, 2)), make(name, box, (1,))
    update_together, update_alone = Native(together), Native(alone)
    for all_seeds, own in zip(
        batches(box, 10, (0, 1, 2)), batches(box, 10, (1,)), strict=True
    ):
        update_together(all_seeds)
        update_alone(own)
    for name_of_weights, mine in alone.weights.members.items():
        theirs = together.weights.members[name_of_weights]
        for one, many in zip(mine.blocks, theirs.blocks, strict=True):
            torch.testing.assert_close(one[0], many[1], atol=3e-8, rtol=0)


def test_a_native_run_resumes_exactly():
    data = batches(True, 7)
    through, first, second = (make("td3bc", True) for _ in range(3))
    for learner, part in ((through, data), (first, data[:3])):
        update = Native(learner)
        for batch in part:
            update(batch)
    second.load(first.state())
    update = Native(second)
    for batch in data[3:]:
        update(batch)
    for name, mine in through.weights.members.items():
        assert torch.equal(mine.vector, second.weights.members[name].vector), name


def test_seeds_without_data_stay_as_they_are():
    learner = make("iql", True)
    before = learner.snapshot()
    update = Native(learner)
    for batch in batches(True, 2):
        update(batch, np.array([True, False]))
    changed = make("iql", True)
    changed.restore(before, np.array([True, True]))
    for name, weights in learner.weights.members.items():
        for now, then in zip(
            weights.blocks, changed.weights.members[name].blocks, strict=True
        ):
            assert torch.equal(now[1], then[1]), name
            if name == "net/q":
                assert not torch.equal(now[0], then[0])


def test_code_is_compiled_once_and_damaged_code_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CURRICULUM_CACHE", str(tmp_path))
    x = torch.arange(6.0)

    def double(x: Tensor) -> list[Tensor]:
        return [x * 2]

    first = compiled(double, [x])
    again = compiled(double, [x])
    assert not first.machine.was_kept
    assert again.machine.was_kept
    [kept] = (tmp_path / "updates").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    damaged = compiled(double, [x])
    assert not damaged.machine.was_kept
    for program in (first, again, damaged):
        assert program(x)[0].tolist() == [0, 2, 4, 6, 8, 10]


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CURRICULUM_CACHE", str(tmp_path / "file"))
    program = compiled(lambda x: [x + 1], [torch.zeros(2)])
    assert program(torch.ones(2))[0].tolist() == [2, 2]


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_own_random_numbers_make_updates_eager(generator: torch.Generator | None):
    learner, eager = make("dqn", False), make("dqn", False)

    def losses(batch: Batch) -> dict[str, Tensor]:
        noise = torch.randn(batch.reward.shape, generator=generator)
        return {"q": type(learner).losses(learner, batch)["q"] + 0 * noise.sum(-1)}

    learner.losses = losses  # type: ignore[method-assign]
    update = Native(learner)
    first, second = batches(False, 2)
    with pytest.warns(UserWarning, match="updates run eager: .* draws numbers"):
        update(first)
    update(second)
    eager.update(first)
    eager.update(second)
    assert update.problem
    assert_equal_weights(learner, eager, 0)


def test_numbers_that_python_reads_make_updates_eager():
    learner = make("dqn", False)
    original = learner.losses

    def losses(batch: Batch) -> dict[str, Tensor]:
        factor = batch.reward.mean().item()
        return {name: factor * loss for name, loss in original(batch).items()}

    learner.losses = losses  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="a number of Python"):
        Native(learner)(batches(False, 1)[0])


def test_code_that_disagrees_with_torch_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from curriculum.learning.native import formulas

    monkeypatch.setenv("CURRICULUM_CACHE", str(tmp_path))
    wrong = formulas.FORMULAS | {"lerp": lambda self, end, weight: self}
    monkeypatch.setattr("curriculum.learning.native.lowering.FORMULAS", wrong)
    learner, eager = make("td3bc", True), make("td3bc", True)
    update = Native(learner)
    first, second = batches(True, 2)
    with pytest.warns(UserWarning, match="native code and torch disagree"):
        update(first)
    update(second)
    eager.update(first)
    eager.update(second)
    assert_equal_weights(learner, eager, 0)


def test_a_gradient_whose_parts_cancel_is_no_disagreement():
    """As of values in the hundreds: rounding is of the size of the parts."""
    learner = make("dqn", False, huber=False)
    batch = batches(False, 1)[0]
    half = batch.reward.shape[1] // 2
    columns = {
        name: torch.cat([column[:, :half]] * 2, 1)
        for name, column in batch._asdict().items()
        if column is not None
    }
    reward = torch.full((batch.reward.shape[0], half), 100.0)
    columns["reward"] = torch.cat([reward, -reward], 1)
    columns["discount"] = torch.zeros_like(columns["discount"])
    update = Native(learner)
    update(batch._replace(**columns))
    assert not update.problem


def test_updates_that_become_eager_say_so_to_a_checkpoint():
    learner = make("dqn", False)
    use_growing_loss(learner)
    updates = Updates(learner, Computing(engine="auto", updates=10_000))
    data = batches(False, 3)
    updates(data[0])
    assert updates.mode == "native"
    with pytest.warns(UserWarning, match="changes from update to update"):
        updates(data[1])
    assert updates.mode == "eager"


def test_a_resumed_run_says_that_it_no_longer_repeats():
    learner = make("dqn", False)
    updates = Updates(learner, Computing(engine="auto", updates=10_000))
    updates.keep("native")
    use_growing_loss(learner)
    data = batches(False, 2)
    updates(data[0])
    with pytest.warns(UserWarning, match="no longer repeats bit for bit"):
        updates(data[1])


def test_a_learner_that_changes_with_time_is_noticed_at_once():
    learner, eager = make("dqn", False), make("dqn", False)
    for one in (learner, eager):
        use_growing_loss(one)
    update = Native(learner)
    data = batches(False, 4)
    update(data[0])
    with pytest.warns(UserWarning, match="changes from update to update"):
        update(data[1])
    for batch in data[2:]:
        update(batch)
    for batch in data:
        eager.update(batch)
    assert_equal_weights(learner, eager, 1e-6)


def use_growing_loss(learner: Learner) -> None:
    """Multiply the loss by the number of the update, in Python."""
    original = learner.losses

    def losses(batch: Batch) -> dict[str, Tensor]:
        factor = 1.0 + learner.updates
        return {name: factor * loss for name, loss in original(batch).items()}

    learner.losses = losses  # type: ignore[method-assign]


A = torch.linspace(-2, 3, 24).view(2, 3, 4)
B = torch.linspace(3, -1, 24).view(2, 3, 4)
PLACES = torch.tensor([[0, 2, 1], [1, 1, 0]])
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "broadcasting": lambda a, b: a + b[:, :1] * b[0, 0],
    "turned": lambda a, b: a.transpose(0, 2) * b.transpose(0, 2).contiguous(),
    "in place": lambda a, b: a.clone().mul_(b).add_(1).relu_(),
    "a part in place": lambda a, b: _set_part(a.clone(), b),
    "clamp": lambda a, b: a.clamp(-1, 1) + b.clamp(min=0.5) + a.clamp(max=b),
    "powers": lambda a, b: a**2 + (b + 2) ** 0.5 + (b + 2) ** -1 + a**3,
    "real functions": lambda a, b: a.exp().log1p() + a.tanh() + (b + 2).log() + a.sin(),
    "softplus": lambda a, b: torch.nn.functional.softplus(20 * a) + a.sigmoid(),
    "lerp": lambda a, b: a.lerp(b, 0.3) + a.lerp(b, 0.7),
    "comparison": lambda a, b: (a < b).float() + (a >= b) * a + (a != b) * 2.0,
    "truth": lambda a, b: ((a > 0) & ~(b > 0) | (a > 1)).float(),
    "choice": lambda a, b: torch.where(a > b, a, 0.5) + a.masked_fill(b > 0, 7),
    "integers": lambda a, b: ((a > 0).long() * 3 - 1).float(),
    "sums": lambda a, b: a.sum(1, keepdim=True) + b.sum((0, 2), keepdim=True),
    "mean of all": lambda a, b: a.mean() + b.mean(-1),
    "extremes": lambda a, b: a.amax(-1) + b.amin(1, keepdim=True)[..., 0],
    "places": lambda a, b: (a.argmax(-1) + b.argmin(-1)).float(),
    "norm": lambda a, b: torch.linalg.vector_norm(a, dim=(1, 2)),
    "softmax": lambda a, b: a.softmax(-1) + b.log_softmax(1) + a.logsumexp(0),
    "product": lambda a, b: a @ b.transpose(1, 2),
    "joined": lambda a, b: torch.cat([a, b[:, :1], a[:, 1:]], 1),
    "padded": lambda a, b: torch.nn.functional.pad(a, (0, 3)) + 1,
    "gather": lambda a, b: a.gather(-1, PLACES[..., None]).squeeze(-1),
    "scatter": lambda a, b: a.scatter_add(1, PLACES[:, :, None].expand(-1, -1, 4), b),
    "layer norm": lambda a, b: torch.nn.functional.layer_norm(a, (4,)),
    "other arguments": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "numbers alone": lambda a, b: torch.where(a > b, 1.0, 2.0) + torch.arange(4),
    "padded and changed": lambda a, b: _pad_and_change(a, b),
    "single numbers": lambda a, b: a.sum().softmax(0) + b.mean().amax(0),
    "left to torch": lambda a, b: a.cumsum(1) + b.sort(-1).values,
}


def _set_part(a: Tensor, b: Tensor) -> Tensor:
    a[:, 1:, ::2] = b[:, :2, ::2]
    return a


def _pad_and_change(a: Tensor, b: Tensor) -> Tensor:
    """A product with what an array was before it changed."""
    weights = b.transpose(1, 2)[..., :1].clone()  # [2, 4, 1]
    padded = torch.nn.functional.pad(weights, (0, 7))
    weights.mul_(2)
    return a @ padded


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_torch(name: str):
    operation = OPERATIONS[name]
    program = compiled(lambda a, b: [operation(a, b)], [A, B])
    for a, b in ((A, B), (B, A)):
        [found] = program(a, b)
        torch.testing.assert_close(found, operation(a, b), atol=1e-6, rtol=1e-6)


SIZES = [1, 3, 8, 9, 20]


@pytest.mark.parametrize("inner", SIZES)
@pytest.mark.parametrize("outputs", SIZES)
def test_products_of_all_sizes_and_layouts(inner: int, outputs: int):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(2, 5, inner, generator=generator)
    right = torch.randn(2, inner, outputs, generator=generator)

    def products(left: Tensor, right: Tensor) -> list[Tensor]:
        turned_left = left.transpose(1, 2).contiguous().transpose(1, 2)
        turned_right = right.transpose(1, 2).contiguous().transpose(1, 2)
        repeated = left[:1].expand(2, -1, -1)
        return [
            left @ right,
            torch.bmm(turned_left, right),
            torch.bmm(left, turned_right),
            torch.bmm(repeated, right),
            torch.bmm(right.transpose(1, 2), left.transpose(1, 2)),
        ]

    found = compiled(products, [left, right])(left, right)
    for own, expected in zip(found, products(left, right), strict=True):
        torch.testing.assert_close(own, expected, atol=2e-6, rtol=1e-6)


def test_a_constant_that_changes_in_place_is_refused():
    def function(x: Tensor) -> list[Tensor]:
        steps = torch.arange(3.0)
        return [steps.mul_(2) + x]

    with pytest.raises(native.Unsupported, match="constant"):
        native.Recording(function, [torch.zeros(3)])


def test_nan_stays_nan():
    x = torch.tensor([float("nan"), 1.0, -1.0])

    def function(x: Tensor) -> list[Tensor]:
        return [x.relu(), x.clamp(-0.5, 0.5), x.maximum(x.new_zeros(3)), x.amax()[None]]

    for found, expected in zip(compiled(function, [x])(x), function(x), strict=True):
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_places_outside_of_an_array_count_as_its_ends():
    x = torch.tensor([[1.0, 2.0, 3.0]])
    inside = torch.tensor([[0, 2]])
    program = compiled(lambda x, i: [x.gather(1, i)], [x, inside])
    assert program(x, torch.tensor([[-9, 9]]))[0].tolist() == [[1, 3]]
