"""A run: its parts, the records they yield, and its checkpoints."""

import copy
import sys
from pathlib import Path

import numpy as np

from curriculum.activity import Aborted, Interrupted, announce
from curriculum.envs._base.spec import spec_of
from curriculum.run import assembly, checkpoint, fitting, folders, fqe, maps, rhythm
from curriculum.run.autosave import Autosave
from curriculum.run.collector import Collector, Conditions, buffer_values
from curriculum.run.collectors import Collectors
from curriculum.run.compressions import Compressions, Moment, Values
from curriculum.run.deployment import contracts_of, write_policies
from curriculum.run.evaluator import Evaluator
from curriculum.run.handover import Handover
from curriculum.run.health import Health
from curriculum.run.opened import OpenedRun
from curriculum.run.planner_use import PlannerUse
from curriculum.run.scores import Scores
from curriculum.run.stopwatch import Stopwatch
from curriculum.run.survey import Survey, require_maps
from curriculum.run.trainer import Trainer
from curriculum.run.weight_schedules import ExplorationSchedule, WeightSchedules
from curriculum.setting.config import Config
from curriculum.shipping.layers import Unsupported
from curriculum.types import Decay, Record, Start, State, World

KEPT_CHECKPOINTS = 3
CHUNK = 32  # batches sampled at once in the offline phase
CHECK_EVERY = 1_024  # offline updates between checks of health
# kinds of records that measure training; a stopped seed has no such values any more
MEASURED = ("collect", "update", "evaluate")
# groups of tags that the group "offline" replaces
RENAMED_OFFLINE = ("eval", "train", "time")
# what precedes the first update: methods of `Run`
BEGINNING = (
    "reset",
    "measure_scale",
    "fill",
    "fit_normalizer",
    "report_start",
    "evaluate",
    "save",
)


class Run:
    """Everything that trains; `curriculum.run.loop` says in which order."""

    def __init__(self, config: Config, folder: Path | None = None):
        chosen = copy.deepcopy(config.plugged())
        self.config = config
        self.folder = folder
        self.world: World = chosen["env"]
        self.start: Start = chosen["start"]
        self.decay: Decay = chosen["decay"]
        self.spec = spec_of(self.world)
        self.health = Health(config.seeds)
        self.learner = assembly.set_up_learner(config, chosen["learner"], self.spec)
        self.weight_schedules = WeightSchedules(config, self.learner)
        self.exploration_schedule = ExplorationSchedule(config, self.learner)
        self.buffer = assembly.allocate_buffer(
            config, self.learner, self.spec, self.start
        )
        start_size = assembly.size_of_start(config, self.start)
        config.require_data(start_size, self.learner.batch_size)
        self.trainer = Trainer(
            config=config,
            learner=self.learner,
            buffer=self.buffer,
            bonus=assembly.set_up_bonus(config, chosen["bonus"], self.world, self.spec),
            start_size=start_size,
            health=self.health,
        )
        self.collector: Collector | Collectors | None = (
            None  # None where nothing is collected
        )
        self.use = PlannerUse(len(config.seeds))
        if fitting.collects(config, self.start):
            # the evaluator needs a planner and a gate that were not set up
            self.collector = assembly.make_collector(
                config=config,
                world=self.world,
                spec=self.spec,
                planner=copy.deepcopy(chosen["planner"]),
                gate=copy.deepcopy(chosen["gate"]),
                start=self.start,
                trainer=self.trainer,
                buffer=self.buffer,
                health=self.health,
            )
            self.use = self.collector.use
        self.survey = self._survey() if config.map_every else None
        self.scores = Scores(self.learner)
        self.evaluator = Evaluator(
            config=config,
            world=self.world,
            spec=self.spec,
            planner=chosen["planner"],
            gate=chosen["gate"],
            learner=self.learner,
            decay=self.decay,
            scores=self.scores,
            health=self.health,
            data_returns=None if self.collector else self._data_returns(),
            trained=self.trainer.guard,
            advisor=self.collector.advisor if self.collector else None,
        )
        self.handover = Handover(config, from_data=self.start.data() is not None)
        self.compressions = Compressions(
            config, self.world, self.spec, assembly.make_techniques(config), folder
        )
        self.stopwatch = Stopwatch()
        self.updates = 0  # taken in the offline phase so far
        self.step = 0  # environment steps of one seed since the start
        self.records = 0  # yielded so far
        # what is due before the next step or update: methods of this class, in order
        self.pending = list(BEGINNING)
        # an evaluation of the learner alone, until the mixed one is done as well
        self.evaluated: dict[str, np.ndarray] = {}
        self.autosave = Autosave(self.save)

    def _survey(self) -> Survey:
        """What draws maps in the course of training."""
        collector = self.collector
        return Survey(
            world=require_maps(self.world),
            learner=self.learner,
            planner=collector.planner if collector else None,
            bonus=self.trainer.bonus,
            buffer=self.buffer,
            tracks=collector.tracks if collector else None,
        )

    @staticmethod
    def open(folder: Path | str, trust: bool = False) -> OpenedRun:
        """Open a finished or interrupted run without training it.

            run = Run.open("runs/gridworld/shortest_path-cql-exponential")
            action = run.policy(seed=0, which="best").act(obs)
            rewards = run.evaluate(range(100)).reward  # [seeds, episodes]
            scores = run.metrics("evaluate").values["eval/score"]  # [records, seeds]

        The newest intact checkpoint is loaded; neither a buffer nor a planner is set
        up. ValueError says what is wrong with a folder that holds no such run. Its
        settings may name plug-ins, which run code: these are imported only with
        `trust`."""
        return OpenedRun(Path(folder), trust)

    def _data_returns(self) -> np.ndarray | None:
        """The returns of the data set that the run starts from, if it does."""
        data = self.start.data()
        return None if data is None else data.returns()

    def planning_rate(self, step: int | None = None) -> np.ndarray:
        """Share of actions that the planner takes now, or at a later `step`, [P]: 0
        once a seed's budget is spent."""
        rate = np.empty(len(self.config.seeds))
        rate[:] = self.decay.rate(self.step if step is None else step)
        if self.collector and self.config.planner_budget:
            rate[self.collector.spent] = 0.0
        return rate

    def _conditions(self, asked: int, steps: int) -> Conditions:
        """How `steps` steps of all rows are played, `asked` steps from now."""
        rate = []
        exploration = []
        for number in range(asked, asked + steps):
            step = self.step + number * self.config.rows
            rate.append(self.planning_rate(step))
            exploration.append(self.exploration_schedule.at(self.learner, step))
        return Conditions(np.array(rate), np.array(exploration))

    def _await_step(self) -> None:
        """Wait until what the next step needs has been played elsewhere.

        Where the run is asked to stop meanwhile, a checkpoint is written: nothing of
        the step has been done."""
        assert self.collector is not None
        left = self.config.steps_to_collect(self.step)
        if not left:
            return
        try:
            self.collector.await_step(left, self._conditions)
        except Aborted:
            raise
        except Interrupted:
            self.save()
            raise

    @property
    def is_offline(self) -> bool:
        """Whether this is a moment of the offline phase, if only its end."""
        return self.config.offline_updates > 0 and self.step == 0

    @property
    def is_online(self) -> bool:
        """Whether the offline phase is over: at its end begins environment step 0."""
        return self.updates >= self.config.offline_updates

    @property
    def is_over(self) -> bool:
        """Whether all steps and updates have been taken."""
        return self.is_online and self.step >= self.config.steps

    def due(self, every: int) -> bool:
        """Whether the last step or update crossed a multiple of `every` or was the last
        of its phase; never for 0."""
        if self.is_offline:
            end = self.config.offline_updates
            return rhythm.is_due(every, self.updates - 1, self.updates, end)
        previous = self.step - self.config.rows
        return rhythm.is_due(every, previous, self.step, self.config.steps)

    def take_updates(self) -> None:
        """Take some updates of the offline phase, none of them beyond a moment at which
        something is due, and note what is due then."""
        config = self.config
        rhythms = [CHUNK, CHECK_EVERY, config.log_every, config.eval_every]
        rhythms += [config.compress_every, config.checkpoint_every, config.map_every]
        end = config.offline_updates
        updates = rhythm.until_next(rhythms, self.updates, end)
        self.updates += updates
        self.weight_schedules.apply(self.learner, 0, self.planning_rate())
        self.trainer.update_offline(updates, diagnose=self.due(config.log_every))
        if self.updates % CHECK_EVERY == 0:
            self.trainer.check()
        self._note_what_is_due()

    def take_step(self) -> None:
        """Take one environment step in every row and the updates it has earned, and
        note what is due then."""
        assert self.collector is not None
        self._await_step()
        if self.step == 0 and self.config.reset_optimizer:
            self.learner.optimizer.reset()
        rate = self.planning_rate()
        self.exploration_schedule.apply(self.learner, self.step)
        self.step += self.config.rows
        if not self.config.is_frozen(self.step):
            self.collector.collect(rate, self.step)
        self.weight_schedules.apply(self.learner, self.step, rate)
        self.trainer.update(self.step, diagnose=self.due(self.config.log_every))
        self._note_what_is_due()

    def _note_what_is_due(self) -> None:
        if self.due(self.config.log_every):
            self.pending.append("report")
        if self.due(self.config.eval_every):
            self.pending.append("evaluate")
        if self.due(self.config.map_every):
            self.pending.append("draw_maps")
        if self._compression_is_due():
            if self.is_over:
                self.pending.append("await_compressions")
            self.pending.append("compress")
        if self.pending:
            self.trainer.check()
        if self.compressions.has_arrived():
            self.pending.append("report_compressions")
        if self.due(self.config.checkpoint_every) or self.autosave.is_due:
            self.pending.append("save")

    def _compression_is_due(self) -> bool:
        every = self.config.compress_every
        if every and self.is_offline and self.config.steps:
            return self.updates % every == 0  # the end of the run is still ahead
        return self.due(every)

    # --- before the first step ---

    def reset(self) -> list[Record]:
        """Start an episode in every row."""
        if self.collector:
            self.collector.reset()
        return []

    def fill(self) -> list[Record]:
        """Fill the buffer; steps that were taken before are not taken again."""
        if self.collector:
            self.collector.begin_start(self.autosave.save_if_due)
            self.start.fill(self.collector, self.buffer)
        return []

    def fit_normalizer(self) -> list[Record]:
        """Scale observations and rewards by the data of the start, and say how."""
        normalizer = self.learner.normalizer
        normalizer.fit_shared(self.buffer.shared_obs())
        self.trainer.visit_shared()
        fitted = normalizer.fit_rewards(self.buffer.episode_returns())
        for seed, has_range in zip(self.config.seeds, fitted, strict=True):
            if not has_range:
                print(
                    f"seed {seed}: rewards are not scaled by the range of returns, the "
                    "start holds no two episodes of different returns; raise "
                    "--start.size",
                    file=sys.stderr,
                )
        described = normalizer.describe()
        if described:
            announce(f"observations: {described}")
        return []

    # --- records ---

    def _record(
        self,
        kind: str,
        values: dict[str, np.ndarray],
        updates: int | None = None,
        step: int | None = None,
    ) -> Record:
        """A record of this moment or of an earlier `step`; counted, so that a resumed
        run knows which records were written."""
        self.records += 1
        if kind in MEASURED and not self.health.healthy.all():
            values = {tag: self._of_healthy(value) for tag, value in values.items()}
        return Record(kind, self.step if step is None else step, values, updates)

    def _offline_record(
        self, kind: str, values: dict[str, np.ndarray], updates: int | None = None
    ) -> Record:
        """A record of the offline phase, now or after so many updates, with tags of its
        own: their axis is updates, not environment steps."""
        renamed = {_offline_tag(tag): value for tag, value in values.items()}
        return self._record(
            kind, renamed, self.updates if updates is None else updates, step=0
        )

    def _of_healthy(self, value: np.ndarray) -> np.ndarray:
        """Values [P], with nan for stopped seeds; counts stay where they stopped."""
        if not np.issubdtype(value.dtype, np.floating):
            return value
        return np.where(self.health.healthy, value, np.nan)

    def measure_scale(self) -> list[Record]:
        """Measure random play and the planner."""
        if not self.config.evaluation:
            return []
        return [self._record("baseline", self.evaluator.measure_scale())]

    def report_start(self) -> list[Record]:
        """Report what the start has put into the buffer."""
        values = buffer_values(self.buffer)
        values["curriculum/planning_rate"] = self.planning_rate()
        return [self._record("start", values)]

    def report(self) -> list[Record]:
        """Report collection, updates and time since the last report."""
        seeds = len(self.config.seeds)
        updates = self.trainer.values()
        records = []
        if self.is_offline:
            times = self.stopwatch.offline_values(self.updates, seeds)
            records.append(self._offline_record("update", updates))
            records.append(self._offline_record("time", times))
        if self.is_online:
            times = self.stopwatch.values(self.step, seeds)
            times |= self._collection_times()
            records.append(self._record("collect", self._collected()))
            records.append(self._record("update", updates))
            records.append(self._record("time", times))
        return records

    def _collection_times(self) -> dict[str, np.ndarray]:
        """What collection took, or a planner that nobody asks."""
        if self.collector:
            return self.collector.time_values()
        return self.use.time_values()

    def _collected(self) -> dict[str, np.ndarray]:
        """What was played and stored, and by whom."""
        values = self.collector.episode_values() if self.collector else {}
        values["rollout/exploration_rate"] = self.learner.exploration_now.copy()
        values["curriculum/planning_rate"] = self.planning_rate()
        values |= self.use.values()
        if self.collector and self.collector.advisor:
            values["planner/trust"] = self.collector.advisor.trust.copy()
        values |= buffer_values(self.buffer)
        return values

    def evaluate(self) -> list[Record]:
        """Evaluate the learner alone; from the end of the offline phase on, also
        planner and learner mixed. Keep its policies, if all are kept."""
        kept = self._subfolder("policies")
        if kept and self.config.keep_policies == "all":
            self._write_policies(kept, "policy")
        if not self.config.evaluation:
            return []
        if not self.evaluated:  # otherwise the run was interrupted between the two
            self.evaluated = self.evaluator.evaluate_learner(
                self.step,
                self.updates,
                shown=self.is_online and self.collector is not None,
            )
        alone = self.evaluated
        mixed = self._evaluate_mixed() if self.is_online else {}
        self.evaluated = {}
        records = []
        if self.is_offline:
            records.append(self._offline_record("evaluate", alone))
        if self.is_online:
            values = alone | mixed
            self.handover.add(self.step, values, self.health.healthy)
            values |= self.handover.values(self.scores.scale, values)
            records.append(self._record("evaluate", values))
        return records

    def _evaluate_mixed(self) -> dict[str, np.ndarray]:
        rate = self.planning_rate()
        values = self.use.values()
        values["eval/planning_rate"] = rate
        if self.config.eval_mixed and self.config.steps:
            values |= self.evaluator.evaluate_mixed(rate, self.step)
        return values

    def draw_maps(self) -> list[Record]:
        """Draw where the run has been, what is new to it, and what it values."""
        assert self.survey is not None
        values = self.survey.draw()
        updates = self.updates if self.is_offline else None
        return [self._record("survey", values, updates)]

    def compress(self) -> list[Record]:
        """Have it measured what every seed's policy would cost when deployed: in
        another process, or here if the run is over."""
        contracts = contracts_of(
            self.config, self.world, "last", self.step, self.updates
        )
        moment = Moment(
            name=self._moment,
            step=self.step,
            updates=self.updates if self.is_offline else None,
            is_online=self.is_online,
        )
        given = (moment, self.learner, self.buffer, contracts)
        try:
            if not self.is_over and self.compressions.can_be_handed_over:
                self.compressions.hand_over(*given)
                return []
            values = self.compressions.measure(*given)
        except Unsupported as reason:
            print(f"nothing is compressed: {reason}", file=sys.stderr)
            return []
        return self._of_compression(moment, values)

    def await_compressions(self) -> list[Record]:
        """Report what is measured in another process, once it is."""
        self.compressions.wait()
        return self.report_compressions()

    def report_compressions(self) -> list[Record]:
        """Report what has been measured in another process."""
        records = []
        for moment, values in self.compressions.take():
            records += self._of_compression(moment, values)
        return records

    def _of_compression(self, moment: Moment, values: Values) -> list[Record]:
        """The records of a compression, at the moment at which it was due."""
        records = []
        if moment.updates is not None:
            records.append(self._offline_record("compress", values, moment.updates))
        if moment.is_online:
            records.append(self._record("compress", values, step=moment.step))
        return records

    def finish(self) -> list[Record]:
        """Draw maps, then evaluate and write the best and the last policy."""
        records = []
        if self.collector and self.collector.grid_world:
            world = self.collector.grid_world
            drawn = maps.draw(self.learner, world, len(self.config.seeds))
            visits = self.collector.ledger.visits
            records.append(self._record("maps", {"visits": visits, **drawn._asdict()}))
        values: dict[str, np.ndarray] = {"final/planner_calls": self.use.calls.copy()}
        if self.config.evaluation:
            values["final/best_step"] = self.scores.best_step
            if self.config.offline_updates:
                values["final/best_update"] = self.scores.best_update
            values |= self.handover.final_values(self.scores.scale)
            values |= self.evaluator.finish(self.folder, self.step, self.updates)
        elif self.folder:
            self._write_policies(self.folder, "policy-last")
        if self.config.ope:
            values |= self._off_policy_values()
        values["final/stopped"] = ~self.health.healthy
        return [*records, self._record("final", values)]

    def _write_policies(self, folder: Path, name: str) -> None:
        """Write the current policy of every seed."""
        contracts = contracts_of(
            self.config, self.world, "last", self.step, self.updates
        )
        write_policies(self.learner, folder, name, contracts)

    def _off_policy_values(self) -> dict[str, np.ndarray]:
        """Estimate what both policies return, from the buffer alone; the learner keeps
        the weights of the last one."""
        policies = {"last": self.learner.snapshot()}
        if self.config.evaluation:
            policies = {"best": self.scores.best} | policies
        values = {}
        for name, weights in policies.items():
            self.learner.restore(weights, np.ones(len(self.config.seeds), bool))
            values[f"final/{name}_fqe"] = fqe.estimate(
                self.learner,
                self.buffer,
                self.config.ope_updates,
                self.config.precision,
            )
        return values

    def close(self) -> None:
        """Close the environments, and end the measurement of compressed policies."""
        self.compressions.close()
        if self.collector:
            self.collector.close()

    # --- checkpoints ---

    def _subfolder(self, name: str) -> Path | None:
        """The folder for files of this step or offline update."""
        return self.folder / name / self._moment if self.folder else None

    @property
    def _moment(self) -> str:
        """The name of this step or offline update in the run's folder."""
        if self.is_offline:
            return f"update-{self.updates:09d}"
        return f"step-{self.step:09d}"

    def save(self) -> list[Record]:
        """Write a checkpoint to the run's folder, if it has one."""
        if self.folder:
            folder = self.folder / "checkpoints" / f"step-{self.step:09d}"
            folders.flush_records(self.folder)
            with self.autosave.saving():
                checkpoint.write(checkpoint.unused(folder), self.state())
            checkpoint.prune(folder.parent, KEPT_CHECKPOINTS)
        return []

    def state(self) -> State:
        """Everything `load` needs to continue exactly from here."""
        return {
            "seeds": list(self.config.seeds),
            "run": {
                "step": self.step,
                "updates": self.updates,
                "records": self.records,
                "pending": [name for name in self.pending if name != "save"],
                "evaluated": self.evaluated,
                "compressions": self.compressions.state(),
            },
            "learner": self.learner.state(),
            "buffer": self.buffer.state(),
            "collector": self.collector.state() if self.collector else {},
            "trainer": self.trainer.state(),
            "health": self.health.state(),
            "decay": self.decay.state(),
            "weight_schedules": self.weight_schedules.state(),
            "exploration_schedule": self.exploration_schedule.state(),
            "scores": self.scores.state(),
            "handover": self.handover.state(),
            "stopwatch": self.stopwatch.state(),
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned; ValueError if it is of another run."""
        seeds = list(self.config.seeds)
        if state["seeds"] != seeds:
            raise ValueError(
                f"the checkpoint holds seeds {state['seeds']}, this run has {seeds}"
            )
        checkpoint.require_same_layout(
            self.learner.state(), state["learner"], "learner/"
        )
        self.step = state["run"]["step"]
        self.updates = state["run"]["updates"]
        self.records = state["run"]["records"]
        self.pending = list(state["run"]["pending"])
        self.evaluated = dict(state["run"]["evaluated"])
        self.compressions.load(state["run"].get("compressions", []))
        self.health.load(state["health"])
        self.learner.load(state["learner"])
        self.buffer.load(state["buffer"])
        if self.collector and state["collector"]:
            self.collector.load(state["collector"])
            self.decay.load(state["decay"])
        elif self.collector:  # nothing was collected so far, and no planner measured
            self.collector.reset()
            self.pending.insert(0, "measure_scale")
            if self.decay.listens:
                self.pending.insert(1, "evaluate")
        self.weight_schedules.load(state.get("weight_schedules", {}))
        self.exploration_schedule.load(state.get("exploration_schedule", {}))
        # as of the last step
        last = max(self.step - self.config.rows, 0)
        self.exploration_schedule.apply(self.learner, last)
        self.trainer.load(state["trainer"])
        self.scores.load(state["scores"])
        self.handover.load(state.get("handover", {}))
        count = self.updates if self.is_offline else self.step
        self.stopwatch.load(state["stopwatch"], count)


def _offline_tag(tag: str) -> str:
    """A tag of a learner's evaluation or update, as the offline phase logs it."""
    group, _, name = tag.partition("/")
    return f"offline/{name}" if group in RENAMED_OFFLINE else f"offline/{tag}"
