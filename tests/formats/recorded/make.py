"""Write the files beside this one with the libraries of others.

They are read by test_recorded.py, which needs none of these libraries:

    pip install 'minari[arrow,hdf5]' d3rlpy
    python tests/formats/recorded/make.py
"""

import shutil
from pathlib import Path

import d3rlpy
import gymnasium as gym
import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

HERE = Path(__file__).parent
LENGTHS = ((3, True, False), (2, False, True), (1, True, False))


def episodes(observe, act) -> list[EpisodeBuffer]:
    """Episodes of a few steps, numbered from one to the next."""
    found = []
    for number, (steps, terminated, truncated) in enumerate(LENGTHS):
        begin = 10 * number
        found.append(
            EpisodeBuffer(
                id=number,
                seed=number,
                observations=observe(begin + np.arange(steps + 1)),
                actions=act(np.arange(steps)),
                rewards=(begin + np.arange(steps)) / 4,
                terminations=np.arange(1, steps + 1) == steps * terminated,
                truncations=np.arange(1, steps + 1) == steps * truncated,
                infos={"speed": np.arange(steps + 1) / 2},
            )
        )
    return found


def box(n: np.ndarray) -> np.ndarray:
    return np.stack([n, -n, n / 8], -1).astype(np.float32)


def make(name: str, data_format: str, observation, action, observe, act) -> None:
    """Write a data set of Minari."""
    storage = HERE / name
    shutil.rmtree(storage, ignore_errors=True)
    dataset = minari.create_dataset_from_buffers(
        dataset_id=f"recorded/{name}-v0",
        buffer=episodes(observe, act),
        env=None,
        observation_space=observation,
        action_space=action,
        algorithm_name="counting",
        author="nobody",
        author_email="nobody@example.org",
        code_permalink="https://example.org",
        data_format=data_format,
    )
    shutil.copytree(dataset.storage.data_path, storage / "data")


def minari_files() -> None:
    line = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    # two numbers with other bounds than -1 and 1
    steering = spaces.Box(np.array([-2, 0]), np.array([2, 4]), dtype=np.float64)
    parts = spaces.Dict(
        {
            "achieved": spaces.Discrete(40),
            "observation": spaces.Box(0, 99, (2,), np.int64),
        }
    )

    def steer(n):
        return np.stack([n - 1.0, n + 2.0], -1)

    def observe_parts(n):
        return {"achieved": n, "observation": np.stack([n, n + 1], -1)}

    for data_format in ("hdf5", "arrow"):
        make(f"minari-box-{data_format}", data_format, line, steering, box, steer)
        make(
            f"minari-parts-{data_format}", data_format, parts,
            spaces.Discrete(3, start=5), observe_parts, lambda n: n + 5,
        )  # fmt: skip


def d3rlpy_files() -> None:
    from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

    for name, act in (
        ("discrete", lambda n: n[:, None]),
        ("box", lambda n: np.stack([n / 4, -n / 4], -1).astype(np.float32)),
    ):
        found = []
        for number, (steps, terminated, _) in enumerate(LENGTHS[:2]):
            n = 10 * number + np.arange(steps)
            rewards = (n / 4)[:, None].astype(np.float32)
            found.append(Episode(box(n), act(np.arange(steps)), rewards, terminated))
        buffer = ReplayBuffer(InfiniteBuffer(), episodes=found)
        with (HERE / f"d3rlpy-{name}.h5").open("w+b") as file:
            buffer.dump(file)


if __name__ == "__main__":
    print(gym.__version__, minari.__version__, d3rlpy.__version__)
    minari_files()
    d3rlpy_files()
