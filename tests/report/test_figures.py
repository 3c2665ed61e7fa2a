"""Figures draw without a warning, show what they were given and tolerate what is
missing."""

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from PIL import Image

from curriculum.report import compression_figure, figures
from curriculum.report.handover_figure import Course, handover

pytestmark = pytest.mark.filterwarnings("error")
STEPS = np.arange(0, 1000, 100)


def curves(seeds=3):
    return np.random.default_rng(0).normal(size=(len(STEPS), seeds)).cumsum(0)


def course(reward, **changes):
    """A hand-over evaluated every 100 steps, with a report at each evaluation."""
    steps = 100 * np.arange(len(reward))
    ones = np.ones_like(reward)
    settings = {"rate": ones, "calls": ones, "seeds": [3, 7, 9]} | changes
    return Course(
        rate_steps=steps, steps=steps, reward=reward, learned=steps > 0, **settings
    )


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(figure, label):
    return next(
        line for axes in figure.axes for line in axes.lines if line.get_label() == label
    )


def quiver(figure):
    [found] = [c for c in figure.axes[0].collections if isinstance(c, Quiver)]
    return found


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def examples():
    reward = curves()
    # an evaluation, a row and a seed are missing
    reward[2, 1], reward[5], reward[:, 2] = np.nan, np.nan, np.nan
    rate = np.linspace(1, 0, 50)[:, None] * np.ones(3)
    grid = np.arange(12.0).reshape(3, 4)
    holes, none = np.where(grid == 5, np.nan, grid), np.full((3, 4), np.nan)
    arrow = np.stack([grid, -grid], -1) / 12
    arrow[1, 1] = np.nan
    return {
        "hand-over": handover(
            Course(
                rate_steps=np.arange(50) * 20,
                rate=rate,
                steps=STEPS,
                reward=reward,
                calls=reward.cumsum(0),
                learned=STEPS > 0,
                seeds=[0, 1, 2],
                mixed=reward + 1,
                random=-3.0,
                planner=4.0,
                ms_per_call=0.1234,
            )
        ),
        "hand-over of one evaluation": handover(course(reward[:1], rate=rate[:1])),
        "offline": figures.offline(
            STEPS, {"q": reward**2, "actor": reward}, STEPS[:2], reward[:2], -3.0, 4.0
        ),
        "offline without a world": figures.offline(
            STEPS, {"q": reward**2}, STEPS[:0], reward[:0], np.nan, np.nan
        ),
        "visits": figures.visits(holes, grid > 9),
        "no visits": figures.visits(none),
        "policy": figures.policy_map(holes, arrow, grid > 9, (0, 1)),
        "no policy": figures.policy_map(none, arrow * np.nan),
        "curves": figures.learning_curves(
            {"a": (STEPS, reward), "b": (STEPS[:1], reward[:1])}, "score", 0.0, 1.0
        ),
        "no curves": figures.learning_curves({"a": (STEPS, reward * np.nan)}, "score"),
        "compression": compression_figure.draw(
            [
                compression_figure.Point("a", 1.0, 10, 3.0),
                compression_figure.Point("b", 0.9, 10, 3.0),
                compression_figure.Point("c", np.nan, 99, 1.0),
            ],
            0.95,
        ),
    }


def test_every_figure_draws_without_a_warning_800_pixels_wide():
    for name, figure in examples().items():
        assert isinstance(figure, Figure)
        image = figures.render(figure, figures.SCREEN_DPI)
        assert image.dtype == np.uint8, name
        assert image.shape[1:] == (800, 3), name
        assert image.min() < 128 < image.max(), name


def test_every_figure_says_what_it_shows():
    for name, figure in examples().items():
        axes = figure.axes[0]
        assert axes.get_title(loc="left"), name
        assert axes.get_xlabel(), name
        assert axes.get_ylabel(), name


def test_every_text_lies_inside_its_figure_and_outside_the_others():
    long = np.array([[-123_456.5], [987_654.5]])
    drawn = examples() | {
        "long numbers": handover(course(long, mixed=long, planner=9e5)),
        "long names": figures.learning_curves(
            {
                f"an arm with a very long name, number {i}": (STEPS[:2], long)
                for i in "ab"
            },
            planner=9e5,
        ),
    }
    for name, figure in drawn.items():
        figures.render(figure, figures.SCREEN_DPI)
        inside = figure.get_tightbbox()  # inches
        width, height = figure.get_size_inches()
        assert min(inside.x0, inside.y0) >= 0, name
        assert inside.x1 <= width, name
        assert inside.y1 <= height, name
        boxes = [legend.get_window_extent() for legend in figure.legends]
        places = {axes.get_position().bounds: axes for axes in figure.axes}
        boxes += [axes.get_tightbbox() for axes in places.values()]
        for box in boxes:
            assert box.count_overlaps(boxes) == 1, name  # only itself


def test_a_picture_holds_the_pixels_as_png():
    figure = figures.visits(np.ones((2, 3)))
    picture = figures.picture(figure, figures.SCREEN_DPI)
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.size == (picture.width, picture.height)
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels, figures.render(figure, figures.SCREEN_DPI))


def test_save_writes_png_to_a_path_and_to_a_stream(tmp_path):
    figure, stream = figures.learning_curves({"a": (STEPS, curves())}), io.BytesIO()
    figures.save(figure, tmp_path / "curves.png")
    figures.save(figure, stream)
    assert (
        (tmp_path / "curves.png").read_bytes()[:4]
        == stream.getvalue()[:4]
        == b"\x89PNG"
    )


def test_a_hand_over_draws_means_over_the_seeds_that_are_there():
    reward = np.array([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])
    rate = np.array([[1.0, 0.5], [0.0, 0.5], [0.0, 0.0]])
    calls = np.array([[10, 30], [20, 60], [20, 60]])
    figure = handover(course(reward, rate=rate, calls=calls, random=-1.0, planner=9.0))
    np.testing.assert_allclose(
        line(figure, "learner alone").get_xydata(), [[0, 2], [100, 5]]
    )
    np.testing.assert_allclose(
        line(figure, "planning rate (right axis)").get_ydata(), [0.75, 0.25, 0]
    )
    assert legend(figure) == [
        "learner alone",
        "planner",
        "random play",
        "one seed",
        "planning rate (right axis)",
    ]
    bold = [x for x in figure.axes[1].lines if x.get_linewidth() > 2]
    np.testing.assert_allclose(np.asarray(bold[0].get_xydata()), [[20, 2], [60, 5]])


def test_a_hand_over_marks_the_deepest_dip_and_the_first_high_score():
    """The second seed falls from 8 at step 200 to 3 at step 300, back at step 500."""
    reward = np.array([[9, 9], [5, 2], [6, 8], [5, 3], [6, 7], [7, 8.5], [7, 9.5]])
    calls = np.arange(14).reshape(7, 2)
    figure = handover(
        course(reward, calls=calls, random=-1.0, planner=9.0, ms_per_call=0.1234)
    )
    label = "planner calls of one seed (one takes 120 µs)"
    assert figure.axes[1].get_xlabel() == label
    [drop, span] = [
        c for c in figure.axes[0].collections if isinstance(c, LineCollection)
    ]
    assert drop.get_label() == "deepest dip: score 0.50 (seed 7)"
    assert drop.get_segments()[0].tolist() == [[300, 3], [300, 8]]
    assert span.get_segments()[0].tolist() == [[200, 8], [500, 8]]
    [diamonds] = [x for x in figure.axes[1].lines if x.get_marker() == "D"]
    # a score of 0.9 is a return of 8
    assert np.asarray(diamonds.get_xydata()).tolist() == [[0, 9], [1, 9]]


def test_learning_curves_draw_one_line_and_one_band_per_arm():
    arms = {
        f"arm {i}": (STEPS, curves(seeds))
        for i, seeds in enumerate([3, 5, 3, 3, 3, 3, 3, 3])
    }
    figure = figures.learning_curves(arms, "score", random=0.0, planner=1.0)
    axes = figure.axes[0]
    assert legend(figure) == list(arms)
    assert len(axes.collections) == 8
    assert texts(figure) == ["planner", "random play"]
    assert len({(x.get_color(), x.get_linestyle()) for x in axes.lines[:8]}) == 8
    assert "3 to 5 seeds" in figure.legends[0].get_title().get_text()


def test_maps_hide_walls_and_unvisited_cells():
    counts, walls = (
        np.array([[0, 1, 10], [100, 5, 7]]),
        np.array([[0, 0, 0], [0, 0, 1]], bool),
    )
    visits = figures.visits(counts, walls)
    cells = visits.axes[0].collections[0]
    assert cells.zorder < visits.axes[0].patches[0].zorder  # below the hatched walls
    shown = cells.get_array()
    assert isinstance(shown, np.ma.MaskedArray)
    assert shown.mask.tolist() == [[True, False, False], [False, False, False]]
    assert len(visits.axes[0].patches) == 1
    policy = figures.policy_map(counts.astype(float), np.ones((2, 3, 2)), walls, (0, 0))
    assert len(policy.axes[0].patches) == 2  # the wall and the star
    # (column, row), none at the goal and in the wall
    arrows = np.asarray(quiver(policy).get_offsets())
    assert arrows.tolist() == [[1, 0], [2, 0], [0, 1], [1, 1]]


def test_an_arrow_points_down_the_rows():
    figure = figures.policy_map(np.zeros((2, 2)), np.full((2, 2, 2), [1.0, 0.0]))
    assert figure.axes[0].yaxis_inverted()  # row 0 is on top
    arrows = quiver(figure)
    np.testing.assert_allclose(np.array([arrows.U, arrows.V]), [[0] * 4, [1] * 4])


def test_compression_names_every_point_and_joins_the_undominated():
    point = compression_figure.Point
    figure = compression_figure.draw(
        [
            point("float", 1.0, 1000, 60.0),
            point("tiny", 0.2, 10, 2000.0),
            point("bad", 0.4, 500, 50.0),
            point("int8", 1.0, 250, 40.0),
        ]
    )
    assert line(figure, "front").get_xydata().tolist() == [[10, 0.2], [250, 1]]
    dominated = line(figure, "dominated").get_xydata().tolist()
    assert sorted(dominated) == [[500, 0.4], [1000, 1]]
    names = [text.get_text() for text in figure.texts]
    assert sorted(names) == sorted(["float", "tiny", "bad", "int8"] * 2)
    # in the second panel only int8 has no better one
    fronts = [own for own in figure.axes[1].lines if own.get_marker() == "o"]
    np.testing.assert_allclose(np.asarray(fronts[0].get_xydata()), [[40e-6, 1]])


def test_names_of_close_points_stand_apart_from_left_to_right():
    points = [
        compression_figure.Point(f"variant {i}", 1.0, 100 + i, 9.0) for i in range(12)
    ]
    figure = compression_figure.draw(points)
    for names in (figure.texts[:12], figure.texts[12:]):
        assert [text.get_text() for text in names] == [p.name for p in points]
        places = np.array([text.get_position()[0] for text in names])
        assert np.diff(np.sort(places)).min() >= 0.03
        assert 0 <= places.min() <= places.max() <= 0.95
