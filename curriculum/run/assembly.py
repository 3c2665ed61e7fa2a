"""The parts of a run, set up from its configuration."""

from contextlib import ExitStack

import torch

from curriculum.envs._base.door import Door
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer
from curriculum.run import advice, fitting
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.collection_worker import Link
from curriculum.run.collector import Collector
from curriculum.run.collectors import Collectors
from curriculum.run.guard import set_up
from curriculum.run.health import Health
from curriculum.run.mixture import Mixture
from curriculum.run.survey import require_maps
from curriculum.run.tracks import Tracks
from curriculum.run.trainer import Trainer
from curriculum.setting import plugins, techniques
from curriculum.setting.config import Config
from curriculum.types import Bonus, Gate, Planner, Spec, Start, Technique, World, stream


def set_up_learner(config: Config, chosen: Learner, spec: Spec) -> Learner:
    """Set up the networks of all seeds on the device of the configuration."""
    start = plugins.make("start", config.start)
    if chosen.return_range and start.size == 0:
        raise ValueError(
            "--learner.return-range scales rewards by the returns of the start, and "
            "this one is empty; choose another start or set --learner.reward-scale"
        )
    fitting.require_labels_fit(config, chosen)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "this machine has no CUDA device that torch can use; choose --device cpu"
        )
    return chosen.setup(spec, config.seeds, config.device, config.precision)


def allocate_buffer(
    config: Config, learner: Learner, spec: Spec, start: Start
) -> Buffer:
    """Allocate the replay buffer with the columns that the learner needs, beside the
    data of the start; ValueError if it cannot hold what one update takes, or if the
    data are damaged."""
    data = start.data()
    held = config.capacity + (len(data.reward) if data else 0)
    for name in ("batch_size", "n_step"):
        wanted = getattr(learner, name)
        if wanted > held:
            flag = name.replace("_", "-")
            raise ValueError(
                f"the buffer holds {held:,} transitions, an update would "
                f"need {wanted:,}; lower --learner.{flag} or raise --capacity"
            )
    start.verify()
    empty = Buffer(
        capacity=config.ring_capacity,
        sampling=config.sampling,
        shares=config.source_shares(),
        reward_shift=learner.reward_shift,
    )
    return empty.setup(
        spec,
        config.seeds,
        config.rows,
        config.device,
        learner.columns,
        learner.discount,
        data,
    )


def size_of_start(config: Config, start: Start) -> int:
    """Transitions per seed that the start adds; ValueError if the planner's budget does
    not pay for them."""
    steps = -(-start.size // config.rows)
    size = steps * config.rows
    budget = config.planner_budget
    if start.asks_planner and 0 < budget < size:
        raise ValueError(
            f"a start of {size:,} transitions needs as many planner calls, "
            f"the budget is {budget:,}; "
            "lower --start.size, raise --planner.budget or choose --start random"
        )
    return size


def set_up_bonus(
    config: Config, chosen: Bonus | None, world: World, spec: Spec
) -> Bonus | None:
    """Set up the intrinsic reward, if there is one."""
    if chosen is None:
        return None
    chosen.use_world(world)
    return chosen.setup(spec, config.seeds, config.device)


def make_collector(
    config: Config,
    world: World,
    spec: Spec,
    planner: Planner,
    gate: Gate,
    start: Start,
    trainer: Trainer,
    buffer: Buffer,
    health: Health,
) -> Collector | Collectors:
    """Make the environments, and set up those who act in them: here, or in other
    processes."""
    learner = trainer.learner
    fitting.require_critic(gate, learner, learner.critic in learner.nets)
    if config.collectors:
        return _start_collectors(config, world, planner, start, trainer, buffer, health)
    if planner.learns:
        planner.learn_on(config.computing)
    generators = [stream(seed, "environment") for seed in config.seeds]
    rows = world.rows(generators, config.rows)
    random = plugins.make("planner", "random")
    tracks = None
    if config.map_every:
        tracks = Tracks(require_maps(world), len(config.seeds))
    advisor = None
    if planner.advised:
        advisor = LearnerAdvisor(learner, spec, config.rows, world.max_steps)
    with ExitStack() as on_failure:
        on_failure.callback(Door(rows).close)
        mixture = Mixture(
            planner=set_up(planner, rows, spec, config.seeds),
            learner=learner,
            gate=gate,
            spec=spec,
            seeds=config.seeds,
            rows_per_seed=config.rows,
            budget=config.planner_budget,
            deadline_ms=config.planner_deadline_ms,
            label_share=config.label_share,
            advisor=advisor,
        )
        trainer.teach(mixture)
        collector = Collector(
            rows=rows,
            spec=spec,
            mixture=mixture,
            random=random.setup(rows, spec, config.seeds),
            buffer=buffer,
            store=config.store,
            hint=advice.start(start, planner),
            health=health,
            visit=trainer.visit,
            perturb=learner.head.explore,
            tracks=tracks,
        )
        on_failure.pop_all()
    return collector


def _start_collectors(
    config: Config,
    world: World,
    planner: Planner,
    start: Start,
    trainer: Trainer,
    buffer: Buffer,
    health: Health,
) -> Collectors:
    """Start the processes that play."""
    fitting.require_collectors_fit(config)
    tracks = None
    if config.map_every:
        tracks = Tracks(require_maps(world), len(config.seeds))
    with ExitStack() as on_failure:
        collectors = Collectors(
            config=config,
            world=world,
            learner=trainer.learner,
            buffer=buffer,
            health=health,
            hint=advice.start(start, planner),
            visit=trainer.visit,
            tracks=tracks,
        )
        on_failure.callback(collectors.close)
        # what looks at the world may take long to set up, and keep what it finds
        takes_long = type(planner).check_world is not Planner.check_world
        collectors.begin(Link, one_first=takes_long)
        on_failure.pop_all()
    return collectors


def make_techniques(config: Config) -> list[Technique]:
    """Make the compression techniques."""
    return [techniques.make(choice) for choice in config.techniques]
