"""Stacked networks: equal to plain torch modules, drawn by each seed for itself, copied without a tie."""

import numpy as np
import pytest
import torch
from torch import nn

from curriculum.nets import MLP, Normalize, Stack
from curriculum.types import stream

torch.set_num_threads(1)


def stacked(outputs: int = 3, *, hidden: tuple[int, ...] = (8, 5), seeds: tuple[int, ...] = (0, 1, 2)) -> MLP:
    return MLP(4, outputs, hidden, members=2).setup([stream(seed, "test") for seed in seeds])


def inputs(*shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).normal(size=shape), dtype=torch.float32)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("hidden", [(8,), (8, 5), (7, 6, 5)])
def test_every_seed_and_member_is_the_plain_module_it_exports(outputs, hidden):
    net, x = stacked(outputs, hidden=hidden), inputs(3, 7, 4)
    out = net(x)
    assert out.shape == (3, 2, 7, outputs)
    for p, k in np.ndindex(3, 2):
        torch.testing.assert_close(out[p, k], nn.Sequential(*net.export(p, k))(x[p]), atol=1e-6, rtol=0)


def test_two_networks_worked_out_by_hand():
    net = MLP(2, 1, (2,)).setup([stream(seed, "test") for seed in (0, 1)])
    first, first_bias, last, last_bias = net.weights.blocks
    first[0, 0] = torch.tensor([[1.0, -1.0], [2.0, 1.0]])  # row i: what input i adds to each hidden unit
    first[1, 0] = torch.tensor([[0.5, 1.0], [0.0, -3.0]])
    first_bias[:, 0, 0] = torch.tensor([[0.0, -4.0], [1.0, 2.0]])
    last[:, 0, :, 0] = torch.tensor([[10.0, 100.0], [2.0, 3.0]])
    last_bias[:, 0, 0, 0] = torch.tensor([0.5, -1.0])
    # seed 0 at (1, 2): hidden (1+4, -1+2-4) = (5, -3), cut to (5, 0), out 50.5; at (-4, 3): (2, 3), out 320.5
    # seed 1 at (1, 2): hidden (1.5, 1-6+2) = (1.5, -3), cut to (1.5, 0), out 2; at (-4, 3): (-1, -11), out -1
    x = torch.tensor([[1.0, 2.0], [-4.0, 3.0]]).expand(2, 2, 2)
    assert net(x)[:, 0, :, 0].tolist() == [[50.5, 320.5], [2.0, -1.0]]


def test_weights_and_biases_are_uniform_within_one_over_the_root_of_the_inputs():
    net = MLP(4, 2, (100,), members=2).setup([stream(seed, "test") for seed in range(60)])
    for block, bound in zip(net.weights.blocks, [0.5, 0.5, 0.1, 0.1], strict=True):  # 4 inputs, then 100
        assert 0.97 * bound < block.abs().max() <= bound
        assert abs(float(block.mean())) < 0.1 * bound
        assert float(block.std()) == pytest.approx(bound / 3**0.5, rel=0.05)


def test_a_seed_draws_the_same_weights_alone_and_among_others_and_no_two_are_alike():
    alone, among = stacked(seeds=(7,)), stacked(seeds=(3, 7, 11))
    for mine, theirs in zip(alone.weights.blocks, among.weights.blocks, strict=True):
        assert torch.equal(mine[0], theirs[1])
        drawn = theirs.flatten(0, 1).flatten(1)  # [P * K, ...]
        assert len(torch.unique(drawn, dim=0)) == 6


def test_a_twin_starts_equal_and_neither_moves_the_other():
    net, x = stacked(), inputs(3, 7, 4)
    twin, before = net.twin(), net(x).detach()
    assert torch.equal(twin(x), before)
    assert not twin(x).requires_grad
    net.weights.vector += 1
    assert torch.equal(twin(x), before)
    twin.weights.vector.zero_()
    assert (net(x) != 0).any()


def test_what_moves_the_vector_moves_the_network():
    net, x = stacked(), inputs(3, 7, 4)
    assert net(x).requires_grad
    net.weights.vector.zero_()
    assert not net(x).any()


def test_blocks_lie_in_the_vector_one_after_the_other():
    stack = Stack([(2, 1, 3), (2, 2)])
    stack.vector[:10] = torch.arange(10.0)
    assert [block.tolist() for block in stack.blocks] == [[[[0, 1, 2]], [[3, 4, 5]]], [[6, 7], [8, 9]]]
    assert [block.tolist() for block in stack.split(stack.vector * 2)][1] == [[12, 14], [16, 18]]
    assert len(stack.vector) % 16 == 0  # no rest that a processor would round in another way than whole registers


def test_copy_seeds_touches_the_masked_seeds_alone():
    stack = Stack([(3, 1, 2), (3, 1)])
    stack.copy_seeds(torch.ones_like(stack.vector), torch.tensor([True, False, True]))
    assert [block.tolist() for block in stack.blocks] == [[[[1, 1]], [[0, 0]], [[1, 1]]], [[1], [0], [1]]]


def test_a_single_output_is_computed_as_any_other():
    single, double, x = stacked(1), stacked(2), inputs(3, 7, 4)
    for one, two in zip(single.weights.blocks, double.weights.blocks, strict=True):
        two[..., : one.shape[-1]] = one  # the other output's weights stay
    one, two = single(x)[..., 0], double(x)[..., 0]
    torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    slopes = torch.autograd.grad(one.square().sum(), single.parameters)
    expected = torch.autograd.grad(two.square().sum(), double.parameters)
    for mine, theirs in zip(slopes, expected, strict=True):
        torch.testing.assert_close(mine, theirs[..., : mine.shape[-1]], atol=1e-5, rtol=1e-5)


def test_an_export_is_a_copy():
    net = stacked()
    linear = net.export(1, 0)[0]
    assert isinstance(linear, nn.Linear)
    before = net.weights.vector.clone()
    linear.weight.data.zero_()
    assert torch.equal(net.weights.vector, before)


def test_normalize_flattens_shifts_and_scales():
    layer = Normalize(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 10.0, 0.5, 2.0]))
    pixels = torch.tensor([[[1, 3], [5, 3]]], dtype=torch.uint8)
    assert layer(pixels).tolist() == [[0.0, 10.0, 1.0, -2.0]]
