"""Named columns: where they are makes no difference, and each is stored only on
demand."""

import numpy as np
import pytest
import torch
from test_buffer import (
    SPEC,
    assert_same,
    buffer_of,
    copied,
    play,
    screen_spec,
    screens_played,
)

from curriculum.replay import buffer as buffer_module
from curriculum.replay.buffer import Buffer
from curriculum.replay.layout import OPTIONAL, WINDOWS, Column, Layout, layout_of
from curriculum.run import checkpoint
from curriculum.types import Batch, Spec

BOX = Spec((2, 2), "float32", np.zeros((2, 2)), np.ones((2, 2)), 0, action_size=3)


def test_columns_follow_one_another_and_fill_the_packed_transition():
    layout = layout_of(BOX, ("mc_return",))
    places = [layout.column(name) for name in layout.columns]
    assert places == [
        slice(0, 4),
        slice(4, 7),
        slice(7, 8),
        slice(8, 9),
        slice(9, 13),
        slice(13, 14),
    ]
    assert layout.width == 14


def test_packed_values_come_back_by_name():
    layout = Layout([Column("reward"), Column("dummy", (2, 2)), Column("mc_return")])
    values = {
        "reward": np.array([1.0, 2.0]),
        "dummy": np.arange(8).reshape(2, 2, 2),
        "mc_return": np.array([3.0, 4.0]),
    }
    views = layout.split(torch.from_numpy(layout.pack(values, 2)))
    for name, value in values.items():
        np.testing.assert_array_equal(views[name], value)


def test_every_optional_column_of_a_batch_can_be_stored():
    assert {*OPTIONAL, *WINDOWS} == set(Batch._field_defaults)
    for name in OPTIONAL:
        assert name not in layout_of(SPEC).columns
        assert name in layout_of(SPEC, (name,)).columns


def test_a_column_that_no_batch_has_is_refused():
    message = (
        rf"^no optional column q_value; there are: {', '.join((*OPTIONAL, *WINDOWS))}$"
    )
    with pytest.raises(ValueError, match=message):
        Buffer().setup(SPEC, (0,), 1, needs=("q_value",))


def planted(monkeypatch: pytest.MonkeyPatch, spec: Spec, place: int) -> Buffer:
    """A buffer whose packed transitions have a column more, at `place`."""

    def with_dummy(*settings) -> Layout:
        columns = list(layout_of(*settings).columns.values())
        columns.insert(place, Column("dummy", (2,), initial=7.0))
        return Layout(columns)

    with monkeypatch.context() as patch:
        patch.setattr(buffer_module, "layout_of", with_dummy)
        buffer = buffer_of((3, 1), 2, spec, 0.9, capacity=40)
    assert list(buffer.layout.columns).index("dummy") == place
    return buffer


# first, between any two, and last
PLACES = [
    *(
        (SPEC, place)
        for place in range(len(layout_of(SPEC, ("mc_return",)).columns) + 1)
    ),
    *((screen_spec(4), place) for place in range(5)),
]


@pytest.mark.parametrize(("spec", "place"), PLACES)
def test_a_column_more_at_any_place_changes_nothing(spec, place, monkeypatch, tmp_path):
    plain = buffer_of((3, 1), 2, spec, 0.9, capacity=40)
    more = planted(monkeypatch, spec, place)
    restored = planted(monkeypatch, spec, place)
    both = [(plain, slice(None)), (more, slice(None))]
    for steps in (5, 60):  # part of the ring, and several times round
        if spec.frames:
            screens_played(both, (2, 2), steps, seed=steps)
        else:
            play(both, range(steps), (2, 2))
        saved = checkpoint.write(tmp_path / f"step{steps}", {"buffer": more.state()})
        restored.load(checkpoint.read(saved)["buffer"])
        for n_step in (1, 3):
            expected = copied(plain.sample(30, 0.8, n_step, batches=2))
            for buffer in (more, restored):
                for a, b in zip(
                    expected, buffer.sample(30, 0.8, n_step, batches=2), strict=True
                ):
                    assert_same(a, b)
        for buffer in (more, restored):
            for name in ("episode_returns", "recent_obs", "distinct_obs"):
                arguments = () if name == "episode_returns" else (9,)
                expected_arrays = getattr(plain, name)(*arguments)
                found = getattr(buffer, name)(*arguments)
                for expected_array, array in zip(expected_arrays, found, strict=True):
                    np.testing.assert_array_equal(array, expected_array)
    dummy = more.storage.packed[:, : more.ring.filled, more.layout.column("dummy")]
    assert (dummy == 7).all()
