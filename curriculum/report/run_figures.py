"""The figures of a run, from its records."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from curriculum.report import figures
from curriculum.report.figures import Figure
from curriculum.report.handover import has_learned
from curriculum.report.handover_figure import Course, handover
from curriculum.report.records import position_of
from curriculum.types import Record

LOSS = "offline/loss_"  # begins the tags of losses in the offline phase


class _Curve(NamedTuple):
    """The values of one tag."""

    steps: np.ndarray  # [T]
    values: np.ndarray  # [T, P]


@dataclass
class Drawing:
    """Draws what the records of a run hold."""

    settings: dict[str, Any]
    records: list[Record]
    maps: Record | None  # of all seeds, if the world has maps

    def curves(self) -> dict[str, Figure]:
        """Draw the curves of all seeds, those of each phase of the run."""
        drawn = {}
        if self.settings.get("offline_updates"):
            drawn["offline"] = self._offline()
        if self.settings.get("steps", 1):
            drawn |= self._online()
        return drawn

    def _offline(self) -> Figure:
        tags = {tag for record in self.records for tag in record.values}
        losses = {}
        updates = np.array([])
        for tag in sorted(tag for tag in tags if tag.startswith(LOSS)):
            curve = self._curve(tag)
            losses[tag.removeprefix(LOSS)] = curve.values
            updates = curve.steps
        reward = self._curve("offline/mean_reward")
        return figures.offline(
            updates,
            losses,
            reward.steps,
            reward.values,
            random=self._baseline("eval/random_reward"),
            planner=self._baseline("eval/planner_reward"),
            data=self._baseline("eval/data_reward"),
        )

    def _online(self) -> dict[str, Figure]:
        random = self._baseline("eval/random_reward")
        planner = self._baseline("eval/planner_reward")
        reward = self._curve("eval/mean_reward")
        if not len(self._curve("handover/regret").steps):
            curves = {"learner alone": (reward.steps, reward.values)}
            drawn = figures.learning_curves(curves, random=random, planner=planner)
            return {"learning_curve": drawn}
        # a run without steps that went on has not mixed at step 0
        mixed = self._at("eval/mean_reward", "eval_mixed/mean_reward")
        rate = self._curve("curriculum/planning_rate")
        durations = self._curve("planner/ms_per_call").values
        updates = self.settings.get("offline_updates", 0)
        course = Course(
            rate_steps=rate.steps,
            rate=rate.values,
            steps=reward.steps,
            reward=reward.values,
            calls=self._at("eval/mean_reward", "planner/calls_total"),
            learned=has_learned(reward.steps, updates),
            seeds=self.settings["seeds"],
            mixed=mixed if np.isfinite(mixed).any() else None,
            random=random,
            planner=planner,
            ms_per_call=float(durations[-1].mean()) if len(durations) else np.nan,
        )
        return {"handover": handover(course)}

    def cell_maps(self, index: int) -> dict[str, Figure]:
        """Draw the maps of one seed, if the world has maps."""
        if self.maps is None:
            return {}
        values = {name: value[index] for name, value in self.maps.values.items()}
        walls = np.isnan(values["value"])
        return {
            "visits": figures.visits(values["visits"], walls),
            "policy": figures.policy_map(values["value"], values["arrow"], walls),
        }

    def _baseline(self, tag: str) -> float:
        """The return of random play, the planner or the data, nan where it was not
        measured."""
        values = self._curve(tag).values
        return float(values[0, 0]) if len(values) else np.nan

    def _curve(self, tag: str) -> _Curve:
        """Collect one tag from all records."""
        records = [record for record in self.records if tag in record.values]
        steps = np.array([position_of(record) for record in records])
        values = [record.values[tag] for record in records]
        return _Curve(steps, np.array(values, float))

    def _at(self, curve: str, tag: str) -> np.ndarray:
        """The values of one tag in the records of another, nan where they lack it."""
        records = [record for record in self.records if curve in record.values]
        unknown = np.full(len(self.settings["seeds"]), np.nan)
        values = [record.values.get(tag, unknown) for record in records]
        return np.array(values, float)
