"""How fast a phase goes on, how long it will take, and how that is written."""

from curriculum.activity import Phase

SAMPLES = 128  # of the past, at most
RECENT = 10.0  # seconds that an estimate looks back at least, if there are so many
LONG = 180.0  # seconds of waiting from which on a phase says how to shorten it
UNITS = ((90.0, 1.0, "s"), (5_400.0, 60.0, "min"), (129_600.0, 3_600.0, "h"))
DAY = 86_400.0


class Pace:
    """Measures one phase from `began` on, in seconds of a clock."""

    def __init__(self, phase: Phase, began: float):
        self.phase = phase
        self.began = began
        # (seconds, share that was done), each time that it had grown
        self.samples = [(began, phase.share)]

    def measure(self, now: float) -> None:
        """Note how far the phase is."""
        if self.phase.share > self.samples[-1][1]:
            self.samples.append((now, self.phase.share))
        if len(self.samples) > SAMPLES:
            first = self.samples[0]
            self.samples = [first, *self.samples[2::2]]

    def elapsed(self, now: float) -> float:
        """Seconds since the phase began."""
        return now - self.began

    def left(self, now: float) -> float | None:
        """Estimate the seconds that are left, by the pace in the second half of the
        time so far; None as long as nothing is done.

        Differences of shares that are estimates are no pace: those are compared with
        the whole time."""
        share = self.phase.share
        if self.phase.share_is_estimate and share > 0:
            return self.elapsed(now) * (1 - share) / share
        horizon = now - max(self.elapsed(now) / 2, RECENT)
        begin, share_then = self.samples[0]
        for moment, share_at in self.samples:
            if moment <= horizon and share_at < share:
                begin, share_then = moment, share_at
        if share <= share_then or now <= begin:
            return None
        # a phase may do a little more than its total
        return (now - begin) * max(1 - share, 0.0) / (share - share_then)


def describe(pace: Pace, now: float) -> str:
    """One line about a phase: what is done, of how much, and how long it will take."""
    phase = pace.phase
    left = pace.left(now)
    parts = [amount(phase), phase.detail]
    if phase.total and phase.done >= phase.total:
        pass  # the detail tells what else there is to do
    elif left is not None:
        parts.append(f"about {duration(left)} left")
    elif pace.elapsed(now) > RECENT:
        passed = duration(pace.elapsed(now))
        parts.append(
            f"no estimate after {passed}" if phase.total else f"{passed} so far"
        )
    text = ", ".join(part for part in parts if part)
    return f"{phase.name}: {text}{advice(pace, now)}"


def advice(pace: Pace, now: float) -> str:
    """How to shorten a phase that takes long, or nothing."""
    hint = pace.phase.hint
    left = pace.left(now)
    waiting = pace.elapsed(now) if left is None else left
    patience = RECENT if left is None else LONG
    if not hint or waiting <= patience:
        return ""
    return f"; to shorten it, lower {hint}"


def amount(phase: Phase) -> str:
    """What is done, of how much."""
    if not phase.total:
        return ""
    return f"{phase.done:,.0f} of {phase.total:,.0f} {phase.unit}"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for limit, size, unit in UNITS:
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / DAY:.1f} days"
