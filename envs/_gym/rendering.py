"""Rendering of MuJoCo environments on machines without a display."""

import os
from typing import Any

import gymnasium as gym

# Debian packages for rendering without a display
LIBRARIES = "libegl1 libegl-mesa0 libgl1-mesa-dri"


def use_egl_without_display() -> None:
    """Make MuJoCo render by EGL if there is no display to open a window on."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")


def render_mujoco(env: gym.Env) -> Any:
    """Render a picture; ValueError where this machine cannot."""
    try:
        return env.render()
    # the OpenGL libraries raise all kinds of errors when a part of them is missing
    except Exception as error:
        raise ValueError(
            f"MuJoCo cannot draw here ({error!r}); "
            f"without a display it draws by EGL, which needs Debian's {LIBRARIES}"
        ) from None
