"""The training loop: a generator of records. `for record in train(config): ...` is all
there is to it."""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curriculum.envs._base.native import Grid
from curriculum.learning import engine
from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.run import checkpoint
from curriculum.run.evaluation import (
    evaluation_rows,
    maps,
    play,
    play_learner,
    play_mixed,
    play_planner,
    score,
    summary,
)
from curriculum.run.ledger import Rollout
from curriculum.run.mixture import Mixture
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.shipping.artefact import deployable, save
from curriculum.shipping.compression import measure
from curriculum.types import SOURCES, Record, Spec, State, World, stream

CHUNK = 32  # batches sampled at once before the first step
# first of the episode seeds that re-score the last and the best policy
RESCORE = 1_000_000


def train(
    config: Config,
    folder: Path | None = None,
    resume: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train all seeds of `config` side by side and yield what happens.

    With a `folder`, checkpoints and policies are written there; `resume` names a
    checkpoint to go on from, bit for bit. When `stop()` turns true a checkpoint is
    written and the loop ends."""
    torch.set_num_threads(config.threads)
    run = Run(config, folder)
    if resume:
        run.load(checkpoint.read(resume))
    else:
        yield from run.begin()
        run.save()
    while run.step < config.steps:
        if stop():
            run.save()
            return
        run.collect()
        run.update()
        if run.due(config.log_every):
            yield from run.report()
        if run.due(config.eval_every):
            yield from run.evaluate()
        if run.due(config.compress_every):
            yield from run.compress()
        if run.due(config.checkpoint_every):
            run.save()
    yield from run.finish()


class Run:
    """Everything a run is made of, and the verbs of the loop above."""

    def __init__(self, config: Config, folder: Path | None = None):
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "this machine has no CUDA device that torch can use; choose --device cpu"
            )
        self.config, self.folder, self.seeds = config, folder, config.seeds
        self.shape = (len(self.seeds), config.rows)
        self.parts = copy.deepcopy(config.plugged())
        self.world: World = self.parts["env"]
        self.rows: Any = self.world.rows(
            [stream(seed, "environment") for seed in self.seeds],
            config.rows,
        )
        self.spec = spec_of(self.world)
        self.learner = copy.deepcopy(self.parts["learner"])
        self.learner.setup(self.spec, self.seeds, config.device, config.precision)
        self.learn = engine.updater(
            self.learner,
            engine.choose(
                config.compile, config.device, config.precision, config.updates
            )[0],
        )
        self.buffer = Buffer(
            capacity=config.capacity,
            sampling=config.sampling,
            shares=config.source_shares(),
        )
        self.buffer.setup(
            self.spec,
            self.seeds,
            config.rows,
            config.device,
            self.learner.needs,
            self.learner.discount,
        )
        self.bonus = copy.deepcopy(self.parts["bonus"])
        if self.bonus:
            self.bonus.setup(self.spec, self.seeds, config.device)
        planner = copy.deepcopy(self.parts["planner"]).setup(
            self.rows, self.spec, self.seeds
        )
        limits: dict[str, Any] = {
            "budget": config.planner_budget,
            "deadline_ms": config.planner_deadline_ms,
        }
        gate = copy.deepcopy(self.parts["gate"])
        self.mixture = Mixture(
            planner, self.learner, gate, self.seeds, config.rows, **limits
        )
        self.random = plugins.make("planner", "random").setup(
            self.rows, self.spec, self.seeds
        )
        start, budget = self.parts["start"], config.planner_budget
        size = -(-start.size // config.rows) * config.rows
        if start.asks_planner and 0 < budget < size:
            raise ValueError(
                f"a start of {size:,} transitions needs as many planner calls, the budget is {budget:,}; "
                "lower --start.size, raise --planner.budget or choose --start random"
            )
        self.decay = copy.deepcopy(self.parts["decay"])
        self.techniques = [
            plugins.make("technique", technique) for technique in config.techniques
        ]
        self.grid = self.world if isinstance(self.world, Grid) else None
        cells = self.grid.cells if self.grid else (0,)
        self.rollout = Rollout(*self.shape, cells, self.world.has_success)

        seeds = len(self.seeds)
        # environment steps of one seed since the start; records yielded
        self.step, self.records = 0, 0
        # of the learner alone: 0 random play, 1 the planner
        self.score = np.full(seeds, np.nan)
        self.best, self.best_reward = self.learner.snapshot(), np.full(seeds, -np.inf)
        self.best_step, self.rollbacks, self.updates = (
            np.zeros(seeds, np.int64) for _ in range(3)
        )
        self.bonus_log: dict[str, torch.Tensor] = {}
        self.elapsed, self.began, self.clock = (
            0.0,
            time.perf_counter(),
            (0, time.perf_counter()),
        )

    def record(self, kind: str, values: dict[str, np.ndarray]) -> Record:
        """A record of this moment; counted, so that a resumed run knows which were
        written."""
        self.records += 1
        return Record(
            kind, self.step, {tag: np.asarray(value) for tag, value in values.items()}
        )

    def due(self, every: int) -> bool:
        """Whether the last step crossed a multiple of `every` or was the run's last;
        never for 0."""
        return every > 0 and (
            self.step // every > (self.step - self.shape[1]) // every
            or self.step >= self.config.steps
        )

    def begin(self) -> Iterator[Record]:
        """Measure random play and the planner, seed the buffer, pretrain, evaluate."""
        episodes, random = self.config.eval_episodes, plugins.make("planner", "random")
        self.floor = float(
            play_planner(random, self.world, self.spec, range(episodes)).reward.mean()
        )
        measured = range(self.config.planner_episodes or episodes)
        planned = play_planner(self.parts["planner"], self.world, self.spec, measured)
        self.ceiling = float(planned.reward.mean())
        if self.decay.listens and not self.ceiling > self.floor:
            raise ValueError(
                f"this decay moves on the score between random play and the planner, but the planner's return "
                f"{self.ceiling:.3g} is not above random play's {self.floor:.3g}; choose another planner or decay"
            )
        ends = {"eval/random_reward": self.floor, "eval/planner_reward": self.ceiling}
        ends |= {
            "eval/planner_success_rate": planned.success.mean(),
            "eval/planner_ep_length": planned.length.mean(),
        }
        yield self.record(
            "baseline",
            {tag: np.full(len(self.seeds), value) for tag, value in ends.items()},
        )
        self.obs = self.rows.reset()
        self.parts["start"].fill(self, self.buffer)
        self.learner.normalizer.fit(self.buffer.recent_obs(10_000))
        self.learner.normalizer.fit_rewards(self.buffer.episode_returns())
        for done in range(0, self.config.pretrain_updates, CHUNK):
            self._learn(min(CHUNK, self.config.pretrain_updates - done))
        yield self.record(
            "start", self._buffer_values() | {"curriculum/planning_rate": self.rate()}
        )
        yield from self.evaluate()

    def rate(self) -> np.ndarray:
        """The share of actions that the planner takes now, [P]: what the decay says,
        and 0 once its budget is spent."""
        return np.where(self.mixture.spent, 0.0, self.decay.rate(self.step))

    def play_planner(self, transitions: int) -> None:
        """Let the planner take at least `transitions` steps for each seed; its calls
        are counted."""
        for _ in range(self._steps_for(transitions)):
            obs = self._stacked(self.obs)
            action = self.mixture.plan(obs, np.ones(self.shape, bool))
            if action is None:
                self._store(self.learner.act(obs, explore=True), "learner")
            else:
                self._store(action, "expert")

    def play_random(self, transitions: int) -> None:
        """Take at least `transitions` uniformly random steps for each seed."""
        for _ in range(self._steps_for(transitions)):
            everyone = np.arange(self.rows.count)
            self._store(self.random.act(self.obs, everyone), "random")

    def _steps_for(self, transitions: int) -> int:
        """Steps of all rows that give each seed at least so many transitions."""
        return -(-transitions // self.shape[1])

    def _store(self, action: np.ndarray, source: str) -> None:
        """Take one step with actions [N], [N, A], [P, E] or [P, E, A] of one source."""
        tail = () if self.spec.actions else (self.spec.action_size,)
        sources = np.full(self.shape, SOURCE[source])
        rate = np.full(self.shape, source == "expert")
        self._advance(action.reshape(*self.shape, *tail), sources, rate)

    def collect(self) -> None:
        """Take one step in every row: whoever the gate chooses acts, the buffer
        grows."""
        rate = self.rate()
        action, source = self.mixture.act(
            self._stacked(self.obs),
            self.rows.time.reshape(self.shape),
            rate,
            explore=True,
        )
        store = self.config.store
        keep = None if store == "all" else source == SOURCE[store]
        self.step += self.shape[1]
        transition, success = self._advance(
            action, source, np.repeat(rate[:, None], self.shape[1], 1), keep
        )
        self.rollout.add(self.step, transition, success)

    def _advance(
        self,
        action: np.ndarray,
        source: np.ndarray,
        rate: np.ndarray,
        keep: np.ndarray | None = None,
    ) -> tuple[Transition, np.ndarray]:
        """Step the world with `action` [P, E (, A)] and store what came of it; also
        returns the successes [P, E]."""
        obs, step = self.obs, self.rows.step(action.reshape(-1, *action.shape[2:]))
        reward, terminated, truncated, success = (
            x.reshape(self.shape)
            for x in (step.reward, step.terminated, step.truncated, step.success)
        )
        ends = (
            self._stacked(obs),
            action,
            reward,
            terminated,
            truncated,
            self._stacked(step.next_obs),
        )
        transition = Transition(*ends, source, rate)
        self.buffer.add(transition, keep)
        self.obs = step.obs
        if self.grid:
            self.rollout.visit(self.grid.cell(self.rows.state).reshape(self.shape))
        return transition, success

    def _stacked(self, obs: np.ndarray) -> np.ndarray:
        return obs.reshape(*self.shape, *self.spec.obs_shape)

    def update(self) -> None:
        """Take the gradient updates that the last step earned."""
        per_step = self.config.updates_per_step
        self._learn(
            int(self.step * per_step) - int((self.step - self.shape[1]) * per_step)
        )

    def _learn(self, updates: int) -> None:
        learner, rows = self.learner, self.shape[1]
        offered = -(-self.parts["start"].size // rows) * rows + self.step
        # the same moment for every seed, whatever --store keeps of it
        if offered < learner.batch_size or not updates:
            return
        progress, has_data = (
            min(self.step / self.config.steps, 1.0),
            self.buffer.size > 0,
        )
        for batch in self.buffer.sample(
            learner.batch_size, learner.discount, learner.n_step, progress, updates
        ):
            if self.bonus:
                reward, self.bonus_log = self.bonus.reward(batch, self.step)
                batch = batch._replace(reward=batch.reward + reward)
            self.learn(batch, has_data)
        self.updates += has_data * updates

    def report(self) -> Iterator[Record]:
        """What collecting and updating brought since the last report, and how long it
        took."""
        seeds = len(self.seeds)
        planning = {"curriculum/planning_rate": self.rate()} | self._planner_values()
        exploration = {
            "rollout/exploration_rate": np.full(seeds, self.learner.exploration)
        }
        yield self.record(
            "collect",
            self.rollout.values() | exploration | planning | self._buffer_values(),
        )
        losses = {
            f"train/loss_{name}": loss.cpu().numpy()
            for name, loss in self.learner.last_losses.items()
        }
        total = {
            "train/loss": np.sum(list(losses.values()), axis=0),
            "train/n_updates": self.updates.copy(),
        }
        bonus = {
            f"rnd/{name}": value.cpu().numpy() for name, value in self.bonus_log.items()
        }
        yield self.record("update", total | losses | bonus)
        (step, moment), now = self.clock, time.perf_counter()
        self.clock = (self.step, now)
        clock = {
            "time/fps": np.full(seeds, (self.step - step) * seeds / (now - moment)),
            "time/time_elapsed": np.full(seeds, self.elapsed + now - self.began),
            "planner/ms_per_call": 1000
            * self.mixture.seconds
            / np.maximum(self.mixture.calls, 1),
            "planner/seconds_total": self.mixture.seconds.copy(),
        }
        yield self.record("time", clock)

    def _planner_values(self) -> dict[str, np.ndarray]:
        mixture = self.mixture
        counts = {
            "calls": mixture.calls,
            "faults": mixture.faults,
            "late": mixture.late,
        }
        return {f"planner/{name}_total": count.copy() for name, count in counts.items()}

    def _buffer_values(self) -> dict[str, np.ndarray]:
        size = self.buffer.size
        present = [
            (s, name) for s, name in enumerate(SOURCES) if self.buffer.count[:, s].any()
        ]
        held = {
            f"buffer/share_{name}": self.buffer.count[:, s] / np.maximum(size, 1)
            for s, name in present
        }
        shares = self.buffer.read_shares()
        drawn = {f"buffer/batch_share_{name}": shares[:, s] for s, name in present}
        return {"buffer/size": size} | held | drawn

    def evaluate(self) -> Iterator[Record]:
        """Score the learner alone, keep the best, let the decay see it; then planner
        and learner mixed."""
        seeds, episodes = len(self.seeds), range(self.config.eval_episodes)
        played = play_learner(self.learner, self.world, episodes)
        alone = summary(played, self.floor, self.ceiling)
        better = alone["mean_reward"] > self.best_reward
        self.learner.update_snapshot(self.best, better)
        self.best_reward = np.where(better, alone["mean_reward"], self.best_reward)
        self.best_step = np.where(better, self.step, self.best_step)
        self.score = alone["score"]
        if self.decay.listens:
            fallen = self.decay.observe(score(played.reward, self.floor, self.ceiling))
            self.learner.restore(self.best, fallen)
            self.rollbacks += fallen
        values = {f"eval/{name}": value for name, value in alone.items()}
        rate = self.rate()
        values |= {
            "curriculum/rollbacks": self.rollbacks.copy()
        } | self._planner_values()
        if self.config.eval_mixed:
            parts = (self.learner, self.parts["planner"], self.parts["gate"])
            deadline = self.config.planner_deadline_ms
            mixed, calls = play_mixed(
                *parts, rate, self.world, self.spec, episodes, self.step, deadline
            )
            values |= {
                f"eval_mixed/{name}": value
                for name, value in summary(mixed, self.floor, self.ceiling).items()
            }
            values |= {
                "eval_mixed/planning_rate": rate,
                "eval_mixed/planner_calls": calls,
            }
        assert all(v.shape == (seeds,) for v in values.values())
        yield self.record("evaluate", values)

    def compress(self) -> Iterator[Record]:
        """Measure what every seed's policy would cost when deployed."""
        folder = (
            (self.folder or Path(tempfile.mkdtemp()))
            / "compressed"
            / f"step-{self.step:09d}"
        )
        episodes = range(self.config.eval_episodes)
        measured = []
        for p, (seed, seen) in enumerate(
            zip(self.seeds, self.buffer.distinct_obs(4_096), strict=True)
        ):
            policy, obs = self.learner.export(p), torch.from_numpy(seen)
            measured.append(
                measure(
                    policy,
                    obs,
                    self.techniques,
                    self.spec,
                    lambda act: play(act, evaluation_rows(self.world, episodes)),
                    folder / f"seed{seed}",
                    seed,
                )
            )
        tags = [(variant, name) for variant, row in measured[0].items() for name in row]
        yield self.record(
            "compress",
            {
                f"compress/{v}/{n}": np.array([m[v][n] for m in measured])
                for v, n in tags
            },
        )

    def finish(self) -> Iterator[Record]:
        """Draw maps, re-score the last and the best policy on episodes that chose
        neither, write both as files."""
        if self.grid:
            yield self.record(
                "maps",
                {"visits": self.rollout.visits, **maps(self.learner, self.grid)},
            )
        episodes = range(RESCORE, RESCORE + self.config.eval_episodes)
        last, everyone = self.learner.snapshot(), np.ones(len(self.seeds), bool)
        values = {
            "final/planner_calls": self.mixture.calls.copy(),
            "final/best_step": self.best_step,
        }
        for name, weights in {"best": self.best, "last": last}.items():
            self.learner.restore(weights, everyone)
            result = summary(
                play_learner(self.learner, self.world, episodes),
                self.floor,
                self.ceiling,
            )
            values |= {
                f"final/{name}_{figure}": value for figure, value in result.items()
            }
            for p, seed in enumerate(self.seeds):
                if self.folder:
                    save(
                        deployable(self.learner.export(p)),
                        self.folder / f"seed{seed}" / f"policy-{name}.safetensors",
                    )
        yield self.record("final", values)

    def save(self) -> None:
        """Write a checkpoint, and keep the newest three."""
        if self.folder:
            folder = self.folder / "checkpoints"
            checkpoint.write(folder / f"step-{self.step:09d}", self.state())
            checkpoint.prune(folder, keep=3)

    def state(self) -> State:
        """Everything needed to go on exactly from here; what a clock measured stays out
        of the arrays."""
        parts = {
            name: getattr(self, name).state()
            for name in ("learner", "buffer", "mixture", "rollout", "decay")
        }
        if self.bonus:
            parts["bonus"] = self.bonus.state()
        own = {
            name: getattr(self, name)
            for name in (
                "step",
                "records",
                "floor",
                "ceiling",
                "score",
                "best",
                "best_reward",
            )
        }
        own |= {
            "best_step": self.best_step,
            "rollbacks": self.rollbacks,
            "updates": self.updates,
            "bonus_log": dict(self.bonus_log),
        }
        clock = {
            "elapsed": self.elapsed + time.perf_counter() - self.began,
            "planner": self.mixture.seconds.tolist(),
        }
        return {
            **parts,
            "environment": self.rows.save(),
            "run": own,
            "clock": clock,
            "seeds": list(self.seeds),
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        if state["seeds"] != list(self.seeds):
            raise ValueError(
                f"the checkpoint holds seeds {state['seeds']}, this run has {list(self.seeds)}"
            )
        checkpoint.fits(self.learner.state(), state["learner"], "learner/")
        for name in ("learner", "buffer", "mixture", "rollout", "bonus", "decay"):
            if name in state:
                getattr(self, name).load(state[name])
        self.obs = self.rows.load(state["environment"])
        for name, value in state["run"].items():
            setattr(self, name, value)
        self.best = {
            name: weights.to(self.config.device) for name, weights in self.best.items()
        }
        self.elapsed, self.mixture.seconds = (
            state["clock"]["elapsed"],
            np.array(state["clock"]["planner"]),
        )
        self.clock = (self.step, time.perf_counter())


def spec_of(world: World) -> Spec:
    """What a learner must know of a world."""
    seen, acted = world.observation_space, world.action_space
    actions = int(getattr(acted, "n", 0))  # a box space has no n
    action_size, frames = (
        0 if actions else int(np.prod(acted.shape or ())),
        world.frames,
    )
    return Spec(
        seen.shape, str(seen.dtype), seen.low, seen.high, actions, action_size, frames
    )
