"""The published numbers of BotEvade (gymnasium-cellworld): places, speeds, times and
bodies.

Lengths are in units of the arena's diameter, times in seconds, angles in degrees.
"""

from typing import NamedTuple

import numpy as np

SECONDS = 0.025  # of a sub-step
# sub-steps of an environment step, 0.25 s; the original adds up rounded times and
# sometimes takes 11
SUBSTEPS = 10
STEP_SECONDS = SUBSTEPS * SECONDS

START_POSITION = (0.05, 0.5)  # of the prey, which faces east
GOAL_POSITION = np.array([1.0, 0.5])
GOAL_RADIUS = 0.1  # the goal is reached within it
PUFF_RADIUS = 0.1  # the predator puffs at a prey in sight within it
PUFF_COOLDOWN = 0.5  # after a puff the predator neither puffs nor looks for the prey
SIGHT_RADIUS = 1.0  # nothing is seen farther away

PREY_SPEED = 0.5  # top speed per second
TOLERANCE = 0.01  # a waypoint is reached within it
# sub-steps before another destination is accepted and before the path is planned again
WAIT = 10
HALF_SPEED_ERROR = 8.0  # heading error at which an agent moves at half its speed
# in the original, agents that are farther than this from their waypoint exceed their
# top speed
BRAKING_DISTANCE = 0.2


class PredatorRatios(NamedTuple):
    """How a predator compares with the prey."""

    speed: float  # of its top speed
    turning: float  # of its turning gain
    prey_gain: float  # turning gain of the prey: degrees per second and degree of error


PREDATORS = {
    "slow": PredatorRatios(speed=0.15, turning=0.175, prey_gain=20.0),
    "fast": PredatorRatios(speed=1.0, turning=1.0, prey_gain=20.0),
    "equal": PredatorRatios(speed=1.0, turning=1.0, prey_gain=5.0),
}

# corners of the bodies, ahead and to the left of the centre
# fmt: off
PREDATOR_BODY = np.array([  # [6, 2]
    (0.02, 0.013), (0.02, -0.013), (-0.02, 0.013), (-0.02, -0.013),
    (0.025, 0.01), (0.025, -0.01),
])
PREY_BODY = np.array([(0.015, 0), (-0.015, 0), (0, 0.005), (0, -0.005)])  # [4, 2]
# fmt: on
# [2, 6, 2] both, predator first; the last two corners of the prey stand twice
BODIES = np.stack([PREDATOR_BODY, np.append(PREY_BODY, PREY_BODY[2:], 0)])
# [2, 1] from the centre to the farthest corner
REACH = np.hypot(*BODIES.transpose(2, 0, 1)).max(-1)[:, None]
