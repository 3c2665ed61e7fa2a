"""Processes that play for a run: what they are told, what is kept, what is exact."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from curriculum.learners.dagger import DAgger
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.planners.shooting import Shooting
from curriculum.replay.buffer import SOURCE
from curriculum.replay.layout import Transition
from curriculum.run import assembly, messages
from curriculum.run.collection_worker import Link, Worker, seeds_of
from curriculum.run.collectors import Collectors
from curriculum.run.fitting import require_learner_fits
from curriculum.run.loop import advance, prepare, train
from curriculum.run.run import Run
from curriculum.setting import flags
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Record, State


def small(**settings: Any) -> Config:
    """A run that a test can take, with two collectors."""
    given: dict[str, Any] = {
        "env": "gridworld",
        "learner": IQL(hidden=(16,), batch_size=16),
        "planner": "shortest_path",
        "start": Expert(size=64),
        "steps": 160,
        "rows": 4,
        "collectors": 2,
        "round_steps": 5,
        "log_every": 40,
        "eval_every": 80,
        "eval_episodes": 1,
        "eval_mixed": False,
        "checkpoint_every": 1_000,
        "engine": "torch",
    }
    return Config(**(given | settings))


class Inline:
    """A worker in this process that plays when it is asked for its answer."""

    log: ClassVar[list[tuple[int, str]]] = []  # what happened, of all workers
    deaths: ClassVar[set[int]] = set()  # answers before which a worker ends
    answered: ClassVar[int] = 0

    def __init__(self, settings: Path, index: int):
        config = flags.read(["--config", str(settings)]).config
        self.worker = Worker(config, index)
        self.index = index
        self.orders: list[State] = []
        self.ended = False

    def send(self, order: State) -> None:
        self.orders.append(_sent(order))
        self.log.append((self.index, order["do"]))

    def receive(self, look: Callable[[], None]) -> State:
        type(self).answered += 1
        if self.answered in self.deaths:
            raise messages.Ended
        answer = self.worker.answer(self.orders.pop(0))
        self.log.append((self.index, "answer"))
        return _sent(answer | {"notes": ""})

    def problem(self) -> str:
        return "was ended by a test"

    def close(self) -> None:
        self.worker.collector.close()


def _sent(message: State) -> State:
    """A message as it arrives elsewhere."""
    data = messages.encode(message)
    text_size, _ = messages.HEADER.unpack(data[: messages.HEADER.size])
    middle = messages.HEADER.size + text_size
    return messages.decode(data[messages.HEADER.size : middle], data[middle:])


@pytest.fixture(autouse=True)
def inline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers live in this process, but in tests of processes."""
    Inline.log.clear()
    Inline.deaths = set()
    Inline.answered = 0
    if "processes" not in request.keywords:
        monkeypatch.setattr(assembly, "Link", Inline)


def timeless(records: Iterator[Record] | list[Record]) -> list[Any]:
    """Records without what a clock measured."""
    return [
        (record.kind, record.step, {t: v.tolist() for t, v in record.values.items()})
        for record in records
        if record.kind not in ("time", "maps")
    ]


def same(first: list[Any], second: list[Any]) -> bool:
    """Whether records are equal, nan included."""
    return repr(first) == repr(second)


# --- messages ---


def test_a_message_arrives_as_it_was_sent_in_any_pieces():
    reading, writing = os.pipe()
    large = np.arange(300_000, dtype=np.float64)
    sent = {"do": "play", "rate": large, "nan": float("nan"), "empty": np.zeros((0, 2))}
    thread = threading.Thread(target=messages.write, args=(writing, sent))
    thread.start()
    inbox = messages.Inbox(reading)
    found = inbox.receive(lambda: None)
    thread.join()
    np.testing.assert_array_equal(found["rate"], large)
    assert found["empty"].shape == (0, 2)
    assert np.isnan(found["nan"])
    found["rate"][0] = 7  # what has arrived can be written to
    os.close(writing)
    with pytest.raises(messages.Ended):
        inbox.receive(lambda: None)
    os.close(reading)


def test_what_has_arrived_is_kept_where_waiting_is_interrupted():
    reading, writing = os.pipe()
    data = messages.encode({"value": 3})
    os.write(writing, data[:20])
    inbox = messages.Inbox(reading)
    looks = iter([None, None])

    def look() -> None:
        if next(looks, "over") == "over":
            raise TimeoutError

    with pytest.raises(TimeoutError):
        inbox.receive(look)
    os.write(writing, data[20:])
    assert inbox.receive(lambda: None) == {"value": 3}
    os.close(reading)
    os.close(writing)


# --- rounds ---


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_workers_are_never_further_ahead_than_they_may(ahead: int):
    list(train(small(rounds_ahead=ahead, eval_mixed=False)))
    owed = 0
    most = 0
    for index, what in Inline.log:
        if index == 0 and what == "play":
            owed += 1
            most = max(most, owed)
        elif index == 0 and what == "answer":
            owed = max(owed - 1, 0)
    assert most == ahead + 1


@pytest.mark.parametrize(("ahead", "oldest"), [(0, 4), (1, 9), (2, 14)])
def test_the_age_of_weights_has_its_bound(ahead: int, oldest: int):
    # rounds of 5 steps of 4 rows, an update a step: the step that is last in its round
    # has seen 4 updates of this round, and 5 of each round that was played ahead
    records = train(small(rounds_ahead=ahead, updates_per_step=0.25))
    ages = [
        record.values["collectors/staleness_updates_max"][0]
        for record in records
        if record.kind == "collect"
    ]
    assert max(ages) == oldest


def test_the_buffer_holds_the_rows_of_each_worker_in_order(
    monkeypatch: pytest.MonkeyPatch,
):
    run = Run(small(start=Expert(size=40)))
    assert isinstance(run.collector, Collectors)
    run.reset()
    run.collector.begin_start()
    taken: list[Transition] = []
    monkeypatch.setattr(run.buffer, "add", lambda step, keep: taken.append(step))
    run.collector.play_planner(40)
    run.close()
    alone = []
    for index in range(2):
        worker = Worker(run.config, index)
        worker.collector.reset()
        worker.tape.begin()
        worker.collector.begin_start()
        worker.collector.play_planner(20)
        alone.append(np.stack(worker.tape.fields["obs"]))
    obs = np.stack([step.obs for step in taken])  # [steps, P, E, *O]
    np.testing.assert_array_equal(obs[:, :, :2], alone[0])
    np.testing.assert_array_equal(obs[:, :, 2:], alone[1])
    assert not np.array_equal(alone[0], alone[1])
    assert (np.stack([step.source for step in taken]) == SOURCE["expert"]).all()


def test_workers_of_a_seed_draw_different_numbers():
    drawn = [seeds_of((0, 1), index) for index in range(8)]
    flat = {seed for seeds in drawn for seed in seeds}
    assert len(flat) == 16
    assert seeds_of((1,), 3)[0] == seeds_of((0, 1), 3)[1]


def test_a_seed_alone_is_that_seed_among_others():
    together = timeless(train(small(seeds=(0, 1), planner_budget=150)))
    alone = timeless(train(small(seeds=(1,), planner_budget=150)))
    for one, several in zip(alone, together, strict=True):
        for tag, value in one[2].items():
            mine, theirs = value[0], several[2][tag][1]
            if tag.startswith(("train/", "eval/", "handover/", "final/")):
                assert mine == pytest.approx(theirs, rel=1e-4, nan_ok=True), tag
            else:  # what the world did, and who acted
                assert repr(mine) == repr(theirs), tag


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_budget_is_spent_by_all_workers_together(ahead: int):
    config = small(
        planner_budget=101, rounds_ahead=ahead, decay="constant", evaluation=True
    )
    final = list(train(config))[-1]
    assert final.values["final/planner_calls"].tolist() == [101]


def test_what_is_stored_says_who_acted():
    run = prepare(small(decay="constant", planner_budget=0))
    list(advance(run))
    counted = run.buffer.count[0]
    assert counted[SOURCE["expert"]] == 64
    assert counted[SOURCE["planner"]] + counted[SOURCE["learner"]] == 160
    assert counted[SOURCE["planner"]] == run.use.calls[0] - 64
    assert counted[SOURCE["planner"]] > 0


def test_what_planners_tell_beside_their_actions_is_stored(
    monkeypatch: pytest.MonkeyPatch,
):
    """Also in rounds in which one of the workers asked nobody."""
    planner = Shooting(horizon=20, plans=16)
    learner = DAgger(hidden=(16,), batch_size=16, stake_power=1.0)
    config = small(
        planner=planner,
        learner=learner,
        label_share=0.1,
        decay="constant",
        start=Expert(size=20),
        steps=40,
    )
    run = prepare(config)
    taken: list[Transition] = []
    store = run.buffer.add

    def add(step: Transition, keep: np.ndarray | None) -> None:
        taken.append(step)
        store(step, keep)

    monkeypatch.setattr(run.buffer, "add", add)
    list(advance(run))
    stake = np.array([step.label_stake for step in taken])  # [steps, P, E]
    has_label = np.array([step.has_label for step in taken])
    assert len(stake) == len(taken) == 60 // 4
    assert (stake[~has_label] == 0).all()
    assert (stake[has_label] > 0).any()


# --- exactness ---


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_resumed_run_is_the_run_that_went_on(tmp_path: Path, ahead: int):
    learner = DQN(hidden=(16,), batch_size=16)
    config = small(
        rounds_ahead=ahead, learner=learner, seeds=(0, 3), planner_budget=120
    )
    whole = timeless(train(config))
    for stopped in (48, 92):  # in the middle of rounds
        folder = tmp_path / f"stopped-{stopped}"
        run = prepare(config, folder)

        def stop(run: Run = run, step: int = stopped) -> bool:
            return run.step >= step

        list(advance(run, stop))
        [newest] = (folder / "checkpoints").glob(f"step-{stopped:09d}")
        resumed = timeless(train(config, resume=newest))
        assert same(resumed, whole[-len(resumed) :])
        assert len(resumed) < len(whole)


def test_a_worker_that_ends_changes_nothing(capsys: pytest.CaptureFixture[str]):
    config = small(rounds_ahead=1)
    whole = timeless(train(config))
    Inline.answered = 0
    Inline.deaths = {1, 4, 9, 14, 15}
    assert same(timeless(train(config)), whole)
    said = capsys.readouterr().err
    assert "collector 1 of 2 was ended by a test; another one goes on" in said


def test_a_worker_that_ends_again_and_again_ends_the_run():
    Inline.deaths = set(range(8, 100))
    with pytest.raises(ValueError, match="3 times without having played a round"):
        list(train(small()))


# --- what is refused ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rows": 8, "collectors": 3}, "multiple of --collectors"),
        ({"collectors": -1}, "collectors"),
        ({"round_steps": 0}, "round_steps"),
        ({"rounds_ahead": 65}, "rounds_ahead"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(settings: dict[str, Any], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        small(**settings)


def test_a_planner_that_learns_is_refused():
    with pytest.raises(ValueError, match="explorer learns in the run"):
        require_learner_fits(small(planner="explorer", rollback=0.0))


def test_a_planner_that_listens_to_the_learner_is_refused():
    with pytest.raises(ValueError, match=r"set --planner\.trust 0"):
        require_learner_fits(small(planner=Shooting(trust="auto")))


def test_a_checkpoint_of_another_number_of_collectors_is_refused(tmp_path: Path):
    list(train(small(steps=20), tmp_path))
    [checkpoint, *_] = (tmp_path / "checkpoints").iterdir()
    with pytest.raises(ValueError, match="2 collectors, this one has 4"):
        prepare(small(collectors=4), resume=checkpoint)


# --- processes ---


@pytest.mark.processes
def test_a_process_plays_what_a_worker_here_plays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    config = small(collectors=1, steps=80)
    started = []

    def start(settings: Path, index: int) -> Link:
        started.append(Link(settings, index))
        return started[-1]

    monkeypatch.setattr(assembly, "Link", start)
    found = []
    for record in train(config):
        found.append(record)
        if record.kind == "collect" and len(started) == 1:
            os.kill(started[0].process.pid, signal.SIGKILL)
    monkeypatch.setattr(assembly, "Link", Inline)
    assert same(timeless(found), timeless(train(config)))
    assert "was ended by SIGKILL; another one goes on" in capsys.readouterr().err
    assert len(started) == 2
    assert all(link.process.poll() is not None for link in started)
