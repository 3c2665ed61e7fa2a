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
    "the learner alone so far: lowest score, deepest dip and regret": (
        "handover/lowest_score",
        "handover/dip_depth",
        "handover/regret",
    ),
    "Q of the data's actions and of the policy's": ("train/q_data", "train/q_policy"),
    "TD error by source": ("train/td_error_.*",),
    "shares of sources in batches": ("replay/batch_share_.*",),
    "loss": ("train/loss",),
}


def layout() -> Layout:
    """Describe the page."""
    charts = []
    for title, tags in CHARTS.items():
        lines = MultilineChartContent(tag=[f"^{tag}$" for tag in tags])
        charts.append(Chart(title=title, multiline=lines))
    return Layout(category=[Category(title=TITLE, chart=charts)])
