"""The weight of a bonus, which may fall in the course of a run."""

from dataclasses import dataclass

from curriculum.setting import inner, plugins
from curriculum.types import Bonus, Decay, at_most, within

LINEAR = "linear"
CONSTANT = "constant"


@dataclass(kw_only=True)
class Weighted(Bonus):
    """A bonus times `coef`, on a schedule."""

    coef: float = 1.0  # weight of the bonus at step 0; 0: no bonus
    # how the weight falls; linear: to 0 in `duration`; constant: it stays; or any
    # --decay, such as exponential
    schedule: str = "linear"
    # environment steps in which the weight decreases linearly to 0
    duration: int = 10_000
    # settings of another schedule, such as half_life=5000
    schedule_settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "coef")
        at_most(self, 1e6, "coef")
        within(self, 1, float("inf"), "duration")
        self.decay()

    def decay(self) -> Decay | None:
        """The decay that the schedule names, None for linear and constant; ValueError
        where there is none."""
        if self.schedule in (LINEAR, CONSTANT):
            if self.schedule_settings:
                raise ValueError(
                    f"schedule {self.schedule} has no schedule_settings; linear takes "
                    "duration"
                )
            return None
        decay: Decay = inner.make_inner("decay", self.schedule, self.schedule_settings)
        if decay.listens:
            name = plugins.name_of("decay", decay)
            raise ValueError(
                f"schedule {name} moves on evaluations, which a bonus is not shown; "
                "choose linear, constant or another decay"
            )
        return decay

    def coef_at(self, step: int) -> float:
        """The weight after so many environment steps of one seed."""
        if self.schedule == CONSTANT:
            return self.coef
        if self.schedule == LINEAR:
            return self.coef * max(0.0, 1 - step / self.duration)
        decay = self.decay()
        assert decay is not None
        return self.coef * float(decay.rate(step))
