"""The training loop, a generator of records: `for record in train(config): ...`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from curriculum.activity import phase
from curriculum.run import advice, checkpoint
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.types import Record

# observations per seed by which learners standardise
NORMALIZER_OBSERVATIONS = 10_000


def train(
    config: Config,
    folder: Path | None = None,
    resume: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train all seeds of `config` side by side and yield records.

    Checkpoints and policies are written to `folder`, if given. `resume` names a
    checkpoint to continue from, bit for bit. Once `stop()` is true, a checkpoint is
    written and the loop ends.

        for record in train(Config(learner="iql", steps=5_000)):
            print(record.kind, record.step, record.values)
    """
    torch.set_num_threads(config.threads)
    with phase("setup", 0, "", detail="making the world, the planner and the learner"):
        run = Run(config, folder)
        if resume:
            run.load(checkpoint.read(resume))
    if not resume:
        yield from begin(run)
    steps = config.steps
    with phase("online", steps, "steps", advice.ONLINE, done=run.step) as current:
        while run.step < steps:
            if stop():
                run.save()
                return
            rate = run.planning_rate()
            run.step += config.rows
            run.collector.collect(rate, run.step)
            run.trainer.update(run.step, diagnose=run.due(config.log_every))
            # `stop` is asked above, where a checkpoint can be written
            current.report(run.step)
            if run.due(config.log_every):
                yield from run.report()
            if run.due(config.eval_every):
                yield run.evaluate()
            if run.due(config.compress_every):
                yield run.compress()
            if run.due(config.checkpoint_every):
                run.save()
    yield from run.finish()


def begin(run: Run) -> Iterator[Record]:
    """Measure random play and the planner, fill the buffer, pretrain, evaluate."""
    yield run.measure_scale()
    run.collector.reset()
    run.start.fill(run.collector, run.buffer)
    run.learner.normalizer.fit(run.buffer.recent_obs(NORMALIZER_OBSERVATIONS))
    run.learner.normalizer.fit_rewards(run.buffer.episode_returns())
    run.trainer.pretrain(run.config.pretrain_updates)
    yield run.report_start()
    yield run.evaluate()
    run.save()
