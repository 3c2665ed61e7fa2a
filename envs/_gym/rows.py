"""Rows of Gymnasium environments, one environment a row.

Environments are never asked for their state: a seed and the actions since then restore
it, and these are what `save` returns.
"""

from collections.abc import Sequence

import numpy as np

from curriculum.envs._base.actions import scaled_space
from curriculum.envs._gym import physics
from curriculum.envs._gym.copies import DeepCopies
from curriculum.envs._gym.replay import ActionHistory, Screens, replay
from curriculum.envs._gym.source import Source
from curriculum.types import Simulator, State, Step, World

SEEDS = 2**31  # episodes get seeds below this number


class GymRows:
    """Rows of a Gymnasium environment.

    An episode is a success if the environment reports it, or else if its return is at
    least `success_return`."""

    def __init__(
        self,
        world: World,
        source: Source,
        generators: Sequence[np.random.Generator],
        rows_per_seed: int,
        *,
        success_return: float | None,
        reports_success: bool,
    ):
        self.world = world
        self.source = source
        self.generators = list(generators)
        self.rows_per_seed = rows_per_seed
        self.count = len(self.generators) * rows_per_seed
        self.success_return = np.inf if success_return is None else success_return
        self.reports_success = reports_success
        self.view = source.facts.view
        self.convert_actions = source.facts.actions
        self.single_observation_space = self.view.box
        self.single_action_space = scaled_space(self.convert_actions.space)
        self.envs = [source.make() for _ in range(self.count)]
        self.screens = Screens(source)

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
        observation, _ = self.envs[row].reset(seed=seed)
        return self.view(observation)

    def rest(self, rows: np.ndarray) -> None:
        self.resting = rows.copy()

    def step(self, action: np.ndarray) -> Step:
        self.history.append(self.time, action)
        reward = np.zeros(self.count)
        terminated = np.zeros(self.count, bool)
        truncated = np.zeros(self.count, bool)
        reported = np.zeros(self.count, bool)
        next_obs = self.obs.copy()  # of resting rows
        chosen = self.convert_actions(action)
        for row in np.flatnonzero(~self.resting).tolist():
            observation, gain, ended, cut, info = self.envs[row].step(chosen[row])
            self.view.write(observation, next_obs[row])
            reward[row] = gain
            terminated[row] = ended
            truncated[row] = cut
            if self.reports_success:
                reported[row] = info.get("is_success", info.get("success", False))
        truncated &= ~terminated
        finished = terminated | truncated
        self.time += 1
        self.returns += reward
        success = reported
        if not self.reports_success:
            success = finished & (self.returns >= self.success_return)
        self.obs = next_obs
        if finished.any():
            self.obs = next_obs.copy()
            for row in np.flatnonzero(finished).tolist():
                self.obs[row] = self._begin(row)
        return Step(
            obs=self.obs,
            reward=reward.astype(np.float32),
            terminated=terminated,
            truncated=truncated,
            next_obs=next_obs,
            success=success,
        )

    def save(self) -> State:
        generators = [g.bit_generator.state for g in self.generators]
        return {
            "seeds": self.seeds.copy(),
            "time": self.time.copy(),
            "actions": self.history.save(self.time),
            "generators": generators,
        }

    def load(self, saved: State) -> np.ndarray:
        """Replay every row's episode up to the step at which it was saved."""
        self.reset()
        pairs = zip(self.generators, saved["generators"], strict=True)
        for generator, state in pairs:
            generator.bit_generator.state = state
        self.seeds = saved["seeds"].copy()
        self.time = saved["time"].copy()
        self.history.load(saved["actions"])
        for row, env in enumerate(self.envs):
            past = self.history.of(row, 0, self.time[row])
            actions = self.convert_actions(past)
            seed = int(self.seeds[row])
            keep = max(self.view.frames, 1)
            seen, self.returns[row] = replay(env, actions, seed, keep)
            self.obs[row] = self.view(seen[0])
            for observation in seen[1:]:
                self.view.write(observation, self.obs[row])
        return self.obs

    def simulator(self) -> Simulator:
        if self.source.facts.is_mujoco:
            return physics.simulator(self.source, self.envs)
        return DeepCopies(self.source, self.envs)

    def picture(self, row: int) -> np.ndarray:
        seed = int(self.seeds[row])
        time = int(self.time[row])
        return self.screens.picture(row, seed, time, self.history)
