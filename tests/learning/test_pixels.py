"""Encoders of stacked pictures: the published shapes, plain torch's numbers and
gradients, one seed as among others."""

import numpy as np
import pytest
import torch
from torch import nn

from curriculum.learning.kernels import Precision
from curriculum.learning.learner import Learner
from curriculum.learning.normalizer import Scale
from curriculum.learning.pixels import Encoder, Pixels
from curriculum.learning.shifts import shift
from curriculum.setting import plugins
from curriculum.types import Batch, Spec, stream

torch.set_num_threads(1)

FRAMES, SIDE = 4, 44


def network(
    encoder: Encoder,
    seeds: tuple[int, ...] = (0, 1),
    outputs: int = 3,
    extra: int = 0,
    precision: Precision = "fp32",
    center: float = 0.0,
) -> Pixels:
    net = Pixels(
        (FRAMES, SIDE, SIDE),
        outputs,
        (16,),
        members=2,
        extra=extra,
        encoder=encoder,
        center=center,
    )
    generators = [stream(seed, "test") for seed in seeds]
    return net.setup(generators, precision=precision)


def pictures(*lead: int, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).integers(
        256, size=(*lead, FRAMES, SIDE, SIDE), dtype=np.uint8
    )
    return torch.from_numpy(drawn)


def parameters(modules: list[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize(
    ("encoder", "features", "weights"),
    [
        ("nips", 2592, 12_336),
        ("nature", 3136, 77_984),
        ("nature-same", 7744, 77_984),
        ("impala", 3872, 97_744),
    ],
)
def test_an_encoder_has_the_published_size_on_atari_pictures(
    encoder: Encoder, features: int, weights: int
):
    # nips: 16*4*8*8 + 32*16*4*4 weights and 16 + 32 biases; 9 * 9 * 32 features
    # nature: 32*4*8*8 + 64*32*4*4 + 64*64*3*3 weights and 32 + 64 + 64 biases; 7 * 7 *
    # 64 features impala: 3x3 kernels 4-16, 16-32, 32-32 and four a stage of its own
    # width, with biases; 11 * 11 * 32 features
    net = Pixels((4, 84, 84), 1, (8,), encoder=encoder)
    assert net.inputs == features
    assert sum(p.numel() for p in net.parameters.values()) == weights


@pytest.mark.parametrize("encoder", ["nips", "nature", "nature-same", "impala"])
def test_every_seed_and_member_is_the_plain_module_it_exports_in_value_and_gradient(
    encoder: Encoder,
):
    net, obs = network(encoder), pictures(2, 5)
    out = net(obs)
    assert out.shape == (2, 2, 5, 3)
    gradients = torch.autograd.grad(out.square().sum(), net.leaves)
    blocks = net.weights.split(torch.cat(gradients))
    kernels = blocks[4:]  # after two dense layers
    for p in range(2):
        encoders = net.export_encoder(p)
        bodies = [net.export_body(p, k) for k in range(2)]
        expected = [nn.Sequential(Scale(), *encoders, *body)(obs[p]) for body in bodies]
        for k in range(2):
            torch.testing.assert_close(out[p, k], expected[k], atol=1e-5, rtol=1e-5)
        loss = sum(each.square().sum() for each in expected)
        assert isinstance(loss, torch.Tensor)
        slopes = torch.autograd.grad(loss, parameters(encoders))
        for mine, slope in zip(kernels, slopes, strict=True):
            own = mine[p].movedim(-1, 1) if slope.dim() > 1 else mine[p]
            torch.testing.assert_close(own, slope, atol=1e-4, rtol=1e-3)


def test_xavier_fills_the_range_of_every_layer_and_leaves_biases_at_zero():
    net = Pixels((4, 84, 84), 3, (16,), encoder="nature", initialization="xavier")
    net.setup([stream(0, "test")])
    # sqrt(6 / (inputs + outputs)), kernels times their area
    limits = [(3136 + 16, 1), (16 + 3, 1), (4 + 32, 64), (32 + 64, 16), (64 + 64, 9)]
    blocks = net.weights.blocks
    for weight, bias, (ends, area) in zip(
        blocks[::2], blocks[1::2], limits, strict=True
    ):
        limit = (6 / (ends * area)) ** 0.5
        assert 0.9 * limit < weight.abs().max() <= limit
        assert not bias.any()


def test_images_are_shifted_alone_and_repeat_their_edge():
    image = torch.arange(12, dtype=torch.uint8).view(1, 1, 1, 3, 4)
    images = image.expand(1, 3, 2, 3, 4)  # two frames in a stack
    moved = shift(images, torch.tensor([[[0, 0], [1, 0], [-1, 2]]]))
    assert moved[0, 0, 0].tolist() == image[0, 0, 0].tolist()
    assert moved[0, 1, 0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert moved[0, 2, 0].tolist() == [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7]]
    assert torch.equal(moved[0, :, 0], moved[0, :, 1])


def test_a_learner_shifts_by_all_distances_and_each_seed_as_alone():
    seen: list[Batch] = []

    def losses(given: Batch) -> dict[str, torch.Tensor]:
        seen.append(given)
        return {}

    marked = torch.zeros(2, 200, 1, 9, 9, dtype=torch.uint8)
    marked[..., 4, 4] = 1
    for seeds in ((0, 1), (1,)):
        learner = plugins.make("learner", "bc", hidden=(16,), random_shift=2)
        learner.setup(spec_of(1, 44), seeds)
        learner.losses = losses
        obs = marked[: len(seeds)]
        number = torch.zeros(len(seeds), 200)
        learner.step(Batch(obs, number.long(), number, number, obs), 0.0)
    both, alone = seen
    found = both.obs[0].nonzero()[:, -2:]  # one mark in each image
    assert len({tuple(place) for place in found.tolist()}) == 25
    assert found.min() == 2
    assert found.max() == 6
    assert (both.obs != both.next_obs).any()
    assert torch.equal(both.obs[1], alone.obs[0])


def test_pictures_count_from_zero_to_one():
    assert Scale()(
        torch.tensor([[[[0, 255], [51, 102]]]], dtype=torch.uint8)
    ).flatten().tolist() == pytest.approx([0.0, 1.0, 0.2, 0.4])


def test_features_are_those_of_pixels_less_the_center():
    net, obs = network("nature-same", center=0.34), pictures(2, 3)
    for p in range(2):
        policy = nn.Sequential(Scale(0.34), *net.export_encoder(p))
        torch.testing.assert_close(net.encode(obs)[p], policy(obs[p]))
    assert Scale(0.25)(torch.tensor([255, 51])).tolist() == pytest.approx([0.75, -0.05])
    without = network("nature-same").encode(obs)
    assert not torch.allclose(net.encode(obs), without, atol=1e-2)


def test_lower_precision_moves_features_by_little():
    obs = pictures(2, 3)
    exact = network("nature").encode(obs)
    net = network("nature", precision="bf16")
    assert net.encode(obs).dtype == torch.float32
    assert not torch.equal(net.encode(obs), exact)
    torch.testing.assert_close(net.encode(obs), exact, atol=0.02, rtol=0.05)


def spec_of(frames: int, side: int) -> Spec:
    shape = (frames, side, side)
    return Spec(
        shape, "uint8", np.zeros(shape), np.full(shape, 255.0), 3, frames=frames
    )


def make(
    name: str, box: bool, seeds: tuple[int, ...], encoder: str = "nature"
) -> Learner:
    shape = (FRAMES, SIDE, SIDE)
    spec = Spec(
        shape,
        "uint8",
        np.zeros(shape),
        np.full(shape, 255.0),
        0 if box else 3,
        2 if box else 0,
        frames=FRAMES,
    )
    return plugins.make("learner", name, hidden=(16,), encoder=encoder).setup(
        spec, seeds
    )


def batch(seeds: tuple[int, ...], box: bool) -> Batch:
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        action = (
            rng.uniform(-1, 1, (6, 2)).astype(np.float32)
            if box
            else rng.integers(3, size=6)
        )
        rows.append(
            (
                action,
                rng.normal(size=6).astype(np.float32),
                rng.normal(size=6).astype(np.float32),
            )
        )
    columns = [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]
    obs = torch.stack([pictures(6, seed=seed) for seed in seeds])
    next_obs = torch.stack([pictures(6, seed=seed + 100) for seed in seeds])
    return Batch(
        obs,
        columns[0],
        columns[1],
        torch.full(columns[1].shape, 0.9),
        next_obs,
        columns[2],
        label=columns[0].flip(1),
        has_label=(columns[2] > 0).float(),
        action_window=torch.stack([columns[0].roll(-t, 1) for t in range(5)], 2),
        window_taken=torch.ones(*columns[1].shape, 5),
    )


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("name", plugins.names("learner"))
def test_every_learner_sees_pictures_and_exports_what_it_does(name: str, box: bool):
    if ("box" if box else "discrete") not in plugins.make("learner", name).kinds:
        pytest.skip(f"{name} does not take these actions")
    learner, seen = make(name, box, (0,)), batch((0,), box)
    before = {key: net.weights.vector.clone() for key, net in learner.nets.items()}
    for _ in range(2):
        learner.update(seen)
    for key, net in learner.nets.items():
        assert not torch.equal(net.weights.vector, before[key]), key
    assert all(loss.isfinite().all() for loss in learner.last_losses.values())
    acted, exported = (
        learner.act(seen.obs.numpy())[0],
        learner.export(0)(seen.obs[0]).detach().numpy(),
    )
    if box:
        np.testing.assert_allclose(exported, acted, atol=1e-5)
    else:
        np.testing.assert_array_equal(exported.argmax(-1), acted)


@pytest.mark.parametrize(("name", "box"), [("dqn", False), ("td3bc", True)])
def test_a_seed_that_sees_pictures_learns_the_same_alone_and_among_others(
    name: str, box: bool
):
    alone, among = make(name, box, (2,)), make(name, box, (0, 2))
    for _ in range(3):
        alone.update(batch((2,), box))
        among.update(batch((0, 2), box))
    for mine, theirs in zip(
        alone.weights.members.values(), among.weights.members.values(), strict=True
    ):
        for own, other in zip(mine.blocks, theirs.blocks, strict=True):
            torch.testing.assert_close(own[0], other[1], atol=1e-6, rtol=0)
