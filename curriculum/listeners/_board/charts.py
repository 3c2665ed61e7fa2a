"""TensorBoard's CUSTOM SCALARS page: one chart for each question about a hand-over."""

from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MultilineChartContent,
)

TITLE = "The hand-over"
CHARTS = {
    "return of the learner alone, and mixed with the planner": (
        "eval/mean_reward",
        "eval_mixed/mean_reward",
    ),
    "success of the learner alone, and mixed": (
        "eval/success_rate",
        "eval_mixed/success_rate",
    ),
    "planning rate, and share of actions that the planner took": (
        "curriculum/planning_rate",
        "curriculum/expert_action_share",
    ),
    "planner calls": ("planner/calls_total",),
    "loss": ("train/loss",),
}


def layout() -> Layout:
    """Describe the page."""
    charts = []
    for title, tags in CHARTS.items():
        lines = MultilineChartContent(tag=[f"^{tag}$" for tag in tags])
        charts.append(Chart(title=title, multiline=lines))
    return Layout(category=[Category(title=TITLE, chart=charts)])
