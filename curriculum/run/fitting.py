"""Whether a learner fits what else a run asks for: labels, fading weights, a gate."""

from curriculum.learning.learner import Learner
from curriculum.run.weight_schedules import WeightSchedules
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Gate, Start

# part of a planner's decision -> the column that holds it, and the flag that uses it
PARTS = {
    "weights": ("soft_label", "soft-labels"),
    "value": ("label_value", "bound-weight"),
    "stake": ("label_stake", "stake-power"),
}


def require_learner_fits(config: Config) -> None:
    """Raise ValueError, before anything is written, where the learner does not fit the
    settings beside it."""
    learner = plugins.make("learner", config.learner)
    require_labels_fit(config, learner)
    WeightSchedules(config, learner)
    require_scale(config)
    require_critic(plugins.make("gate", config.gate), learner, bool(learner.critic))
    require_collectors_fit(config)


def require_collectors_fit(config: Config) -> None:
    """Raise ValueError where collectors cannot play for a run."""
    if not config.collectors:
        return
    chosen = config.plugged()
    if not collects(config, chosen["start"]):
        raise ValueError(
            "a run from a data set alone plays nothing that --collectors could play; "
            "leave them out, or give --steps"
        )
    if chosen["planner"].learns:
        name = plugins.name_of("planner", config.planner)
        raise ValueError(
            f"{name} learns in the run, beside the learner, and --collectors have "
            "planners of their own; choose another planner, or leave them out"
        )
    if chosen["planner"].advised:
        raise ValueError(
            "a planner that listens to the learner plays beside it, and --collectors "
            "have planners of their own; set --planner.trust 0, or leave them out"
        )
    for family, plugin in chosen.items():
        kind = type(plugin)
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            raise ValueError(
                f"--collectors are processes, which cannot find the {family} "
                f"{kind.__qualname__} by its name; define it in a module or a file"
            )


def require_scale(config: Config) -> None:
    """Raise ValueError where scores decide, and the planner learns in the run: then
    there are none."""
    planner = plugins.make("planner", config.planner)
    if not planner.learns or not config.steps:
        return
    name = plugins.name_of("planner", config.planner)
    without = f"{name} learns in the run, so no score is relative to it: "
    if plugins.make("decay", config.decay).listens:
        decay = plugins.name_of("decay", config.decay)
        raise ValueError(
            f"--decay {decay} moves on scores between random play and the planner. "
            f"{without}choose another decay, such as exponential"
        )
    if config.rollback:
        raise ValueError(f"--rollback compares scores. {without}leave it out")


def require_labels_fit(config: Config, chosen: Learner) -> None:
    """Raise ValueError where a learner does not use the labels that a run asks for, or
    needs labels that nobody gives."""
    start = plugins.make("start", config.start)
    if config.label_share and "label" not in chosen.columns:
        raise ValueError(
            "--label-share asks the planner for labels, which "
            f"{type(chosen).__name__} does not use; give --learner.label-weight, "
            "choose --learner dagger, or leave out --label-share"
        )
    if "label" in chosen.needs and not collects(config, start):
        raise ValueError(
            f"{type(chosen).__name__} learns from the planner's labels, and a run "
            "from a data set alone asks no planner; choose --learner bc"
        )
    require_decisions(config, chosen, config.steps > 0 or start.asks_planner)


def require_decisions(config: Config, chosen: Learner, is_asked: bool) -> None:
    """Raise ValueError where a learner uses more of the planner's decisions than its
    action, and the planner does not give it or is never asked."""
    planner = plugins.make("planner", config.planner)
    name = plugins.name_of("planner", config.planner)
    for part, (column, flag) in PARTS.items():
        if column not in chosen.columns:
            continue
        if not is_asked:
            raise ValueError(
                f"--learner.{flag} takes the {part} of the planner's decisions, and "
                "this run asks no planner; leave it out"
            )
        if part not in planner.gives:
            found = ", ".join(planner.gives) or "nothing"
            raise ValueError(
                f"--learner.{flag} takes the {part} of the planner's decisions, and "
                f"{name} gives {found} beside its actions; leave it out, or choose "
                "another --planner, such as mcts or shooting"
            )
    if chosen.bound_weight and planner.value_discount != chosen.discount:
        raise ValueError(
            f"values of {name} are no lower bound for a learner that discounts "
            f"otherwise, {planner.value_discount:g} against {chosen.discount:g}: give "
            "--planner.discount and --learner.discount the same value"
        )
    if chosen.bound_weight and planner.advised:
        raise ValueError(
            f"{name} mixes the learner's own values into its own, which are then no "
            "lower bound for it; set --planner.trust 0, or leave out "
            "--learner.bound-weight"
        )


def require_critic(gate: Gate, learner: Learner, has_critic: bool) -> None:
    """Raise ValueError where a gate compares values that the learner does not have."""
    if gate.needs_critic and not has_critic:
        raise ValueError(
            f"--gate {plugins.name_of('gate', gate)} compares values of actions, and "
            f"{type(learner).__name__} learns none; choose another learner, such as "
            "cql or iql, or another gate"
        )


def collects(config: Config, start: Start) -> bool:
    """Whether a run plays in its world, beyond evaluations."""
    fills = start.data() is None and start.size > 0
    return config.steps > 0 or fills
