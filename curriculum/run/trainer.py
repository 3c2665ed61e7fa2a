"""Gradient updates: how many, on which batches, with which bonus."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curriculum.learning import engine
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer
from curriculum.run.guard import Guard
from curriculum.run.health import Health
from curriculum.run.mixture import Mixture
from curriculum.run.planner_use import PlannerUse
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import SOURCES, Batch, Bonus, State


class Trainer:
    """Updates the learner on batches of the buffer.

    `start_size` transitions per seed are in the buffer before the first step."""

    def __init__(
        self,
        config: Config,
        learner: Learner,
        buffer: Buffer,
        bonus: Bonus | None,
        start_size: int,
        health: Health,
    ):
        self.config = config
        self.update_learner = engine.Updates(learner, config.computing)
        self.learner = learner
        self.buffer = buffer
        self.bonus = bonus
        self.start_size = start_size
        self.health = health
        # the last state of every seed in which all numbers were finite
        self.good = learner.snapshot()
        self.steps = max(config.steps, 1)
        self.rows = config.rows
        self.updates_per_step = config.updates_per_step
        self.updates = np.zeros(len(config.seeds), np.int64)  # of each seed's networks
        self.bonus_values: dict[str, Tensor] = {}
        self.diagnostics: dict[str, np.ndarray] = {}  # [P] each
        # a planner that learns, and what it logs
        self.guard: Guard | None = None
        self.use: PlannerUse | None = None
        self.planner_values: dict[str, Tensor] = {}

    def teach(self, mixture: Mixture) -> None:
        """Let the planner learn from the same batches, if it does learn."""
        if mixture.guard.planner.learns:
            self.guard = mixture.guard
            self.use = mixture.use

    def visit(self, obs: np.ndarray, next_obs: np.ndarray, present: np.ndarray) -> None:
        """Show a step of all rows, observations [P, E, *O] and what they led to, of the
        seeds in mask `present` [P], to all that keep account of them."""
        self.learner.normalizer.add(obs, present)
        if self.bonus:
            self.bonus.visit(next_obs, present)
        if self.guard:
            self.guard.visit(obs, next_obs, present)

    def visit_shared(self) -> None:
        """Show the observations of the data of the start to a bonus and to a planner
        that learns."""
        everyone = np.ones(len(self.updates), bool)
        if not (self.bonus or self.guard):
            return
        for own in self.buffer.shared_obs():
            obs = np.broadcast_to(own, (len(everyone), *own.shape))
            if self.bonus:
                self.bonus.visit(obs, everyone)
            if self.guard:
                self.guard.visit(obs, obs, everyone)

    @property
    def explanation(self) -> str:
        """How updates run, in one clause."""
        return self.update_learner.explanation

    @property
    def mode(self) -> engine.Mode:
        """How updates run."""
        return self.update_learner.mode

    def update_offline(self, updates: int, diagnose: bool = False) -> None:
        """Take updates before the first environment step; `diagnose` the learner on the
        last batch."""
        self._train(updates, 0, diagnose)

    def update(self, step: int, diagnose: bool = False) -> None:
        """Take the updates that the last environment step, now `step`, has earned;
        `diagnose` the learner on the last batch, if there is any."""
        earned = int(step * self.updates_per_step)
        earned_before = int((step - self.rows) * self.updates_per_step)
        self._train(earned - earned_before, step, diagnose)

    def check(self) -> None:
        """Stop seeds whose losses or weights are not finite, and return them to their
        last good state.

        The others keep their present state as a good one. Stopped seeds are updated
        like the others, which costs nothing and changes no other seed, but each check
        returns them to that state. Raises ValueError once every seed was stopped."""
        healthy = self.health.healthy
        problems = self.learner.problems()
        if self.guard:
            problems |= self.guard.problems()
        for index, problem in problems.items():
            if healthy[index]:
                updates = self.updates[index]
                self.health.stop(index, f"{problem} after {updates:,} updates")
        self.learner.update_snapshot(self.good, healthy)
        if not healthy.all():
            self.learner.restore(self.good, ~healthy)
            self.health.require_any()

    def _train(self, updates: int, step: int, diagnose: bool = False) -> None:
        learner = self.learner
        # all seeds begin at the same moment, whatever --store keeps of each
        offered = self.start_size + step
        if not updates or offered < learner.batch_size:
            return
        progress = min(step / self.steps, 1.0)
        has_data = self.buffer.size > 0
        batches = self.buffer.sample(
            learner.batch_size, learner.discount, learner.n_step, progress, updates
        )
        for batch in batches:
            if self.guard and not self.config.is_frozen(step):
                self._teach(self.guard, batch, step, has_data)
            if self.bonus:
                bonus, self.bonus_values = self.bonus.reward(batch, step)
                batch = batch._replace(reward=batch.reward + bonus)
            self.update_learner(batch, has_data)
        self.updates += has_data * updates
        if diagnose:
            self._diagnose(batch, has_data)

    def _teach(
        self, guard: Guard, batch: Batch, step: int, has_data: np.ndarray
    ) -> None:
        """Show the planner a batch, and take the time."""
        assert self.use is not None
        started = time.perf_counter()
        self.planner_values = guard.observe(batch, step, has_data)
        self.use.add_update(time.perf_counter() - started)

    def _diagnose(self, batch: Batch, has_data: np.ndarray) -> None:
        self.diagnostics = {}
        values = self.learner.diagnostics(batch, self._groups())
        for name, value in values.items():
            self.diagnostics[name] = np.where(has_data, value.cpu().numpy(), np.nan)

    def _groups(self) -> dict[str, Tensor]:
        """Masks [P, B] of the last batch for every source in it, if the buffer holds
        several."""
        if self.buffer.count.any(0).sum() < 2:
            return {}
        sources = self.buffer.sampled_sources()[-1]
        masks = {}
        for index in np.unique(sources):
            mask = torch.as_tensor(sources == index)
            masks[SOURCES[index]] = mask.to(self.learner.device)
        return masks

    def values(self) -> dict[str, np.ndarray]:
        """Losses, bonus and newest diagnostics, [P] each."""
        losses = {
            f"train/loss_{name}": loss.cpu().numpy()
            for name, loss in self.learner.last_losses.items()
        }
        group = _group(self.config.bonus)
        bonus = {
            f"{group}/{name}": value.cpu().numpy()
            for name, value in self.bonus_values.items()
        }
        planner = {
            f"planner/{name}": value.cpu().numpy()
            for name, value in self.planner_values.items()
        }
        return {
            "train/loss": np.sum(list(losses.values()), axis=0),
            "train/n_updates": self.updates.copy(),
            **losses,
            **{f"train/{name}": value for name, value in self.diagnostics.items()},
            **bonus,
            **planner,
        }

    def state(self) -> State:
        return {
            "mode": self.mode,
            "updates": self.updates,
            "good": self.good,
            "bonus": self.bonus.state() if self.bonus else {},
            "bonus_values": dict(self.bonus_values),
            "planner_values": dict(self.planner_values),
            "diagnostics": dict(self.diagnostics),
        }

    def load(self, state: State) -> None:
        self.update_learner.keep(state.get("mode", self.mode))
        self.updates[:] = state["updates"]
        for name, weights in self.good.items():
            weights.copy_(state["good"][name])
        self.bonus_values = dict(state["bonus_values"])
        # checkpoints of former versions hold no planner that learns
        self.planner_values = dict(state.get("planner_values", {}))
        self.diagnostics = dict(state["diagnostics"])
        if self.bonus:
            self.bonus.load(state["bonus"])


def _group(bonus: object) -> str:
    """The group of a bonus's tags: its name, without the place of one from outside."""
    name = plugins.name_of("bonus", bonus).rpartition(":")[2]
    return Path(name).stem.lower()
