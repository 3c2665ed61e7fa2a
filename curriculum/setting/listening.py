"""Which listeners a run may name, beside those that always report."""

from collections.abc import Sequence

from curriculum.setting import plugins

ALWAYS = ("table", "tensorboard", "maps")  # beside the display of progress


def require_listeners(names: Sequence[str]) -> None:
    """Raise ValueError, before anything is written, where a listener does not exist,
    is named twice, or cannot report here."""
    known = sorted({*plugins.names("listener"), *plugins.installed("listener")})
    choices = [name for name in known if name not in (*ALWAYS, "progress")]
    for name in names:
        if name not in choices:
            raise plugins.unknown("listener", name, choices)
        if names.count(name) > 1:
            raise ValueError(f"--listeners names {name} twice; give it once")
        plugins.make("listener", name).check()
