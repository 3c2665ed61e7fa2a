"""Figures of data sets draw without a warning and show what they were given."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle, StepPatch

from curriculum.report import data_figures
from curriculum.report.projection import Projection, principal, project

pytestmark = pytest.mark.filterwarnings("error")


def heights(figure):
    return [bar.get_height() for bar in figure.axes[0].patches]


def examples():
    rng = np.random.default_rng(0)
    same = Projection("PCA", np.zeros((3, 2)))
    return {
        "returns": data_figures.return_histogram(
            [("a", rng.normal(size=50)), ("b", rng.normal(3, 1, 20))]
        ),
        "equal returns": data_figures.return_histogram([("a", np.full(100, 8.3))]),
        "lengths": data_figures.length_histogram(np.array([1, 5, 900])),
        "actions": data_figures.discrete_actions(np.array([3, 0, 7])),
        "box": data_figures.box_actions(rng.uniform(-1, 1, (99, 14))),
        "observations": data_figures.observations(
            Projection("PCA", rng.normal(size=(40, 2))), rng.normal(size=40)
        ),
        "one place": data_figures.observations(same, np.ones(3)),
    }


def test_every_figure_draws():
    for name, figure in examples().items():
        figure.set_dpi(50)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())
        assert image.shape[1] == 400, name
        assert image[..., :3].min() < 128 < image.max(), name


def test_histograms_count_every_episode():
    values = np.array([0.0, 0.0, 1.0, 10.0])
    figure = data_figures.return_histogram([("a", values), ("b", values[:1])])
    tops = np.array(heights(figure)).reshape(2, data_figures.BINS)
    assert tops.sum(1).tolist() == [4, 1]
    assert tops[:, 0].tolist() == [2, 1]
    assert tops[0, -1] == 1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["a (4)", "b (1)"]


def test_equal_lengths_are_one_bar_at_a_whole_number():
    figure = data_figures.length_histogram(np.full(25, 200))
    [bar] = figure.axes[0].patches
    assert isinstance(bar, Rectangle)
    assert bar.get_height() == 25
    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(200)
    ticks = figure.axes[0].get_xticks()
    assert ticks.tolist() == ticks.round().tolist()


def test_actions_are_shares():
    figure = data_figures.discrete_actions(np.array([3, 0, 7]))
    assert heights(figure) == pytest.approx([0.3, 0, 0.7])


def test_box_actions_count_both_bounds():
    actions = np.array([[-1.0], [1.0], [1.0], [0.01]])
    [stairs] = data_figures.box_actions(actions).axes[0].patches
    assert isinstance(stairs, StepPatch)
    values, _, _ = stairs.get_data()
    assert values[[0, 20, -1]].tolist() == [0.25, 0.25, 0.5]


def test_principal_components_are_the_widest_directions():
    line = np.linspace(-1, 1, 50)
    rows = np.stack([0.1 * line**2, 3 * line, np.ones(50)], 1)
    points = principal(rows)
    assert np.abs(points[:, 0]) == pytest.approx(np.abs(3 * line), abs=1e-6)
    assert principal(rows[:, :1]).shape == (50, 2)


def test_few_rows_are_projected_by_pca():
    assert project(np.eye(5)).method == "PCA"
    assert project(np.ones((50, 3))).points.tolist() == [[0, 0]] * 50


def test_tsne_keeps_two_clusters_apart():
    pytest.importorskip("sklearn", reason="needs scikit-learn, the extra data")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4)) + np.repeat([0, 50], 30)[:, None]
    found = project(rows)
    assert found.method == "t-SNE"
    gap = np.linalg.norm(found.points[:30].mean(0) - found.points[30:].mean(0))
    # of each coordinate around its own mean, in the wider of the two clusters
    spread = max(found.points[:30].std(0).max(), found.points[30:].std(0).max())
    assert gap > 3 * spread
