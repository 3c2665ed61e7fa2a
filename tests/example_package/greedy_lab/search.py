"""Walk towards the goal of the gridworld, rows first."""

from dataclasses import dataclass

import numpy as np

LEFT_TURN = 0
KEEP = 1
RIGHT_TURN = 2


@dataclass(kw_only=True)
class Greedy:
    """Turn towards the goal and go, whatever is in the way.

    It does not inherit from `curriculum.types.Planner`: that is not required."""

    needs = "observation"  # "state" would be the simulator's true state
    clumsiness: float = 0.0  # share of random actions

    def setup(self, rows, spec, seeds):
        """Prepare for `rows`, equally many for each seed, and return self."""
        # one generator a seed, so that a seed alone acts as it does among others
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.rows_per_seed = rows.count // len(seeds)
        return self

    def act(self, obs, rows):
        """Choose actions [n] for observations [n, 6] (row, column, heading, goal) of
        the rows with indices `rows` [n]."""
        facing = [obs[:, 2] < 0, obs[:, 3] > 0, obs[:, 2] > 0]  # up, right, down
        heading = np.select(facing, [0, 1, 2], 3)
        wanted = np.where(obs[:, 0] < obs[:, 4], 2, 1)  # down, else right
        turn = (wanted - heading) % 4
        action = np.select([turn == 0, turn == 1], [KEEP, RIGHT_TURN], LEFT_TURN)
        owners = rows // self.rows_per_seed
        draws = [self.generators[owner].random(2) for owner in owners]
        coin, choice = np.array(draws).reshape(-1, 2).T
        random_action = (3 * choice).astype(np.int64)
        return np.where(coin < self.clumsiness, random_action, action)

    def state(self):
        """Return what `load` needs to continue exactly from here."""
        return {"generators": [g.bit_generator.state for g in self.generators]}

    def load(self, state):
        """Restore what `state` returned."""
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
