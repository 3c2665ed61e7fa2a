"""Walk towards the goal, rows first."""

from dataclasses import dataclass

import numpy as np


@dataclass(kw_only=True)
class Greedy:
    """Turn towards the goal and go, whatever stands in the way."""

    # or "state": the simulator's true state in `env.state`, which every report will say
    needs = "observation"
    clumsiness: float = 0.0  # share of random actions; dataclass fields become flags

    def setup(self, env, spec, seeds):
        """Prepare for `env` (a batch of rows, equally many for each seed) and return
        self."""
        # a seed alone acts as among others
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.rows_each = env.count // len(seeds)
        return self

    def act(self, obs, rows):
        """Choose an action for each observation [n, 6] (row, column, heading, goal),
        made in the rows [n]."""
        # up, right, down, left
        heading = np.select([obs[:, 2] < 0, obs[:, 3] > 0, obs[:, 2] > 0], [0, 1, 2], 3)
        wanted = np.where(obs[:, 0] < obs[:, 4], 2, 1)
        # 0 left, 1 keep, 2 right
        action = np.select([wanted == heading, (wanted - heading) % 4 == 1], [1, 2], 0)
        chance = np.array(
            [self.generators[row // self.rows_each].random(2) for row in rows]
        ).reshape(-1, 2)
        return np.where(
            chance[:, 0] < self.clumsiness, (3 * chance[:, 1]).astype(np.int64), action
        )

    def state(self):
        """Give what `load` needs to go on exactly from here; a planner without memory
        has neither."""
        return {
            "generators": [
                generator.bit_generator.state for generator in self.generators
            ]
        }

    def load(self, state):
        """Go back to what `state` returned."""
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
