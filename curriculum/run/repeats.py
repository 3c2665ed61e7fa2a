"""Whether a world plays an episode twice: comparisons and resumed runs rely on it."""

import sys

import numpy as np

from curriculum.envs._base.door import Door
from curriculum.run.evaluation import evaluation_door
from curriculum.types import World, stream

STEPS = 5  # that are compared


def announce_chance(world: World) -> None:
    """Print a sentence if the same episode seed and actions bring different results.

    Not an error: what is learned is as true as ever."""
    courses = []
    for _ in range(2):
        with evaluation_door(world, [0], ("first steps",)) as door:
            courses.append(_play(door))
            name = door.name
    first, second = courses
    if all(np.array_equal(*pair) for pair in zip(first, second, strict=True)):
        return
    print(
        f"world {name} differs after two resets with one seed: evaluation episodes are "
        "not the same from one evaluation to the next, and a resumed run is not exact; "
        "draw all random numbers of the world from the generator that reset(seed=...) "
        "seeds",
        file=sys.stderr,
    )


def _play(door: Door) -> list[np.ndarray]:
    """Observations, rewards and ends of a few random steps in one row."""
    space = door.rows.single_action_space
    generator = stream(0, "repeats")
    results = [door.reset()]
    for _ in range(STEPS):
        uniform = generator.random((1, *(space.shape or ())))
        if space.shape:
            action = (2 * uniform - 1).astype(np.float32)
        else:
            action = (uniform * space.n).astype(np.int64)  # type: ignore[union-attr]
        step = door.step(action)
        results += [step.next_obs, step.reward, step.terminated]
    return results
