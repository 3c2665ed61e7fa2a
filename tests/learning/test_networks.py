"""Stacked networks: equal to plain torch modules, with autograd's gradients, drawn by
each seed for itself."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum.learning.kernels import bf32, product
from curriculum.learning.networks import (
    MLP,
    ObsNetwork,
    Scalar,
    Stacked,
    gradient_of,
)
from curriculum.learning.normalizer import Normalize
from curriculum.learning.parts import Dense, LayerNorm, Part, ReLU, Residual, mlp
from curriculum.learning.weights import Weights
from curriculum.types import stream

torch.set_num_threads(1)


def stacked(
    outputs: int = 3,
    *,
    hidden: tuple[int, ...] = (8, 5),
    seeds: tuple[int, ...] = (0, 1, 2),
    members: int = 2,
    layer_norm: bool = False,
) -> MLP:
    return MLP(4, outputs, hidden, members, layer_norm).setup(
        [stream(seed, "test") for seed in seeds]
    )


def inputs(*shape: int) -> torch.Tensor:
    return torch.tensor(
        np.random.default_rng(0).normal(size=shape), dtype=torch.float32
    )


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("hidden", [(8,), (8, 5), (7, 6, 5)])
def test_every_seed_and_member_is_the_plain_module_it_exports(
    outputs, hidden, layer_norm
):
    net, x = stacked(outputs, hidden=hidden, layer_norm=layer_norm), inputs(3, 7, 4)
    out = net(x)
    assert out.shape == (3, 2, 7, outputs)
    for p, k in np.ndindex(3, 2):
        torch.testing.assert_close(
            out[p, k], nn.Sequential(*net.export(p, k))(x[p]), atol=1e-6, rtol=0
        )


def test_two_networks_worked_out_by_hand():
    net = MLP(2, 1, (2,)).setup([stream(seed, "test") for seed in (0, 1)])
    first, first_bias, last, last_bias = net.weights.blocks
    # row i: what input i adds to each hidden unit
    first[0, 0] = torch.tensor([[1.0, -1.0], [2.0, 1.0]])
    first[1, 0] = torch.tensor([[0.5, 1.0], [0.0, -3.0]])
    first_bias[:, 0, 0] = torch.tensor([[0.0, -4.0], [1.0, 2.0]])
    last[:, 0, :, 0] = torch.tensor([[10.0, 100.0], [2.0, 3.0]])
    last_bias[:, 0, 0, 0] = torch.tensor([0.5, -1.0])
    # seed 0 at (1, 2): hidden (1+4, -1+2-4) = (5, -3), cut to (5, 0), out 50.5; at (-4,
    # 3): (2, 3), out 320.5 seed 1 at (1, 2): hidden (1.5, 1-6+2) = (1.5, -3), cut to
    # (1.5, 0), out 2; at (-4, 3): (-1, -11), out -1
    x = torch.tensor([[1.0, 2.0], [-4.0, 3.0]]).expand(2, 2, 2)
    assert net(x)[:, 0, :, 0].tolist() == [[50.5, 320.5], [2.0, -1.0]]


def test_weights_and_biases_are_uniform_within_one_over_the_root_of_the_inputs():
    net = MLP(4, 2, (100,), members=2).setup(
        [stream(seed, "test") for seed in range(60)]
    )
    # 4 inputs, then 100
    for block, bound in zip(net.weights.blocks, [0.5, 0.5, 0.1, 0.1], strict=True):
        assert 0.97 * bound < block.abs().max() <= bound
        assert abs(float(block.mean())) < 0.1 * bound
        assert float(block.std()) == pytest.approx(bound / 3**0.5, rel=0.05)


def test_a_seed_draws_the_same_weights_alone_and_among_others_and_no_two_are_alike():
    alone, among = stacked(seeds=(7,)), stacked(seeds=(3, 7, 11))
    for mine, theirs in zip(alone.weights.blocks, among.weights.blocks, strict=True):
        assert torch.equal(mine[0], theirs[1])
        drawn = theirs.flatten(0, 1).flatten(1)  # [P * K, ...]
        assert len(torch.unique(drawn, dim=0)) == 6


def test_a_frozen_copy_starts_equal_and_neither_moves_the_other():
    net, x = stacked(), inputs(3, 7, 4)
    copied, before = net.frozen_copy(), net(x).detach()
    assert torch.equal(copied(x), before)
    assert not copied(x).requires_grad
    net.weights.vector += 1
    assert torch.equal(copied(x), before)
    copied.weights.vector.zero_()
    assert (net(x) != 0).any()


def test_what_moves_the_vector_moves_the_network():
    net, x = stacked(), inputs(3, 7, 4)
    assert net(x).requires_grad
    net.weights.vector.zero_()
    assert not net(x).any()


def test_blocks_lie_in_the_vector_one_after_the_other():
    stack = Weights([(2, 1, 3), (2, 2)])
    stack.vector[:10] = torch.arange(10.0)
    assert [block.tolist() for block in stack.blocks] == [
        [[[0, 1, 2]], [[3, 4, 5]]],
        [[6, 7], [8, 9]],
    ]
    assert [block.tolist() for block in stack.split(stack.vector * 2)][1] == [
        [12, 14],
        [16, 18],
    ]
    # no rest that a processor would round in another way than whole registers
    assert len(stack.vector) % 16 == 0
    assert not stack.vector[10:].any()


@pytest.mark.parametrize("seeds", [1, 2])
def test_rows_of_seeds_hold_every_weight_of_their_seed_and_no_other(seeds: int):
    weights = Weights([(seeds, 2, 3), (seeds, 1)])
    for seed in range(seeds):
        for block in weights.blocks:
            block[seed] = seed + 1
    rows = weights.split_seeds(weights.vector)
    for seed in range(seeds):
        own = torch.cat([row[seed] for row in rows])
        assert (own == seed + 1).sum() == 7
        assert (own[own != seed + 1] == 0).all()  # padding


def test_read_seeds_touches_the_masked_seeds_alone():
    stack = Weights([(3, 1, 2), (3, 1)])
    stack.read_seeds(torch.ones_like(stack.vector), torch.tensor([True, False, True]))
    assert [block.tolist() for block in stack.blocks] == [
        [[[1, 1]], [[0, 0]], [[1, 1]]],
        [[1], [0], [1]],
    ]


def test_a_single_output_is_computed_as_any_other():
    single, double, x = stacked(1), stacked(2), inputs(3, 7, 4)
    for one, two in zip(single.weights.blocks, double.weights.blocks, strict=True):
        two[..., : one.shape[-1]] = one  # the other output's weights stay
    one, two = single(x)[..., 0], double(x)[..., 0]
    torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    (slope,) = torch.autograd.grad(one.square().sum(), single.leaves)
    (expected,) = torch.autograd.grad(two.square().sum(), double.leaves)
    for mine, theirs in zip(
        single.weights.split(slope), double.weights.split(expected), strict=True
    ):
        torch.testing.assert_close(
            mine, theirs[..., : mine.shape[-1]], atol=1e-5, rtol=1e-5
        )


def test_an_export_is_a_copy():
    net = stacked()
    linear = net.export(1, 0)[0]
    assert isinstance(linear, nn.Linear)
    before = net.weights.vector.clone()
    linear.weight.data.zero_()
    assert torch.equal(net.weights.vector, before)


def test_normalize_flattens_shifts_and_scales():
    layer = Normalize(
        torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 10.0, 0.5, 2.0])
    )
    pixels = torch.tensor([[[1, 3], [5, 3]]], dtype=torch.uint8)
    assert layer(pixels).tolist() == [[0.0, 10.0, 1.0, -2.0]]


# --- gradients: against autograd through plain operations on the same numbers ---

every_form = pytest.mark.parametrize(
    ("seeds", "members", "layer_norm", "outputs"),
    list(itertools.product((1, 3), (1, 2), (False, True), (1, 3))),
)


def layers_of(net: MLP, vector: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of every layer."""
    blocks = net.weights.split(vector)
    return list(zip(blocks[::2], blocks[1::2], strict=True))


def plain(net: MLP, x: Tensor, vector: Tensor) -> Tensor:
    """What `net` would say with the weights in `vector`, by operations that autograd
    differentiates, any times."""
    *layers, last = layers_of(net, vector)
    h = x.unsqueeze(1)
    for weight, bias in layers:
        h = (
            torch.einsum("pkbi,pkio->pkbo", h.expand(-1, net.members, -1, -1), weight)
            + bias
        )
        if any(isinstance(part, LayerNorm) for part in net.chain.parts):
            centred = h - h.mean(-1, keepdim=True)
            h = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        h = h.clamp(min=0)
    return torch.einsum("pkbi,pkio->pkbo", h, last[0]) + last[1]


def some_loss(out: Tensor) -> Tensor:
    """Not linear, and of another slope for every output, row, member and seed."""
    return (
        (out + 1).square() * torch.linspace(-1, 2, out.numel()).view(out.shape)
    ).sum()


@every_form
def test_gradients_are_those_of_autograd_through_plain_operations(
    seeds, members, layer_norm, outputs
):
    net = stacked(
        outputs, seeds=tuple(range(seeds)), members=members, layer_norm=layer_norm
    )
    x = inputs(seeds, 7, 4).requires_grad_()
    vector = net.weights.vector.clone().requires_grad_()
    out, expected = net.body(x), plain(net, x, vector)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    mine = torch.autograd.grad(some_loss(out), [x, *net.leaves])
    theirs = torch.autograd.grad(some_loss(expected), [x, vector])
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)
    # as observations come: without a slope
    alone = torch.autograd.grad(some_loss(net.body(x.detach())), net.leaves)
    torch.testing.assert_close(alone[0], theirs[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_gradients_are_those_of_finite_differences(outputs, layer_norm):
    net, x = (
        in_double(stacked(outputs, seeds=(0, 1), layer_norm=layer_norm)),
        inputs(2, 3, 4).double().requires_grad_(),
    )
    # moves the leaf where it lies
    assert torch.autograd.gradcheck(lambda x, leaf: net.body(x), (x, net.leaves[0]))


def in_double(net: MLP) -> MLP:
    net.weights.vector = net.weights.vector.double()
    net.weights.blocks = net.weights.split(net.weights.vector)
    return net.bind(net.weights, trains=True)


def test_the_padding_of_the_vector_has_no_gradient():
    net, x = stacked(), inputs(3, 7, 4)
    (gradient,) = torch.autograd.grad(net(x).sum(), net.leaves)
    assert len(gradient) > net.weights.size
    assert not gradient[net.weights.size :].any()


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_network_that_a_loss_asks_twice_gets_both_gradients(layer_norm):
    net, x, y = stacked(1, layer_norm=layer_norm), inputs(3, 7, 4), inputs(3, 5, 4) * 2
    vector = net.weights.vector.clone().requires_grad_()
    (mine,) = torch.autograd.grad(some_loss(net(x)) + some_loss(net(y)), net.leaves)
    (theirs,) = torch.autograd.grad(
        some_loss(plain(net, x, vector)) + some_loss(plain(net, y, vector)), vector
    )
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    # its own output comes back as input
    chained = MLP(4, 4, (8,)).setup([stream(0, "test")])
    vector, x = chained.weights.vector.clone().requires_grad_(), inputs(1, 7, 4)
    (mine,) = torch.autograd.grad(
        some_loss(chained(chained(x).squeeze(1))), chained.leaves
    )
    (theirs,) = torch.autograd.grad(
        some_loss(plain(chained, plain(chained, x, vector).squeeze(1), vector)), vector
    )
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@every_form
def test_a_gradient_of_another_network_passes_through_without_one_of_its_own(
    seeds, members, layer_norm, outputs
):
    generators = [stream(seed, "actor") for seed in range(seeds)]
    actor = MLP(4, 4, (6,)).setup(generators)
    critic = stacked(
        outputs, seeds=tuple(range(seeds)), members=members, layer_norm=layer_norm
    )
    x = inputs(seeds, 7, 4)
    vectors = [net.weights.vector.clone().requires_grad_() for net in (actor, critic)]
    expected = torch.autograd.grad(
        some_loss(plain(critic, plain(actor, x, vectors[0]).squeeze(1), vectors[1])),
        vectors,
    )
    loss = some_loss(critic.body(actor(x).squeeze(1)))
    with gradient_of(actor, (actor, critic)):
        ours, none = torch.autograd.grad(
            loss, [*actor.leaves, *critic.leaves], retain_graph=True, allow_unused=True
        )
    torch.testing.assert_close(ours, expected[0], atol=1e-5, rtol=1e-4)
    assert none is None
    with gradient_of(critic, (actor, critic)):  # the same graph again
        (ours,) = torch.autograd.grad(loss, critic.leaves)
    torch.testing.assert_close(ours, expected[1], atol=1e-5, rtol=1e-4)


def test_a_graph_can_be_walked_through_twice_and_gives_the_same():
    net, x = stacked(layer_norm=True), inputs(3, 7, 4)
    loss = some_loss(net(x))
    first, second = (
        torch.autograd.grad(loss, net.leaves, retain_graph=True)[0] for _ in range(2)
    )
    assert torch.equal(first, second)


def test_reused_memory_holds_both_gradients_of_a_network_that_is_asked_twice():
    """It may keep memory for its gradient from one backward pass to the next."""
    net, x, y = stacked(layer_norm=True), inputs(3, 7, 4), inputs(3, 5, 4) * 2
    first, second = some_loss(net(x)) + some_loss(net(y)), some_loss(net(y))
    expected = [
        torch.autograd.grad(loss, net.leaves, retain_graph=True)[0]
        for loss in (first, second)
    ]
    for loss, gradient in zip(
        (first, second, first), (*expected, expected[0]), strict=True
    ):
        with gradient_of(net, [net]):
            (mine,) = torch.autograd.grad(loss, net.leaves, retain_graph=True)
        torch.testing.assert_close(mine, gradient)


def test_without_gradients_the_answer_is_the_same_and_nothing_is_recorded():
    net, x = stacked(), inputs(3, 7, 4)
    recorded = net(x)
    with torch.no_grad():
        assert torch.equal(net(x), recorded)
        assert not net(x).requires_grad
    with torch.inference_mode():
        assert torch.equal(net(x), recorded)


def test_inputs_and_slopes_that_come_in_are_left_as_they_are():
    net, x = stacked(layer_norm=True), inputs(3, 7, 4).requires_grad_()
    before, slope = x.detach().clone(), torch.ones(3, 2, 7, 3)
    torch.autograd.grad(net(x), [x, *net.leaves], slope)
    assert torch.equal(x, before)
    assert (slope == 1).all()


@pytest.mark.parametrize("loss", [some_loss, torch.sum])
def test_a_second_derivative_through_the_written_backward_pass_is_no_silent_zero(loss):
    net, x = stacked(1), inputs(3, 7, 4).requires_grad_()

    def twice() -> Any:  # `input_gradient` is what can be differentiated again
        (slope,) = torch.autograd.grad(loss(net.body(x)), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), net.leaves)

    with pytest.raises(RuntimeError):
        twice()


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("hidden", [(8,), (8, 5), (7, 6, 5)])
def test_slopes_and_their_own_derivative_are_those_of_autograd_twice(
    seeds, members, hidden
):
    net, x = (
        stacked(1, hidden=hidden, seeds=tuple(range(seeds)), members=members),
        inputs(seeds, 7, 4).requires_grad_(),
    )
    vector = net.weights.vector.clone().requires_grad_()
    out = plain(net, x, vector)
    expected = torch.stack(
        [torch.autograd.grad(q.sum(), x, create_graph=True)[0] for q in out.unbind(1)],
        1,
    )
    for columns in (1, 3, 4):
        slope = net.input_gradient(x.detach(), columns)
        assert slope.shape == (seeds, members, 7, columns)
        torch.testing.assert_close(
            slope, expected[..., -columns:], atol=1e-6, rtol=1e-5
        )
    mine = torch.autograd.grad(some_loss(net.input_gradient(x.detach(), 3)), net.leaves)
    theirs = torch.autograd.grad(some_loss(expected[..., -3:]), vector)
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_the_derivative_of_slopes_is_that_of_finite_differences():
    net, x = in_double(stacked(1, seeds=(0, 1))), inputs(2, 3, 4).double()
    assert torch.autograd.gradcheck(lambda leaf: net.input_gradient(x, 2), net.leaves)


def test_slopes_of_normalised_layers_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="layer_norm False"):
        stacked(1, layer_norm=True).input_gradient(inputs(3, 7, 4), 2)


def test_normalised_layers_worked_out_by_hand():
    net = MLP(1, 1, (2,), layer_norm=True).setup([stream(0, "test")])
    for block, numbers in zip(
        net.weights.blocks,
        ([[3.0, -1.0]], [[0.0, 0.0]], [[5.0], [7.0]], [[0.5]]),
        strict=True,
    ):
        block[0, 0] = torch.tensor(numbers)
    # at 1 and at 2 the hidden layer is (3, -1) and (6, -2): both are (1, -1) once
    # normalised; at -1 it is (-1, 1)
    assert net(
        torch.tensor([[[1.0], [2.0], [-1.0]]])
    ).flatten().tolist() == pytest.approx([5.5, 5.5, 7.5], abs=1e-4)


def test_a_scalar_is_one_number_a_seed_with_a_gradient_of_its_own():
    scalar: Any = Scalar(0.25).setup([stream(seed, "test") for seed in (0, 1, 2)])
    assert scalar().tolist() == [0.25] * 3
    (gradient,) = torch.autograd.grad(
        (scalar() * torch.tensor([1.0, 2.0, 3.0])).sum(), scalar.leaves
    )
    assert gradient[:3].tolist() == [1, 2, 3]
    assert not gradient[3:].any()
    scalar.weights.vector += 1
    assert scalar().tolist() == [1.25] * 3
    assert scalar.frozen_copy()().tolist() == [1.25] * 3


# --- precision ---


@pytest.mark.parametrize("precision", ["bf32", "bf16"])
@pytest.mark.parametrize("sizes", [(63, 64, 64), (64, 63, 64), (64, 64, 63)])
def test_products_that_are_narrow_on_any_side_are_exact_in_every_precision(
    precision, sizes
):
    rows, inner, columns = sizes
    a, b = inputs(2, rows, inner), inputs(2, inner, columns)
    assert torch.equal(product(a, b, precision), a @ b)


@pytest.mark.parametrize("precision", ["bf32", "bf16"])
def test_wide_products_are_as_close_as_roundings_to_8_bits_allow(precision):
    a, b, out = inputs(2, 64, 64), inputs(2, 64, 64), torch.empty(2, 64, 64)
    before = torch.get_float32_matmul_precision()
    exact, filled = a @ b, product(a, b, precision, out=out)
    for low in (product(a, b, precision), filled, out):
        assert low.dtype == torch.float32
        assert (low - exact).norm() < 2**-7 * exact.norm()
    assert torch.get_float32_matmul_precision() == before


def test_the_precision_of_others_is_as_before_even_after_an_error():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(RuntimeError, match="cannot be multiplied"), bf32():
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert torch.get_float32_matmul_precision() == before
    with bf32():
        assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize("precision", ["bf32", "bf16"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_in_lower_precision_point_where_exact_ones_do(precision, layer_norm):
    found = []
    for chosen in ("fp32", precision):
        net = MLP(4, 1, (64, 64), 2, layer_norm)
        net.setup([stream(seed, "test") for seed in (0, 1)], precision=chosen)
        found.append(
            torch.autograd.grad(net(inputs(2, 64, 4)).square().sum(), net.leaves)[0]
        )
    exact, low = found
    assert torch.nn.functional.cosine_similarity(exact, low, dim=0) > 0.999
    assert (low - exact).norm() < 0.03 * exact.norm()


# --- bodies made of parts ---


def simba(inputs: int, outputs: int, width: int, blocks: int) -> list[Part]:
    """Residual blocks with layer norm, as in SimBa (arXiv 2410.09754)."""
    block = [
        LayerNorm(width),
        Dense(width, 4 * width),
        ReLU(),
        Dense(4 * width, width),
    ]
    residuals = [Residual(block) for _ in range(blocks)]
    first = Dense(inputs, width)
    return [first, *residuals, LayerNorm(width), Dense(width, outputs)]


@pytest.mark.parametrize("members", [1, 2])
def test_residual_blocks_have_the_outputs_and_gradients_of_what_they_export(members):
    net = Stacked(simba(4, 3, 8, 2), members)
    net.setup([stream(seed, "test") for seed in (0, 1)])
    x = inputs(2, 7, 4).requires_grad_()
    out = net(x)
    assert out.shape == (2, members, 7, 3)
    mine = torch.autograd.grad(some_loss(out), [x, *net.leaves])
    modules = [
        [nn.Sequential(*net.export(p, k)) for k in range(members)] for p in range(2)
    ]
    plain_x = x.detach().clone().requires_grad_()
    rows = [
        torch.stack([module(plain_x[p]) for module in modules[p]]) for p in range(2)
    ]
    expected = torch.stack(rows)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    some_loss(expected).backward()
    torch.testing.assert_close(mine[0], plain_x.grad, atol=1e-5, rtol=1e-4)
    blocks = net.weights.split(mine[1])
    for p, k in np.ndindex(2, members):
        for block, parameter in zip(blocks, modules[p][k].parameters(), strict=True):
            own = block[p, k].T if parameter.dim() == 2 else block[p, k, 0]
            torch.testing.assert_close(own, parameter.grad, atol=1e-5, rtol=1e-4)


def test_residual_blocks_draw_the_same_alone_and_among_others():
    alone, among = (
        Stacked(simba(4, 1, 8, 1), 2).setup([stream(seed, "test") for seed in seeds])
        for seeds in ((7,), (3, 7))
    )
    for mine, theirs in zip(alone.weights.blocks, among.weights.blocks, strict=True):
        assert torch.equal(mine[0], theirs[1])


def test_gradients_with_respect_to_inputs_pass_through_residual_blocks():
    parts = [Dense(4, 6), Residual([Dense(6, 8), ReLU(), Dense(8, 6)]), Dense(6, 1)]
    net = Stacked(parts, 2).setup([stream(seed, "test") for seed in (0, 1)])
    x = inputs(2, 5, 4).requires_grad_()
    slope = net.input_gradient(x.detach(), 3)
    for k in range(2):
        (expected,) = torch.autograd.grad(net(x)[:, k].sum(), x)
        torch.testing.assert_close(slope[:, k], expected[..., 1:], atol=1e-6, rtol=1e-5)


def test_chains_that_would_overwrite_their_callers_tensors_are_refused():
    for parts in ([ReLU(), Dense(4, 4)], [Dense(4, 4), ReLU()], []):
        with pytest.raises(ValueError, match="begin and end with parts that"):
            Residual(parts)


def test_a_network_without_gradients_of_its_inputs_says_so():
    with pytest.raises(ValueError, match="ObsNetwork does not offer"):
        ObsNetwork().input_gradient(inputs(1, 2, 4), 2)


def test_an_mlp_is_the_list_of_its_parts():
    kinds = [type(part) for part in mlp(4, 2, (8, 8), layer_norm=True)]
    hidden = [Dense, LayerNorm, ReLU]
    assert kinds == [*hidden, *hidden, Dense]
