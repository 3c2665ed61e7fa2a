"""The loop: somebody acts, the world steps, a frame is shown."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from curriculum.activity import is_stopping
from curriculum.run.evaluation import FREE_RUN
from curriculum.run.playing.actors import Actor, PlannerActor
from curriculum.run.playing.caption import Caption, frame
from curriculum.run.playing.game import Game
from curriculum.run.playing.keyboard import Keyboard
from curriculum.run.playing.log import Log
from curriculum.run.playing.pace import NoPace, Pace
from curriculum.run.playing.screens import Screen
from curriculum.run.recorder import Tape
from curriculum.types import Episode, Planner, Spec, World

Who = Literal["learner", "planner", "person"]
# names of the sources of a data set, and who is meant
SOURCES: dict[str, Who] = {
    "expert": "person",
    "planner": "planner",
    "learner": "learner",
}


def longest(world: World) -> int:
    """Steps after which an episode is stopped, as in evaluations."""
    return world.evaluated().max_steps or FREE_RUN


class Choice(NamedTuple):
    """An action and how it came about."""

    who: Who
    action: np.ndarray  # [1] or [1, A]
    latency_ms: float | None  # None: of a person


@dataclass(kw_only=True)
class Session:
    """Episodes one after another, with what happened in them."""

    world: World
    spec: Spec
    learner: Actor
    screen: Screen
    keyboard: Keyboard = field(default_factory=Keyboard)
    pace: Pace | NoPace = field(default_factory=NoPace)
    planner: Planner | None = None  # acts first
    seed: int = 0  # of the planner
    episode: int = 0  # number of the first one
    max_steps: int = 0  # of all episodes together; 0: no limit
    max_latency_ms: float = 0.0  # of learner and planner; 0: no limit
    hold: int = 0  # frames for which the end of an episode stays in a window
    clock: Callable[[], float] = time.monotonic
    # told the number of steps after each of them
    report: Callable[[int], None] = lambda steps: None

    problem: str = ""  # why it was stopped
    log: Log = field(default_factory=Log)
    episodes: list[Episode] = field(default_factory=list)

    def play(self) -> None:
        """Play one episode, or until a person quits if one may act.

        It stops early where somebody is too slow: `problem` says so."""
        self.steps = 0
        self.acting: Who = "planner" if self.planner else "learner"
        self.began = self.clock()
        number = self.episode
        while True:
            self._play_episode(number)
            wants_next = self.keyboard.take("wants_next")
            if self._is_ending() or not (wants_next or self.keyboard.steers):
                return
            number += 1

    def _play_episode(self, number: int) -> None:
        self.number = number
        with Game(self.world, number) as game:
            self.actors: dict[Who, Actor] = {"learner": self.learner}
            if self.planner:
                planner = PlannerActor(self.planner, self.spec, game, self.seed)
                self.actors["planner"] = planner
            if not self.steps:
                self._warm_up()
            game.begin()
            self.tape = Tape(self.spec)
            self._show(game)
            try:
                while not self._is_at_end(game):
                    self._advance(game)
                    self.report(self.steps)
            finally:  # what was played is kept, whatever goes wrong
                if self.tape.length:
                    self.episodes.append(self.tape.take(game.last, 0))
            self._hold()

    def _warm_up(self) -> None:
        """Let everybody act once in a game of their own: first calls are slow."""
        with Game(self.world, self.episode) as game:
            actors = [self.learner]
            if self.planner:
                own = PlannerActor(self.planner, self.spec, game, self.seed)
                actors.append(own)
            game.begin()
            for actor in actors:
                actor.act(game.obs)

    def _is_at_end(self, game: Game) -> bool:
        """Whether an episode goes no further."""
        is_cut = game.steps == longest(self.world) or self.keyboard.wants_next
        return game.is_over or is_cut or self._is_ending()

    def _is_ending(self) -> bool:
        """Whether nothing more is to be played."""
        is_enough = 0 < self.max_steps <= self.steps
        is_stopped = bool(self.problem) or is_stopping()
        return is_enough or is_stopped or self.keyboard.has_quit

    def _advance(self, game: Game) -> None:
        """Wait for the next frame, and take a step in it unless the game is paused or
        waits for a person."""
        self._await_frame()
        if self.keyboard.has_quit or self.keyboard.wants_next:
            return
        if self.keyboard.take("wants_other") and self.planner:
            self.acting = "planner" if self.acting == "learner" else "learner"
        choice = None if self.keyboard.is_paused else self._choose(game)
        if choice and not self.problem:
            self._step(game, choice)
        self._show(game)

    def _await_frame(self) -> None:
        self.pace.wait()
        self.screen.read(self.keyboard)

    @property
    def _who(self) -> Who:
        return "person" if self.keyboard.is_person else self.acting

    def _choose(self, game: Game) -> Choice | None:
        """The next action; None while a person has to press a key. Notes a problem
        where it came too late."""
        who = self._who
        if who == "person":
            action = game.steered(*self.keyboard.direction)
            return None if action is None else Choice(who, action, None)
        started = self.clock()
        action = self.actors[who].act(game.obs)
        latency_ms = 1_000 * (self.clock() - started)
        if 0 < self.max_latency_ms < latency_ms:
            self.problem = (
                f"stopped at step {game.steps + 1} of episode {self.number}: the {who} "
                f"took {latency_ms:.1f} ms, --max-latency-ms is {self.max_latency_ms:g}"
            )
        return Choice(who, action, latency_ms)

    def _step(self, game: Game, choice: Choice) -> None:
        """Take a step, and keep it."""
        seconds = self.clock() - self.began
        obs = game.obs
        step = game.step(choice.action)
        self.steps += 1
        source = list(SOURCES.values()).index(choice.who)
        self.tape.add(obs, choice.action, np.array([source], np.uint8), step, 0)
        self.log.add(
            episode=self.number,
            step=game.steps,
            seconds=seconds,
            latency_ms=choice.latency_ms,
            action=choice.action[0],
            who=choice.who,
            reward=float(step.reward[0]),
            total=game.total,
        )

    def _show(self, game: Game) -> None:
        note = "paused" if self.keyboard.is_paused else game.outcome
        caption = Caption(self._who, self.number, game.steps, game.total, note)
        self.screen.show(frame(game.picture(), caption))

    def _hold(self) -> None:
        """Leave the end of an episode in view for a while."""
        for _ in range(self.hold):
            if self.keyboard.wants_next or self._is_ending():
                return
            self._await_frame()
