"""Noise: every seed draws for itself, and recorded draws can be replayed."""

import pytest
import torch

from curriculum.learning.noise import Draw, Noise

torch.set_num_threads(1)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_a_seed_draws_the_same_noise_alone_and_among_others(kind):
    alone = getattr(Noise((7,)), kind)
    among = getattr(Noise((3, 7, 11)), kind)
    for shape in ((5,), (2, 5, 3)):
        numbers = among(*shape)
        assert torch.equal(alone(*shape)[0], numbers[1])
        assert not torch.equal(numbers[0], numbers[1])


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_noise_continues_from_a_state(kind):
    noise = Noise((3, 7, 11))
    noise.normal(5)
    state = noise.state()
    following = getattr(noise, kind)(4)
    again = Noise((3, 7, 11))
    again.load(state)
    assert torch.equal(getattr(again, kind)(4), following)


def test_noise_is_standard_normal_and_uniform_between_zero_and_one():
    normal = Noise((0,)).normal(50_000)
    uniform = Noise((0,)).uniform(50_000)
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert 0 <= uniform.min() < 0.001
    assert 0.999 < uniform.max() < 1


def test_recorded_draws_are_listed_and_drawn_again_later():
    noise = Noise((0, 1))
    with noise.record() as draws:
        normal = noise.normal(3)
        uniform = noise.uniform(2, 4)
    assert draws == [Draw("normal", (3,)), Draw("uniform", (2, 4))]
    assert torch.equal(noise.normal(3), normal)
    assert torch.equal(noise.uniform(2, 4), uniform)
    assert len(draws) == 2  # nothing is recorded outside the context


def test_an_error_while_recording_leaves_the_noise_as_it_was():
    noise = Noise((0,))
    expected = Noise((0,)).normal(3)
    with pytest.raises(RuntimeError), noise.record() as draws:  # noqa: PT012
        noise.normal(3)
        raise RuntimeError
    assert torch.equal(noise.normal(3), expected)
    assert len(draws) == 1


def test_replayed_numbers_come_in_order_and_move_no_generator():
    noise = Noise((0,))
    first = torch.ones(1, 2)
    second = torch.zeros(1, 3)
    noise.replay([first, second])
    assert noise.replaying
    assert noise.normal(2) is first
    assert noise.uniform(3) is second
    assert not noise.replaying
    assert torch.equal(noise.normal(2), Noise((0,)).normal(2))


def test_a_damaged_state_is_refused_in_a_sentence():
    noise = Noise((0,), "cpu")
    damaged = {"generators": noise.state()["generators"] * 0 + 7}
    with pytest.raises(ValueError, match="no state of random generators"):
        noise.load(damaged)
