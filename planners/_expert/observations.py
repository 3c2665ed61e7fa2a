"""What a policy sees of a world: flat numbers, or what the environment itself gives.

Models are usually trained in the environment itself, whose observations are flattened
here; they get them back as they were."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from curriculum.envs._gym.native import native_observations, native_part, native_space
from curriculum.envs._gym.spaces import FlatView
from curriculum.envs.gym import Gym
from curriculum.types import World

View = Callable[[np.ndarray], Any]  # observations [n, *O] -> what a policy sees


def view_for(seen: spaces.Space, world: World) -> View | None:
    """How observations of `world` become observations of the space `seen`; None where
    they cannot."""
    given = world.observation_space
    if isinstance(seen, spaces.Box) and same_kind(seen, given):
        return lambda obs: obs
    view = flat_view(world)
    if view is None:
        return None
    if same_kind(seen, native_space(view)):
        return lambda obs: native_observations(view, obs)
    # wrappers such as ImgObsWrapper show one part
    parts = [part for part in view.parts if same_kind(seen, part.space)]
    if len(parts) == 1:
        return lambda obs: native_part(parts[0], obs)
    return None


def described(world: World) -> str:
    """What a world gives, as text."""
    space = world.observation_space
    text = f"{space.dtype} {list(space.shape)}"
    view = flat_view(world)
    if view is None:
        return text
    native = native_space(view)
    return text if same_kind(native, space) else f"{text}, made of {native}"


def flat_view(world: World) -> FlatView | None:
    """How a world flattens the observations of an environment, if it does."""
    if not isinstance(world, Gym):
        return None
    view = world.facts.view
    return view if isinstance(view, FlatView) else None


def same_kind(seen: spaces.Space, given: spaces.Space) -> bool:
    """Whether a policy for the space `seen` can act on elements of `given`; bounds do
    not matter, and pictures may have their channels first."""
    if isinstance(seen, spaces.Dict) and isinstance(given, spaces.Dict):
        return seen.keys() == given.keys() and all(
            same_kind(seen[key], given[key])
            for key in seen.keys()  # noqa: SIM118
        )
    if isinstance(seen, spaces.Discrete) and isinstance(given, spaces.Discrete):
        return (seen.n, seen.start) == (given.n, given.start)
    if isinstance(seen, spaces.MultiDiscrete):
        return seen == given
    if isinstance(seen, spaces.MultiBinary):
        return isinstance(given, spaces.MultiBinary) and seen.shape == given.shape
    if not isinstance(seen, spaces.Box) or not isinstance(given, spaces.Box):
        return False
    pictures = (seen.dtype == np.uint8) and (given.dtype == np.uint8)
    if (seen.dtype == np.uint8) != (given.dtype == np.uint8):
        return False
    if pictures and len(given.shape) == 3:
        height, width, channels = given.shape
        return seen.shape in (given.shape, (channels, height, width))
    return seen.shape == given.shape
