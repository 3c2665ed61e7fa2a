"""TensorBoard's CUSTOM SCALARS page: one chart for each question about a hand-over."""

from typing import Any

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


def layout() -> dict[str, Any]:
    """The page, as `SummaryWriter.add_custom_scalars` takes it."""
    charts = {}
    for title, tags in CHARTS.items():
        charts[title] = ["Multiline", [f"^{tag}$" for tag in tags]]
    return {TITLE: charts}
