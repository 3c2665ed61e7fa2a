"""Films loop, show their end longer, and are written whole or not at all."""

from importlib.util import find_spec

import numpy as np
import pytest

from curriculum.run.playing import screens

imageio = pytest.importorskip("imageio.v3")


def frames(count: int) -> list[np.ndarray]:
    """A white square that moves over grey."""
    made = []
    for number in range(count):
        frame = np.full((40, 60, 3), 120, np.uint8)
        frame[10:20, 5 * number : 5 * number + 10] = 255
        made.append(frame)
    return made


def test_a_gif_loops_and_its_last_frame_lasts_longer(tmp_path):
    path = tmp_path / "new" / "film.gif"
    with screens.film(path, 20) as film:
        for one in frames(5):
            film.show(one)
        assert not path.exists()
    found = imageio.imread(path)
    assert found.shape == (5, 40, 60, 3)
    assert np.abs(found.astype(int) - frames(5)).max() <= 2
    with imageio.imopen(path, "r") as file:
        times = [file.metadata(index=i)["duration"] for i in range(5)]
        assert file.metadata(index=0)["loop"] == 0  # for ever
    assert times == [50, 50, 50, 50, 1550]


def test_nothing_is_left_of_a_film_that_fails(tmp_path):
    def fail() -> None:
        with screens.film(tmp_path / "a.gif", 10) as film:
            film.show(frames(1)[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_video_has_all_frames_and_holds_the_last(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    with screens.film(path, 10) as film:
        for one in frames(5):
            film.show(one)
    found = imageio.imread(path, plugin="FFMPEG")
    assert len(found) == 5 + 15
    assert np.abs(found[4].astype(int) - frames(5)[4]).mean() < 5


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(
        screens, "find_spec", lambda name: None if "ffmpeg" in name else find_spec(name)
    )
    screens.require_video(".gif")
    with pytest.raises(ValueError, match=r"needs the extra \[video\]: pip install"):
        screens.require_video(".mp4")
