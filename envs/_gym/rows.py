"""Rows of Gymnasium environments, one environment a row.

Environments are never asked for their state: a seed and the actions since then restore
it, and these are what `save` returns. Environments are not used for a second set of
rows: some of them, such as LunarLander, keep things that a reset does not remove.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from curriculum.envs._base.actions import scaled_space
from curriculum.envs._base.door import RowError, WorldError
from curriculum.envs._gym import physics
from curriculum.envs._gym.copies import DeepCopies
from curriculum.envs._gym.replay import ActionHistory, Screens, replay
from curriculum.envs._gym.source import Source, close
from curriculum.types import Rows, Simulator, State, Step, World

SEEDS = 2**31  # episodes get seeds below this number


class Outcome(NamedTuple):
    """What a step of N rows gave, besides observations."""

    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    reported: list[Any]  # [N] whether it was a success; None: not reported


class GymRows(Rows):
    """Rows of a Gymnasium environment.

    A step is a success if the environment reports it, where `reads_infos`, or else if
    the episode ends here with a return of at least `success_return`."""

    def __init__(
        self,
        world: World,
        source: Source,
        generators: Sequence[np.random.Generator],
        rows_per_seed: int,
        *,
        success_return: float | None,
        reads_infos: bool,
    ):
        self.world = world
        self.source = source
        self.generators = list(generators)
        self.rows_per_seed = rows_per_seed
        self.count = len(self.generators) * rows_per_seed
        self.success_return = np.inf if success_return is None else success_return
        self.reads_infos = reads_infos
        self.has_reported = np.zeros(self.count, bool)
        self.view = source.facts.view
        self.convert_actions = source.facts.actions
        self.single_observation_space = self.view.box
        self.single_action_space = scaled_space(self.convert_actions.space)
        self.screens = Screens(source)
        self.simulators: list[physics.Copies] = []
        self.envs: list[gym.Env] = []
        try:
            for _ in range(self.count):
                self.envs.append(source.make())
        except BaseException:
            self.close()
            raise
        self.direct = physics.direct_steps(self.envs)

    @property
    def reports_success(self) -> np.ndarray:
        """Some environments report success only when an episode ends."""
        return self.has_reported | self.world.has_success

    def reset(self) -> np.ndarray:
        self.seeds = np.zeros(self.count, np.int64)  # of the episodes
        self.time = np.zeros(self.count, np.int64)
        self.returns = np.zeros(self.count)
        self.history = ActionHistory(self.count, self.single_action_space)
        self.resting = np.zeros(self.count, bool)
        self.obs = np.stack([self._begin(row) for row in range(self.count)])
        return self.obs

    def _begin(self, row: int) -> np.ndarray:
        """Start an episode with a new seed."""
        generator = self.generators[row // self.rows_per_seed]
        seed = int(generator.integers(SEEDS))
        self.seeds[row] = seed
        self.time[row] = 0
        self.returns[row] = 0
        try:
            observation, _ = self.envs[row].reset(seed=seed)
            return self.view(observation)
        except Exception as error:  # third-party code may raise anything
            raise RowError(row) from error

    def rest(self, rows: np.ndarray) -> None:
        self.resting = rows.copy()

    def step(self, action: np.ndarray) -> Step:
        self.history.append(self.time, action)
        next_obs = self.obs.copy()  # of resting rows
        if self.direct:
            outcome = self._step_directly(self.direct, action, next_obs)
        else:
            outcome = self._step_envs(action, next_obs)
        reward, terminated, truncated, reported = outcome
        truncated &= ~terminated
        finished = terminated | truncated
        self.time += ~self.resting
        self.returns += reward
        success = self._successes(reported, finished)
        self.obs = next_obs
        if finished.any():
            self.last_seeds = self.seeds.copy()
            self.last_time = self.time.copy()
            self.obs = next_obs.copy()
            for row in np.flatnonzero(finished).tolist():
                self.obs[row] = self._begin(row)
        with np.errstate(over="ignore"):  # infinite rewards stop at the door
            reward = reward.astype(np.float32)
        return Step(
            obs=self.obs,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            next_obs=next_obs,
            success=success,
        )

    def _step_envs(self, action: np.ndarray, next_obs: np.ndarray) -> Outcome:
        """Step the environments, and write what they show to `next_obs` [N, *O]."""
        outcome = self._nothing()
        chosen = self.convert_actions(action)
        for row in np.flatnonzero(~self.resting).tolist():
            try:
                observation, gain, ended, cut, info = self.envs[row].step(chosen[row])
                self.view.write(observation, next_obs[row])
                outcome.reward[row] = number("reward", gain)
                outcome.terminated[row] = flag("terminated", ended)
                outcome.truncated[row] = flag("truncated", cut)
                if self.reads_infos:
                    reported = info.get("is_success", info.get("success"))
                    outcome.reported[row] = reported
            except Exception as error:  # third-party code may raise anything
                raise RowError(row) from error
        return outcome

    def _step_directly(
        self, direct: physics.DirectSteps, action: np.ndarray, next_obs: np.ndarray
    ) -> Outcome:
        """The same for environments that are stepped without their own code."""
        outcome = self._nothing()
        rows = np.flatnonzero(~self.resting)
        if not rows.size:
            return outcome
        controls = self.convert_actions(action)[rows]

        def write(observation: np.ndarray, row: int) -> None:
            self.view.write(observation, next_obs[row])

        reward, terminated = direct.step(rows.tolist(), controls, write)
        outcome.reward[rows] = reward
        outcome.terminated[rows] = terminated
        if self.source.facts.max_steps:
            outcome.truncated[rows] = self.time[rows] + 1 >= self.source.facts.max_steps
        return outcome

    def _nothing(self) -> Outcome:
        return Outcome(
            reward=np.zeros(self.count),
            terminated=np.zeros(self.count, bool),
            truncated=np.zeros(self.count, bool),
            reported=[None] * self.count,
        )

    def _successes(self, reported: list[Any], finished: np.ndarray) -> np.ndarray:
        """Which steps are successes, [N] bool; None: not reported."""
        success = finished & (self.returns >= self.success_return)
        for row, value in enumerate(reported):
            if value is not None:
                self.has_reported[row] = True
                success[row] = flag("is_success", value)
        return success

    def save(self) -> State:
        generators = [g.bit_generator.state for g in self.generators]
        return {
            "seeds": self.seeds.copy(),
            "time": self.time.copy(),
            "actions": self.history.save(self.time),
            "generators": generators,
            "has_reported": self.has_reported.copy(),
            # these two follow from the others, unless an environment draws random
            # numbers that its seed does not determine
            "obs": self.obs.copy(),
            "returns": self.returns.copy(),
        }

    def load(self, saved: State) -> np.ndarray:
        """Replay every row's episode up to the step at which it was saved."""
        self.reset()
        pairs = zip(self.generators, saved["generators"], strict=True)
        for generator, state in pairs:
            generator.bit_generator.state = state
        self.seeds = saved["seeds"].copy()
        self.time = saved["time"].copy()
        self.has_reported = saved["has_reported"].copy()
        self.history.load(saved["actions"])
        for row, env in enumerate(self.envs):
            past = self.history.of(row, 0, self.time[row])
            actions = self.convert_actions(past)
            seed = int(self.seeds[row])
            keep = max(self.view.frames, 1)
            try:
                seen, self.returns[row] = replay(env, actions, seed, keep)
                self.obs[row] = self.view(seen[0])
                for observation in seen[1:]:
                    self.view.write(observation, self.obs[row])
            except Exception as error:  # third-party code may raise anything
                raise RowError(row) from error
        return self.obs

    def simulator(self) -> Simulator:
        if not self.source.facts.is_mujoco:
            return DeepCopies(self.source, self.envs)
        simulator = physics.simulator(self.source, self.envs)
        self.simulators.append(simulator)
        return simulator

    def close(self) -> None:
        for simulator in self.simulators:
            simulator.close()
        self.screens.close()
        for env in self.envs:
            close(env)

    def picture(self, row: int) -> np.ndarray:
        seed = int(self.seeds[row])
        time = int(self.time[row])
        return self.screens.picture(row, seed, time, self.history)

    def last_picture(self, row: int) -> np.ndarray:
        seed = int(self.last_seeds[row])
        time = int(self.last_time[row])
        return self.screens.picture(row, seed, time, self.history)


def number(name: str, value: Any) -> float:
    """A number that an environment hands over; arrays of one element are numbers.

    WorldError for anything else."""
    if isinstance(value, float | int | np.generic):
        return value  # type: ignore[return-value]
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise WorldError(f"{name} must be a number, got {value!r:.80}")
    return array.item()


def flag(name: str, value: Any) -> bool:
    """Like `number`: a bool, or a number that is 0 or 1."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    given = number(name, value)
    if given not in (0, 1):
        raise WorldError(f"{name} must be True or False, got {value!r:.80}")
    return bool(given)
