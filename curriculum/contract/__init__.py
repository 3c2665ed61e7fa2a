"""Checks of plug-ins: each family's promises, put to the test.

    from curriculum.contract import check_planner
    print(check_planner(MyPlanner(), "gridworld"))

Every check raises ContractError with a sentence that names the broken promise, and
returns a summary to print otherwise. Plug-ins are given by instance or by name.
"""

from curriculum.contract.bonus import check_bonus
from curriculum.contract.decay import check_decay
from curriculum.contract.foreign import check_foreign
from curriculum.contract.gate import check_gate
from curriculum.contract.learner import check_learner
from curriculum.contract.planner import Report, check_planner
from curriculum.contract.promises import ContractError
from curriculum.contract.start import check_start
from curriculum.contract.technique import check_technique
from curriculum.contract.world import check_world

__all__ = [
    "ContractError",
    "Report",
    "check_bonus",
    "check_decay",
    "check_foreign",
    "check_gate",
    "check_learner",
    "check_planner",
    "check_start",
    "check_technique",
    "check_world",
]
