"""The loss of every learner, for both kinds of action, worked out by hand on networks
that are tables or formulas.

States are 0 and 1, there are two seeds, three rows and two or three critics. Every
seed's rows are one that goes on, one that terminated (discount 0) and one that was cut
short (discount above 0), which bootstraps as any other."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learners.awac import AWAC
from curriculum.learners.bc import BC
from curriculum.learners.bcq import BCQ
from curriculum.learners.calql import CalQL
from curriculum.learners.cql import CQL
from curriculum.learners.dqn import DQN
from curriculum.learners.edac import EDAC
from curriculum.learners.iql import IQL
from curriculum.learners.qc_iql import QCIQL
from curriculum.learners.sac import SAC
from curriculum.learners.td3bc import TD3BC
from curriculum.learning.learner import Learner
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

# torch warns of some shapes that broadcast by accident
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

H = math.atanh(0.5)  # 0.549306: tanh(H) = 0.5
NOT_YET = -math.inf  # a return that is not known


class Table:
    """A network that looks up its outputs for state `obs` [P, B, 1]; entries are [P, K,
    states, outputs]."""

    def __init__(self, entries: Any):
        self.entries = torch.tensor(np.asarray(entries), dtype=torch.float32)

    def __call__(self, obs: Tensor) -> Tensor:
        return torch.stack(
            [self.entries[p, :, state[:, 0].long()] for p, state in enumerate(obs)]
        )

    encode = staticmethod(lambda obs: obs)
    body = __call__


class Formulas:
    """A network of state and more inputs: for every seed a list of members, which are
    functions of the columns."""

    def __init__(self, *seeds: list[Callable]):
        self.seeds = seeds

    def encode(self, obs: Tensor) -> Tensor:
        return obs

    def body(self, x: Tensor) -> Tensor:
        return torch.stack(
            [
                torch.stack([self.ask(f, row) for f in fs])
                for fs, row in zip(self.seeds, x, strict=True)
            ]
        )

    @staticmethod
    def ask(function: Callable, row: Tensor) -> Tensor:
        outputs = function(*row.T)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        return torch.stack([torch.as_tensor(o).expand(len(row)) for o in outputs], -1)

    def input_gradient(self, x: Tensor, columns: int) -> Tensor:
        """The gradient by autograd, member for member."""
        x = x.clone().requires_grad_()
        members = self.body(x).unbind(1)
        return torch.stack(
            [torch.autograd.grad(m.sum(), x, retain_graph=True)[0] for m in members], 1
        )[..., -columns:]


def by_hand(
    learner: Any, targets: Any = None, actions: Any = 2, size: Any = 0, **nets: Any
) -> Any:
    edge = np.full(1, np.inf, np.float32)
    learner.setup(
        Spec((1,), "float32", -edge, edge, 0 if size else actions, size), (0, 1)
    )
    for spaces, entries in (
        ((learner.net, learner.slow), nets),
        ((learner.target, learner.slow), targets or {}),
    ):
        for name, values in entries.items():
            network = (
                values
                if callable(values) or isinstance(values, Formulas)
                else Table(values)
            )
            for space in spaces:
                assert hasattr(space, name)
                setattr(space, name, network)
            if entries is nets:
                learner.nets[name] = network
    return learner


def noise(learner: Any, **queues: list) -> None:
    """Have `normal` and `uniform` return these numbers [P, ...], one array for each
    call, and no more."""

    def returns(queue: list) -> Callable[..., Tensor]:
        left = [
            torch.tensor(np.asarray(numbers), dtype=torch.float32) for numbers in queue
        ]

        def drawn(*shape: int) -> Tensor:
            numbers = left.pop(0)
            assert numbers.numel() == 2 * math.prod(shape)
            return numbers.reshape(2, *shape)

        return drawn

    for kind in ("normal", "uniform"):
        setattr(learner.head.noise, kind, returns(queues.get(kind, [])))


def rows(*seeds: list[tuple]) -> Batch:
    """(state, action, reward, discount, next state) of every transition of every
    seed."""
    obs, action, reward, discount, next_obs = (
        torch.tensor([[row[i] for row in seed] for seed in seeds]) for i in range(5)
    )
    action = (
        action
        if action.dim() == 3 or not action.is_floating_point()
        else action.unsqueeze(-1)
    )
    return Batch(
        obs.float().unsqueeze(-1),
        action,
        reward,
        discount,
        next_obs.float().unsqueeze(-1),
    )


def assert_losses(learner: Learner, batch: Batch, **expected: list[float]) -> None:
    losses = learner.losses(batch)
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(
            losses[name],
            torch.tensor(loss),
            atol=1e-5,
            rtol=1e-5,
            msg=lambda m: f"{name}: {m}",  # noqa: B023
        )


BATCH = rows(
    [(0, 1, 1.0, 0.5, 1), (1, 0, 2.0, 0.0, 0), (1, 1, -1.0, 0.5, 0)],
    [(0, 0, 0.0, 1.0, 1), (1, 1, 2.0, 0.0, 0), (0, 1, 3.0, 0.25, 0)],
)
BOX = rows(
    [(0, 0.5, 1.0, 0.5, 1), (1, -0.5, 2.0, 0.0, 0), (1, 0.0, -1.0, 0.5, 0)],
    [(0, -0.5, 0.0, 1.0, 1), (1, 1.0, 2.0, 0.0, 0), (0, 0.5, 3.0, 0.25, 0)],
)


def logs(probabilities: Any) -> np.ndarray:
    """Logits of these probabilities; a constant changes no softmax."""
    return np.log(probabilities) + 7


def gaussian(entries: Any) -> np.ndarray:
    """An actor's outputs from (tanh of the location, standard deviation) of every
    state, [P, 1, states, 2 A]."""
    location, deviation = np.split(np.asarray(entries, float), 2, -1)
    return np.concatenate([np.arctanh(location), np.log(deviation)], -1)[:, None]


# --- dqn, cql and calql on discrete actions ---

Q_ONLINE = [[[[1, 2], [3, 0]]], [[[0, 1], [2, 2.5]]]]
Q_TARGET = [[[[1, 4], [5, 6]]], [[[-1, -2], [0, 8]]]]
# targets against what the critic says, and their huber losses (at state 1 of seed 0
# online prefers action 0, the target network 1)
# seed 0: 1 + 5/2 = 3.5 against 2: 1
#         2 against 3: 0.5
#         -1 + 4/2 = 1 against 0: 0.5.  Mean 2/3
# seed 1: 8 against 0: 7.5
#         2 against 2.5: 0.125
#         3 - 2/4 = 2.5 against 1: 1.  Mean 2.875
TD = [2 / 3, 2.875]


def test_the_loss_of_dqn_worked_out_by_hand():
    assert_losses(by_hand(DQN(), q=Q_ONLINE, targets={"q": Q_TARGET}), BATCH, q=TD)


def test_the_loss_of_dqn_without_double_lets_the_target_network_choose():
    # seed 0: 1 + 6/2 = 4 against 2: 1.5
    #         2 against 3: 0.5
    #         1 against 0: 0.5.  Mean 2.5 / 3
    # seed 1: 8 against 0: 7.5
    #         2 against 2.5: 0.125
    #         the target network prefers -1: 3 - 1/4 = 2.75 against 1: 1.25.
    #         Mean 8.875 / 3
    learner = by_hand(DQN(double=False), q=Q_ONLINE, targets={"q": Q_TARGET})
    assert_losses(learner, BATCH, q=[2.5 / 3, 8.875 / 3])


# (quantile 1 of action 0, quantile 2 of action 0, quantile 1 of action 1, quantile 2 of
# action 1) of both states
ATOMS_ONLINE = [[[[1, 2, 0, 4], [3, 5, 0, 1]]], [[[0, 0, 2, 4], [1, 1, 3, -2]]]]
ATOMS_TARGET = [[[[0, 2, 1, 7], [2, 6, 9, 9]]], [[[-4, 0, 2, 6], [0, 4, 8, 8]]]]
# The quantiles stand for shares 0.25 and 0.75. An atom that is e below a target costs
# share * huber(e), one that is above (1 - share) * huber(e); the mean over targets, the
# sum over atoms.
# seed 0, row 0: online's means at state 1 are 4 and 0.5, so action 0:
#                targets 1 + (2, 6)/2 = (2, 4) for atoms (0, 4)
#                atom 0: 2 and 4 above: 0.25 * (1.5 + 3.5)/2 = 0.625
#                atom 4: 2 below it and 0: 0.25 * (1.5 + 0)/2 = 0.1875
#         row 1: targets (2, 2) for atoms (3, 5)
#                atom 3: 0.75 * 0.5 = 0.375
#                atom 5: 0.25 * 2.5 = 0.625
#         row 2: means at state 0 are 1.5 and 2, so action 1:
#                targets -1 + (1, 7)/2 = (-0.5, 2.5) for atoms (0, 1)
#                atom 0: (0.75 * 0.125 + 0.25 * 2)/2 = 0.296875
#                atom 1: (0.25 * 1 + 0.75 * 1)/2 = 0.5
#         in all 2.609375
# seed 1, row 0: means at state 1 are 1 and 0.5: targets (0, 4) for atoms (0, 0)
#                0.25 * 3.5/2 = 0.4375
#                0.75 * 3.5/2 = 1.3125
#         row 1: targets (2, 2) for atoms (3, -2)
#                atom 3: 0.75 * 0.5 = 0.375
#                atom -2: 0.75 * 3.5 = 2.625
#         row 2: targets 3 + (2, 6)/4 = (3.5, 4.5) for atoms (2, 4)
#                atom 2: 0.25 * (1 + 2)/2 = 0.375
#                atom 4: (0.25 + 0.75) * 0.125/2 = 0.0625
#         in all 5.1875
QUANTILE_TD = [2.609375 / 3, 5.1875 / 3]


def test_the_loss_of_dqn_with_quantiles_worked_out_by_hand():
    learner = by_hand(DQN(quantiles=2), q=ATOMS_ONLINE, targets={"q": ATOMS_TARGET})
    assert_losses(learner, BATCH, q=QUANTILE_TD)


def test_the_loss_of_cql_worked_out_by_hand():
    # seed 0: ln(1 + 1/e) = 0.313262; ln(1 + e^-3) = 0.048587; the same + 3 = 3.048587.
    #   Mean 1.136812
    # seed 1: ln(1 + e) = 1.313262; ln(1 + e^-0.5) = 0.474077; 0.313262.  Mean 0.700200
    learner = by_hand(CQL(alpha=0.5), q=Q_ONLINE, targets={"q": Q_TARGET})
    assert_losses(learner, BATCH, q=[TD[0] + 0.568406, TD[1] + 0.350100])


def test_cloning_adds_to_the_conservative_term_where_the_critic_acts():
    learner = by_hand(
        CQL(alpha=0.3, bc_weight=0.2), q=Q_ONLINE, targets={"q": Q_TARGET}
    )
    assert_losses(learner, BATCH, q=[TD[0] + 0.568406, TD[1] + 0.350100])


def test_the_diagnostics_of_cql_tell_its_two_terms_apart():
    learner = by_hand(CQL(alpha=0.5), q=Q_ONLINE, targets={"q": Q_TARGET})
    found = {name: v.tolist() for name, v in learner.diagnostics(BATCH).items()}
    # seed 0: 3.5 against 2, 2 against 3, 1 against 0
    # seed 1: 8 against 0, 2 against 2.5, 2.5 against 1
    assert found["td_error"] == pytest.approx([3.5 / 3, 10 / 3])
    # as in the loss, without alpha
    assert found["conservative_penalty"] == pytest.approx([1.136812, 0.7002], abs=1e-5)
    # greedy actions 1, 0, 0 and 1, 1, 1
    assert found["q_data"] == pytest.approx([5 / 3, 3.5 / 3])
    assert found["q_gap"] == pytest.approx([1, 1 / 3])
    assert found["cloning_error"] == pytest.approx([1 / 3, 1 / 3])
    # what a group does not hold is unknown
    first = torch.tensor([[True, True, False], [False, False, False]])
    grouped = learner.diagnostics(BATCH, {"expert": first})
    assert grouped["td_error_expert"][0] == pytest.approx(1.25)
    assert grouped["td_error_expert"][1].isnan()


def test_the_loss_of_cql_with_quantiles_takes_the_soft_maximum_of_means():
    # means seed 0: state 0 (1.5, 2), state 1 (4, 0.5);
    #   seed 1: state 0 (0, 3), state 1 (1, 0.5)
    # seed 0: ln(1 + e^-0.5) = 0.474077; ln(1 + e^-3.5) = 0.029750; the same + 3.5.
    #   Mean 1.344526
    # seed 1: ln(1 + e^3) = 3.048587; ln(1 + e^0.5) = 0.974077; ln(1 + e^-3) = 0.048587.
    #   Mean 1.357084
    learner = by_hand(
        CQL(alpha=0.5, quantiles=2), q=ATOMS_ONLINE, targets={"q": ATOMS_TARGET}
    )
    assert_losses(
        learner, BATCH, q=[QUANTILE_TD[0] + 0.672263, QUANTILE_TD[1] + 0.678542]
    )


def test_the_loss_of_calql_counts_no_action_below_the_return_that_was_earned():
    # seed 0: unknown: 0.313262; return 1: ln(e^3 + e) - 3 = 0.126928;
    #   return 2: ln(e^3 + e^2) - 0 = 3.313262
    # seed 1: return 0.5: ln(e^0.5 + e) - 0 = 1.474077;
    #   return -7 lifts nothing: 0.474077;
    #   return 3: ln(2 e^3) - 1 = 2.693147
    learner = by_hand(CalQL(alpha=0.5), q=Q_ONLINE, targets={"q": Q_TARGET})
    batch = BATCH._replace(mc_return=torch.tensor([[NOT_YET, 1, 2], [0.5, -7, 3]]))
    gaps = [(0.313262 + 0.126928 + 3.313262) / 3, (1.474077 + 0.474077 + 2.693147) / 3]
    assert_losses(learner, batch, q=[TD[0] + 0.5 * gaps[0], TD[1] + 0.5 * gaps[1]])


def test_calql_without_any_known_return_is_cql():
    unknown = torch.full((2, 3), NOT_YET)
    learner = by_hand(CalQL(alpha=0.5), q=Q_ONLINE, targets={"q": Q_TARGET})
    assert_losses(
        learner,
        BATCH._replace(mc_return=unknown),
        q=[TD[0] + 0.568406, TD[1] + 0.350100],
    )


# --- cql, calql, sac and edac on box actions ---

# The policy is tanh of a normal distribution. Where noise n brings action a from
# location m with deviation s, its log-density is
# -n^2/2 - ln s - 0.918939 - ln(1 - a^2); ln(1 - 0.25) = -0.287682.
#   seed 0, state 0 (m 0, s 1):    a  0.5 by n  H: -0.782126; a -0.5 by n -H: the same
#   seed 0, state 1 (m H, s 0.5):  a  0.5 by n  0:  0.061890; a  0   by n -2H: -0.829266
#   seed 1, state 0 (m -H, s 1):   a -0.5 by n  0: -0.631257; a  0   by n  H: -1.069808;
#     a 0.5 by n 2H: -1.234731
#   seed 1, state 1 (m 0, s 2):    a  0.5 by n  H/2: -1.362121; a 0  by n  0: -1.612086
SQUASHED = gaussian([[[0, 1], [0.5, 0.5]], [[-0.5, 1], [0, 2]]])
# at next states 1, 0, 0: actions 0.5, ., -0.5; at 1, 0, 0: 0, ., 0.5
NEXT = [[0, 0, -H], [0, 0, 2 * H]]
# at states 0, 1, 1: actions 0.5, 0, 0.5; at 0, 1, 0: -0.5, 0.5, 0
HERE = [[H, -2 * H, 0], [0, H / 2, H]]
# entropies at HERE
# seed 0: 0.782126, 0.829266, -0.061890: 1.549502 in all
# seed 1: 0.631257, 1.362121, 1.069808: 3.063186 in all
TEMPERATURE: dict[str, Any] = {"temperature": lambda: torch.tensor([0.5, 2.0]).log()}
# the temperatures 0.5 and 2 times (mean entropy + 1), as the target entropy of one
# number is -1
SPARE = [0.5 * (1.549502 / 3 + 1), 2 * (3.063186 / 3 + 1)]
PAIR = Formulas(
    [lambda s, a: 2 * a, lambda s, a: s - a], [lambda s, a: 4 * a, lambda s, a: 2 * s]
)
PAIR_TARGET = Formulas(
    [lambda s, a: 4 * a + s, lambda s, a: 1 + 2 * a],
    [lambda s, a: s + 2 * a, lambda s, a: 3 * a - 1],
)
# seed 0: at (1, 0.5): 3 and 2; at (0, -0.5): -2 and 0.
#   targets 1 + 2/2 = 2; 2; -1 - 2/2 = -2
#   critics say 1, -1, 0 and -0.5, 1.5, 1: (1 + 9 + 4) + (6.25 + 0.25 + 9) = 29.5
# seed 1: at (1, 0): 1 and -1; at (0, 0.5): 1 and 0.5.
#   targets 0 - 1 = -1; 2; 3 + 0.5/4 = 3.125
#   critics say -2, 4, 2 and 0, 2, 0: (1 + 4 + 1.265625) + (1 + 0 + 9.765625) = 17.03125
PAIR_TD = [29.5, 17.03125]
# the policy climbs the lesser critic: seed 0: -0.5 + 0 + 0.5 = 0; seed 1: -2 + 2 + 0 =
# 0; so entropy alone is left
CLIMB = [-0.5 * 1.549502 / 3, -2 * 3.063186 / 3]
# 2 u - 1 is, seed 0: (0.5, -0.5), (-0.5, 0), (0, 0.5) at the three rows; seed 1: (-0.5,
# 0), (0.5, 0), (0, 0.5)
UNIFORM = [
    [[0.75, 0.25, 0.5], [0.25, 0.5, 0.75]],
    [[0.25, 0.75, 0.5], [0.5, 0.5, 0.75]],
]
# seed 0: (0.5, -0.5), (0.5, 0), (0, 0.5); seed 1: (-0.5, 0.5), (0.5, 0), (0, -0.5)
PROPOSED = [
    [[H, 0, -2 * H], [-H, -2 * H, 0]],
    [[0, H / 2, H], [2 * H, 0, 0]],
]


def conservative(learner: Learner) -> Any:
    learner = by_hand(
        learner,
        size=1,
        q=PAIR,
        policy=SQUASHED,
        targets={"q": PAIR_TARGET},
        **TEMPERATURE,
    )
    noise(learner, normal=[NEXT, PROPOSED, HERE], uniform=[UNIFORM])
    return learner


def test_the_losses_of_cql_on_box_actions_worked_out_by_hand():
    # The integral of exp(Q) over [-1, 1] is the mean over 4 draws of exp(Q) / density;
    #   uniform draws have density 1/2.
    # 1 / density of the policy's draws, seed 0, state 0: e^0.782126 = 2.186115;
    #   state 1: a 0.5: 0.939986, a 0: 2.291636
    # seed 0, critic 2 a, row 0: (2 + 2.186115) (e + 1/e) / 4, ln: 1.172407
    #                     row 1: (2 (1/e + 1) + 0.939986 e + 2.291636) / 4, ln: 0.639554
    #                     row 2: (2 (1 + e) + 2.291636 + 0.939986 e) / 4, ln: 1.121950
    #   less 1 - 1 + 0: 2.933911
    # critic s - a, row 0: 4.186115 (e^-0.5 + e^0.5) / 4, ln: 0.858740
    #               row 1: (2 (e^1.5 + e) + 0.939986 e^0.5 + 2.291636 e) / 4,
    #                      ln: 1.712853
    #               row 2: (2 (e + e^0.5) + 2.291636 e + 0.939986 e^0.5) / 4,
    #                      ln: 1.417859
    #   less -0.5 + 1.5 + 1: 1.989453
    # seed 1, state 0: a -0.5: e^0.631257 = 1.879972, a 0: 2.914819, a 0.5: 3.437454;
    #   state 1: a 0.5: 3.904467, a 0: 5.013257
    # critic 4 a, row 0: (2 (e^-2 + 1) + 1.879972 e^-2 + 3.437454 e^2) / 4, ln: 1.943215
    #             row 1: (2 (e^2 + 1) + 3.904467 e^2 + 5.013257) / 4, ln: 2.538481
    #             row 2: (2 (1 + e^2) + 2.914819 + 1.879972 e^-2) / 4, ln: 1.606802
    #   less -2 + 4 + 2: 2.088498
    # critic 2 s, row 0: (2 + 2 + 1.879972 + 3.437454) / 4, ln: 0.845592
    #             row 1: e^2 (4 + 8.917724) / 4, ln: 3.172307
    #             row 2: (4 + 2.914819 + 1.879972) / 4, ln: 0.787865
    #   less 0 + 2 + 0: 2.805763
    gaps = [2.933911 + 1.989453, 2.088498 + 2.805763]
    q = [(PAIR_TD[p] + 0.5 * gaps[p]) / 3 for p in (0, 1)]
    assert_losses(
        conservative(CQL(alpha=0.5, samples=2)),
        BOX,
        q=q,
        policy=CLIMB,
        temperature=SPARE,
    )


def test_cloning_adds_to_the_loss_of_a_policy_that_maximises_the_critic():
    # densities of the data's actions under the policy
    # seed 0: at 0, 0.5: -0.782126; at 1, -0.5 by n -4 H: -2.352008;
    #   at 1, 0: -0.829266
    # seed 1: at 0, -0.5: -0.631257; at 1, 0.5: -1.362121; at 0, 0.5: -1.234731
    action = BOX.action.clone()
    action[1, 1] = 0.5
    learner = conservative(CQL(bc_weight=0.6, samples=2))
    losses = learner.losses(BOX._replace(action=action))
    clone = [3.963400 / 3, 3.228109 / 3]
    expected = [CLIMB[p] + 0.6 * clone[p] for p in (0, 1)]
    assert losses["policy"].tolist() == pytest.approx(expected, abs=1e-5)


def test_the_losses_of_calql_on_box_actions_lift_the_policys_draws_alone():
    # as above, with the policy's draws (not the uniform ones) lifted to the return
    #   where that is known:
    # seed 0, row 1, return 0.5:
    #   critic 2 a: (2 (1/e + 1) + 0.939986 e + 2.291636 e^0.5) / 4,
    #               ln: 0.818587 (+0.179033)
    #   critic s - a: 0.5 and 1 stay
    # seed 0, row 2, return 3:
    #   critic 2 a: (2 (1 + e) + 3.231622 e^3) / 4, ln: 2.895158 (+1.773208)
    #   critic s - a: (2 (e + e^0.5) + 3.231622 e^3) / 4, ln: 2.912933 (+1.495074)
    # seed 1, row 0, return 0:
    #   critic 4 a: (2 (e^-2 + 1) + 1.879972 + 3.437454 e^2) / 4,
    #               ln: 1.999796 (+0.056581)
    #   critic 2 s: 0 stays
    # seed 1, row 1: -9 lifts nothing
    # seed 1, row 2, return 1:
    #   critic 4 a: (2 (1 + e^2) + 4.794791 e) / 4, ln: 2.008607 (+0.401805)
    #   critic 2 s: (4 + 4.794791 e) / 4, ln: 1.448893 (+0.661028)
    gaps = [
        4.923364 + 0.179033 + 1.773208 + 1.495074,
        4.894261 + 0.056581 + 0.401805 + 0.661028,
    ]
    q = [(PAIR_TD[p] + 0.5 * gaps[p]) / 3 for p in (0, 1)]
    batch = BOX._replace(mc_return=torch.tensor([[NOT_YET, 0.5, 3], [0, -9, 1]]))
    assert_losses(
        conservative(CalQL(alpha=0.5, samples=2)),
        batch,
        q=q,
        policy=CLIMB,
        temperature=SPARE,
    )


def test_cql_with_quantiles_bootstraps_from_the_member_with_the_least_mean():
    # alpha 0; atoms (v - 1, v + 1) online for v = 0 of all
    # targets' atoms at next states:
    # seed 0: at (1, 0.5): (0, 6) and (1, 3), least mean (1, 3)
    #         at (0, -0.5): (-3, -1) and (-1, 1), least mean (-3, -1)
    #   row 0: targets 1 + (1, 3)/2 = (1.5, 2.5) for atoms (-1, 1):
    #     atom -1: 0.25 * (2 + 3)/2 = 0.625
    #     atom 1: 0.75 * (0.125 + 1)/2 = 0.421875
    #   row 1: targets (2, 2):
    #     atom -1: 0.25 * 2.5 = 0.625
    #     atom 1: 0.75 * 0.5 = 0.375
    #   row 2: targets -1 + (-3, -1)/2 = (-2.5, -1.5):
    #     atom -1: 0.75 * (1 + 0.125)/2 = 0.421875
    #     atom 1: 0.25 * (3 + 2)/2 = 0.625
    #   3.09375 in all, for each critic
    # seed 1: at (1, 0): (-2, 4) and (-2, 0), least mean (-2, 0)
    #         at (0, 0.5): (-2, 4) and (-0.5, 1.5), least mean (-0.5, 1.5)
    #   row 0: targets (-2, 0):
    #     atom -1: (0.75 * 0.5 + 0.25 * 0.5)/2 = 0.25
    #     atom 1: 0.25 * (2.5 + 0.5)/2 = 0.375
    #   row 1: 0.625 + 0.375
    #   row 2: targets 3 + (-0.5, 1.5)/4 = (2.875, 3.375):
    #     atom -1: 0.25 * (3.375 + 3.875)/2 = 0.90625
    #     atom 1: 0.75 * (1.375 + 1.875)/2 = 1.21875
    #   3.75 in all, for each critic
    flat = lambda s, a: (0 * s - 1, 0 * s + 1)  # noqa: E731
    slow = Formulas(
        [
            lambda s, a: (6 * a - 3 * s, 6 * a + 3 * s + 2 * (1 - s)),
            lambda s, a: (2 * a, 2 * a + 2),
        ],
        [lambda s, a: (0 * s - 2, 0 * s + 4), lambda s, a: (3 * a - 2, 3 * a + 0 * s)],
    )
    learner = by_hand(
        CQL(alpha=0, quantiles=2, samples=2),
        size=1,
        q=Formulas([flat, flat], [flat, flat]),
        policy=SQUASHED,
        targets={"q": slow},
        **TEMPERATURE,
    )
    noise(learner, normal=[NEXT, PROPOSED, HERE], uniform=[UNIFORM])
    assert_losses(
        learner, BOX, q=[2 * 3.09375 / 3, 2 * 3.75 / 3], policy=CLIMB, temperature=SPARE
    )


TRIO = Formulas(
    [lambda s, a: 2 * a, lambda s, a: s - a, lambda s, a: 1 + 0 * s],
    [lambda s, a: 4 * a, lambda s, a: 2 * s, lambda s, a: a + 1],
)
TRIO_TARGET = Formulas(
    [PAIR_TARGET.seeds[0][0], lambda s, a: 0 * s - 90, PAIR_TARGET.seeds[0][1]],
    [*PAIR_TARGET.seeds[1], lambda s, a: 0 * s - 90],
)
SUBSET = [[0.9, 0.1, 0.5], [0.2, 0.3, 0.1]]  # draws the two critics that do not say -90


def soft(learner: SAC) -> Any:
    learner = by_hand(
        learner,
        size=1,
        q=TRIO,
        policy=SQUASHED,
        targets={"q": TRIO_TARGET},
        **TEMPERATURE,
    )
    noise(learner, normal=[NEXT, HERE], uniform=[SUBSET])
    return learner


# seed 0, mean of the critics: (1 - 0.5 + 1)/3; (0 + 1 + 1)/3; (1 + 0.5 + 1)/3:
#   2 in all, and 0.5 * 1.549502 of entropy
# seed 1: (-2 + 0 + 0.5)/3; (2 + 2 + 1.5)/3; (0 + 0 + 1)/3: 5/3 in all, and 2 * 3.063186
SOFT_CLIMB = [-(2 + 0.774751) / 3, -(5 / 3 + 6.126372) / 3]


def test_the_losses_of_sac_on_box_actions_worked_out_by_hand():
    # least of the drawn critics as in cql, and temperature * entropy:
    # seed 0: 1 + (2 - 0.5 * 0.061890)/2 = 1.984528; 2;
    #   -1 + (-2 + 0.5 * 0.782126)/2 = -1.804469
    #   critics say (1, -1, 0), (-0.5, 1.5, 1), (1, 1, 1):
    #     squares 13.225403 + 14.287925 + 9.834341
    # seed 1: -1 + 2 * 1.612086 = 2.224172; 2; 3 + (0.5 + 2 * 1.234731)/4 = 3.742366
    #   critics say (-2, 4, 2), (0, 2, 0), (0.5, 2, 1.5):
    #     squares 24.879468 + 18.952244 + 8.000974
    q = [37.347669 / 3, 51.832686 / 3]
    assert_losses(soft(SAC(critics=3)), BOX, q=q, policy=SOFT_CLIMB, temperature=SPARE)


def test_sac_without_entropy_backup_keeps_entropy_out_of_the_target():
    # targets 2, 2, -2 and -1, 2, 3.125; the first two critics as in cql, the third says
    # (1, 1, 1) and (0.5, 2, 1.5): 1 + 1 + 9 = 11 and 2.25 + 0 + 2.640625 = 4.890625.
    # Seed 1's second: 1 + 0 + 9.765625 as before
    q = [(29.5 + 11) / 3, (17.03125 + 4.890625) / 3]
    assert_losses(
        soft(SAC(critics=3, entropy_backup=False)),
        BOX,
        q=q,
        policy=SOFT_CLIMB,
        temperature=SPARE,
    )


def test_the_losses_of_sac_on_discrete_actions_worked_out_by_hand():
    # policy: seed 0 (1/4, 3/4) with entropy 0.562335 and (1/2, 1/2) with 0.693147; seed
    # 1 the same, states exchanged
    learner = by_hand(
        SAC(critics=3),
        q=[
            [[[1, 2], [3, 0]], [[4, 1], [2, 2]], [[0, 0], [1, 1]]],
            [[[0, 1], [2, 2]], [[2, -1], [0, 4]], [[1, 1], [4, 0]]],
        ],
        policy=logs([[[[0.25, 0.75], [0.5, 0.5]]], [[[0.5, 0.5], [0.25, 0.75]]]]),
        targets={
            "q": [
                [[[0, 4], [2, 6]], [[-90, -90], [-90, -90]], [[8, 0], [4, 2]]],
                [[[-1, -2], [0, 8]], [[1, 3], [4, 4]], [[-90, -90], [-90, -90]]],
            ]
        },
        **TEMPERATURE,
    )
    noise(learner, uniform=[SUBSET])
    # seed 0: state 1: least of 4 and 3, + 0.346574;
    #   state 0: least of 3 and 2, + 0.281168
    #   targets 1 + 3.346574/2 = 2.673287; 2; -1 + 2.281168/2 = 0.140584
    #   (2, 3, 0): 0.453315 + 1 + 0.019764; (1, 2, 2): 2.799889 + 0 + 3.457428;
    #     (0, 1, 1): 7.146463 + 1 + 0.738596
    # seed 1: state 1: least of 6 and 4, + 2 * 0.562335;
    #   state 0: least of -1.5 and 2, + 2 * 0.693147
    #   targets 5.124670; 2; 3 + (-1.5 + 1.386294)/4 = 2.971574
    #   (0, 2, 1): 26.262243 + 0 + 3.887104; (2, 4, -1): 9.763563 + 4 + 15.773400;
    #     (1, 0, 1): 17.012903 + 4 + 3.887104
    q = [16.615455 / 3, 84.586317 / 3]
    # seed 0: state 0: (1.75 + 1.75 + 0)/3 + 0.281168;
    #   state 1: (1.5 + 2 + 1)/3 + 0.346574, twice: 5.140982
    # seed 1: state 0: (0.5 + 0.5 + 1)/3 + 1.386294, twice;
    #   state 1: (2 + 3 + 1)/3 + 1.124670: 7.230592
    # entropies less 0.3 ln 2 = 0.207944:
    # seed 0: (0.354391 + 2 * 0.485203)/3
    # seed 1: (2 * 0.485203 + 0.354391)/3
    spare = 1.324797 / 3
    assert_losses(
        learner,
        BATCH,
        q=q,
        policy=[-5.140982 / 3, -7.230592 / 3],
        temperature=[0.5 * spare, 2 * spare],
    )


EDAC_BATCH = rows(
    [
        (0, (0.5, 0.0), 1.0, 0.5, 1),
        (1, (-0.5, 0.5), 2.0, 0.0, 0),
        (1, (0.0, 1.0), -1.0, 0.5, 0),
    ],
    [
        (0, (1.0, -1.0), 0.0, 1.0, 1),
        (1, (0.0, 0.0), 2.0, 0.0, 0),
        (0, (-0.5, 0.5), 3.0, 0.25, 0),
    ],
)


def test_the_losses_of_edac_worked_out_by_hand():
    learner = by_hand(
        EDAC(critics=3, diversity=0.5),
        size=2,
        q=Formulas(
            [
                lambda s, a, b: 3 * a + 4 * b,
                lambda s, a, b: s + 2 * b,
                lambda s, a, b: (2 * s - 1) * a,
            ],
            [
                lambda s, a, b: a + b * 0,
                lambda s, a, b: 5 * a,
                lambda s, a, b: (1 - s) * b + s * a,
            ],
        ),
        policy=gaussian(
            [[[0, 0.5, 1, 1], [0.5, 0, 1, 1]], [[0.5, 0.5, 1, 1], [0, 0, 1, 1]]]
        ),
        targets={
            "q": Formulas(
                [
                    lambda s, a, b: 4 * a + s,
                    lambda s, a, b: 1 + 2 * a,
                    lambda s, a, b: 6 * b - 1,
                ],
                [
                    lambda s, a, b: 2 + 0 * s,
                    lambda s, a, b: 1 - 8 * a,
                    lambda s, a, b: 9 * s + 1,
                ],
            )
        },
        **TEMPERATURE,
    )
    noise(learner, normal=[np.zeros((2, 3, 2)), np.zeros((2, 3, 2))])
    # seed 0: at (1, 0.5, 0): 3, 2, -1; at (0, 0, 0.5): 0, 1, 2.
    #   targets 1 - 1/2 = 0.5; 2; -1 + 0 = -1
    #   critics say 1.5, 0.5, 4; 0, 2, 3; -0.5, -0.5, 0:
    #     (1 + 2.25 + 25) + (0.25 + 0 + 16) + (1 + 6.25 + 1) = 52.75
    #   unit slopes (0.6, 0.8), (0, 1), (2 s - 1, 0):
    #     products 0.8, 0.6 (2 s - 1), 0, each counted twice;
    #   rows 0.4, 2.8, 2.8, over K - 1 = 2: mean 1
    # seed 1: at (1, 0, 0): 2, 1, 10; at (0, 0.5, 0.5): 2, -3, 1.
    #   targets 1; 2; 3 - 0.75 = 2.25
    #   critics say 1, 0, -0.5; 5, 0, -2.5; -1, 0, 0.5:
    #     (0 + 4 + 7.5625) + (16 + 4 + 22.5625) + (4 + 4 + 3.0625) = 65.1875
    #   unit slopes (1, 0), (1, 0), and (0, 1) at s 0, (1, 0) at s 1:
    #     rows 2, 6, 2, over 2: mean 5/3
    q = [52.75 / 3 + 0.5 * 1, 65.1875 / 3 + 0.5 * 5 / 3]
    # policy, seed 0: at (0, 0, 0.5): 2, 1, 0, least 0;
    #   at (1, 0.5, 0), twice: 1.5, 1, 0.5, least 0.5: 1 in all
    #   entropy 2 * 0.918939 - 0.287682 = 1.550195 everywhere: 0.5 * 1.550195
    # seed 1: at (0, 0.5, 0.5), twice: 0.5, 2.5, 0.5; at (1, 0, 0): 0: 1 in all;
    #   entropies 2 * 0.918939 - 2 * 0.287682 = 1.262513, twice, and 1.837877:
    #   mean 1.454301
    policy = [-(1 / 3 + 0.775098), -(1 / 3 + 2.908602)]
    assert_losses(
        learner,
        EDAC_BATCH,
        q=q,
        policy=policy,
        temperature=[0.5 * 3.550195, 2 * 3.454301],
    )


# --- bc, iql and awac ---


def test_the_loss_of_bc_worked_out_by_hand():
    odds = logs([[[[0.25, 0.75], [0.5, 0.5]]], [[[0.9, 0.1], [0.2, 0.8]]]])
    batch = rows(
        [(0, 1, 0, 0, 0), (1, 0, 0, 0.9, 1), (0, 0, 0, 0.9, 1)],
        [(0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (1, 1, 0, 0, 0)],
    )
    # seed 0: (0.287682 + 0.693147 + 1.386294) / 3
    # seed 1: (0.105361 + 2.302585 + 0.223144) / 3
    assert_losses(by_hand(BC(), policy=odds), batch, policy=[0.789041, 0.877030])


def test_the_loss_of_bc_on_box_actions_worked_out_by_hand():
    actor = gaussian(
        [[[0.5, 0, 1, 2], [0, -0.5, 0.5, 1]], [[0, 0, 1, 1], [0.5, 0.5, 1, 1]]]
    )
    actor[1, 0, 0, 2:] = -9, 5  # spreads are cut at e^-5 and e^2
    batch = rows(
        [
            (0, (1.0, 1.0), 0, 0, 0),
            (1, (0.5, -0.5), 0, 0.9, 1),
            (1, (-0.5, -1.0), 0, 0.9, 1),
        ],
        [(0, (0.0, 1.0), 0, 0, 0), (1, (-0.5, 0.5), 0, 0, 0), (1, (0.5, 0.5), 0, 0, 0)],
    )
    # -log-density of two numbers: sum of (distance / deviation)^2 / 2 + ln deviation,
    # and 1.837877
    # seed 0: 0.125 + 0.125 + ln 2 + 1.837877
    #         0.5 - ln 2 + 1.837877
    #         0.5 + 0.125 - ln 2 + 1.837877
    # seed 1: e^-4 / 2 - 5 + 2 + 1.837877 = -1.152965
    #         0.5 + 1.837877
    #         1.837877
    expected = [
        (2.781024 + 1.644730 + 1.769730) / 3,
        (-1.152965 + 2.337877 + 1.837877) / 3,
    ]
    assert_losses(by_hand(BC(), size=2, policy=actor), batch, policy=expected)


def test_the_losses_of_iql_worked_out_by_hand():
    learner = by_hand(
        IQL(expectile=0.8, temperature=2.0),
        q=[[[[1, 0], [0, 2]], [[0, 0], [1, 1]]], [[[0, 0], [0, 0]], [[2, 0], [0, -1]]]],
        value=[[[[1], [2]]], [[[0], [-2]]]],
        policy=logs([[[[0.5, 0.5], [0.75, 0.25]]], [[[0.1, 0.9], [0.5, 0.5]]]]),
        targets={
            "q": [
                [[[2, 0], [2.5, 1]], [[3, 0.5], [4, 0]]],
                [[[5, 0], [0, -3]], [[6, 0], [0, 1]]],
            ]
        },
    )
    batch = rows(
        [(0, 0, 1.0, 0.5, 1), (1, 1, -1.0, 0.0, 0), (1, 0, 0.0, 0.5, 0)],
        [(0, 0, 2.0, 0.5, 1), (1, 1, 1.0, 0.0, 1), (0, 1, 3.0, 0.9, 0)],
    )
    # seed 0: least target values 2, 0, 2.5 less V = 1, 2, 2: advantages 1, -2, 0.5
    #   value: (0.8 * 1 + 0.2 * 4 + 0.8 * 0.25) / 3 = 0.6
    #   policy:
    #     (e^2 ln 2 + e^-4 ln 4 + e ln 4/3) / 3 = (5.121704 + 0.025391 + 0.782001) / 3
    #   targets of q 2, -1, 0.5: errors 1, 3, 0.5 and 2, 2, 0.5: (10.25 + 8.25) / 3
    # seed 1: least target values 5, -3, 0 less V = 0, -2, 0: advantages 5, -1, 0
    #   value: (0.8 * 25 + 0.2 * 1 + 0) / 3 = 6.733333
    #   policy: weight e^10, cut at 100:
    #     (100 * 2.302585 + 0.135335 * 0.693147 + 0.105361) / 3
    #   targets of q 1, 1, 3: errors 1, 1, 3 and 1, 2, 3: (11 + 14) / 3
    assert_losses(
        learner,
        batch,
        q=[18.5 / 3, 25 / 3],
        value=[0.6, 6.733333],
        policy=[1.976365, 76.819243],
    )


def test_the_diagnostics_of_iql_worked_out_by_hand():
    learner = by_hand(
        IQL(expectile=0.8, temperature=2.0),
        q=[[[[1, 0], [0, 2]], [[0, 0], [1, 1]]], [[[0, 0], [0, 0]], [[2, 0], [0, -1]]]],
        value=[[[[1], [2]]], [[[0], [-2]]]],
        policy=logs([[[[0.4, 0.6], [0.6, 0.4]]], [[[0.9, 0.1], [0.4, 0.6]]]]),
        targets={
            "q": [
                [[[2, 0], [2.5, 1]], [[3, 0.5], [4, 0]]],
                [[[5, 0], [0, -3]], [[6, 0], [0, 1]]],
            ]
        },
    )
    batch = rows(
        [(0, 0, 1.0, 0.5, 1), (1, 1, -1.0, 0.0, 0)],
        [(0, 0, 2.0, 0.5, 1), (1, 1, 1.0, 0.0, 1)],
    )
    found = learner.diagnostics(batch)
    # targets 1 + 2/2 and -1; 2 - 2/2 and 1.  Critics on the data, seed 0: 1, 2 and 0,
    # 1; seed 1: 0, 0 and 2, -1.  Errors 1, 3 and 2, 2; 1, 1 and 1, 2
    assert found["td_error"].tolist() == [2, 1.25]
    assert found["q_data"].tolist() == [1, 0.25]
    # target networks 2, 1 and 3, 0; 5, -3 and 6, 1
    assert found["target_lag"].tolist() == [1.5, 3.5]
    # seed 0 prefers action 1 at state 0 and 0 at state 1: critics 0, 0 and 0, 1; seed 1
    # prefers the data's actions
    assert found["q_policy"].tolist() == [0.25, 0.25]
    assert found["q_gap"].tolist() == [-0.75, 0]
    assert found["cloning_error"].tolist() == [1, 0]
    assert found["value"].tolist() == [1.5, -1]
    # least target values 2, 0 and 5, -3 less V = 1, 2 and 0, -2
    assert found["advantage"].tolist() == [-0.5, 2]
    # e^2 and e^-4; e^10, which is clipped, and e^-2
    assert found["clipped_share"].tolist() == [0, 0.5]
    # entropies 0.673012 twice; 0.325083 and 0.673012
    assert found["policy_entropy"].tolist() == pytest.approx([0.673012, 0.499047])
    # ln 0.4 twice; ln 0.9 and ln 0.6
    assert found["log_prob_data"].tolist() == pytest.approx([-0.916291, -0.308093])


def chunks(*seeds: list[tuple]) -> Batch:
    """(state, actions of a window of one or two steps, reward, discount, next state) of
    every transition of every seed."""
    begun = [[(s, acts[0], *rest) for s, acts, *rest in seed] for seed in seeds]
    window = [[(*acts, 0)[:2] for _, acts, *_ in seed] for seed in seeds]
    taken = [[(1.0, len(acts) - 1.0) for _, acts, *_ in seed] for seed in seeds]
    return rows(*begun)._replace(
        action_window=torch.tensor(window), window_taken=torch.tensor(taken)
    )


# the second transition terminated at its first step, the third was cut short
CHUNKS = chunks(
    [
        (0, (0, 1), 1.0, 0.25, 1),
        (1, (1,), -1.0, 0.0, 0),
        (1, (0,), 0.0, 0.5, 0),
    ],
    [
        (0, (1, 1), 2.0, 0.25, 1),
        (1, (0,), 1.0, 0.0, 1),
        (0, (1, 0), 3.0, 0.81, 0),
    ],
)
# a step is one column for each action, in which a step that was not taken is 0
CHUNK_Q = Formulas(
    [lambda s, a0, a1, b0, b1: 2 * a0 + 3 * b1 + s, lambda s, a0, a1, b0, b1: a1],
    [lambda s, a0, a1, b0, b1: s + 2 * b0, lambda s, a0, a1, b0, b1: a1 - b1],
)
CHUNK_TARGET = Formulas(
    [lambda s, a0, a1, b0, b1: 4 * a0 + b1, lambda s, a0, a1, b0, b1: 3 + s * a1],
    [lambda s, a0, a1, b0, b1: 5 * a1 * b1 - s, lambda s, a0, a1, b0, b1: 6 + 0 * s],
)


def qc_iql_by_hand() -> Any:
    return by_hand(
        QCIQL(n_step=2, expectile=0.8, temperature=2.0),
        window_q=CHUNK_Q,
        value=[[[[1], [2]]], [[[0], [-2]]]],
        policy=logs([[[[0.5, 0.5], [0.75, 0.25]]], [[[0.1, 0.9], [0.5, 0.5]]]]),
        targets={"window_q": CHUNK_TARGET},
    )


def test_the_losses_of_qc_iql_worked_out_by_hand():
    # seed 0: targets 1 + 2/4 = 1.5; -1; 1/2
    #   critics say 5, 1, 3 and 0, 1, 0: 22.5 + 6.5
    #   least target values 3, 0, 3 less V = 1, 2, 2: advantages 2, -2, 1:
    #     value 0.8 * 4 + 0.2 * 4 + 0.8 = 4.8
    #   policy: e^4 ln 2 + e^-4 ln 4 + e^2 ln 4/3 = 37.844552 + 0.025391 + 2.125698
    # seed 1: targets 2 - 2/4 = 1.5; 1; 3
    #   critics say 0, 1, 2 and 0, 0, 1: 3.25 + 7.25
    #   least target values 5, -1, 0 less V = 0, -2, 0: advantages 5, 1, 0:
    #     value 0.8 * 25 + 0.8 = 20.8
    #   policy: e^10, cut at 100: 100 * 0.105361 + e^2 ln 2 + 0.105361
    #     = 10.536052 + 5.121703 + 0.105361
    assert_losses(
        qc_iql_by_hand(),
        CHUNKS,
        window_q=[29 / 3, 10.5 / 3],
        value=[1.6, 20.8 / 3],
        policy=[39.995641 / 3, 15.763116 / 3],
    )


def test_the_diagnostics_of_qc_iql_worked_out_by_hand():
    found = qc_iql_by_hand().diagnostics(CHUNKS)
    # errors 3.5, 2, 2.5 and 1.5, 2, 0.5; 1.5, 0, 1 and 1.5, 1, 2
    assert found["td_error"].tolist() == pytest.approx([2, 7 / 6])
    # critics say 5, 1, 3 and 0, 1, 0; 0, 1, 2 and 0, 0, 1
    assert found["q_data"].tolist() == pytest.approx([10 / 6, 4 / 6])
    # target networks 5, 0, 4 and 3, 4, 3; 5, -1, 0 and 6, 6, 6
    assert found["target_lag"].tolist() == pytest.approx([11 / 6, 26 / 6])
    assert found["advantage"].tolist() == pytest.approx([1 / 3, 2])


def test_a_critic_of_windows_tells_an_action_of_0_from_none():
    # all columns at once: state, number and mark of the first step, of the second
    def digits(s: Tensor, a: Tensor, i: Tensor, b: Tensor, j: Tensor) -> Tensor:
        return s + 10 * a + 100 * i + 1_000 * b + 10_000 * j

    learner = by_hand(QCIQL(n_step=2), size=1)
    obs = torch.tensor([[[2.0], [3.0]]])
    window = torch.tensor([[[[0.5], [0.0]], [[0.5], [0.0]]]])
    taken = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    found = learner.head.window_values(Formulas([digits]), obs, window, taken)
    assert found.tolist() == [[[10_107, 108]]]


IQL_BOX = rows(
    [(0, 0.5, 1.0, 0.5, 1), (1, -0.5, -1.0, 0.0, 0), (1, 0.5, 0.0, 0.5, 0)],
    [(0, -0.5, 2.0, 0.5, 1), (1, 0.5, 1.0, 0.0, 1), (0, 1.0, 3.0, 0.9, 0)],
)
IQL_Q = Formulas(
    [lambda s, a: 2 * a, lambda s, a: s - a],
    [lambda s, a: s + a, lambda s, a: 4 * a * a],
)
IQL_TARGET = Formulas(
    [lambda s, a: 4 * a + 2 * s, lambda s, a: 3 + 0 * s],
    [lambda s, a: 4 - 2 * a - 6 * s, lambda s, a: 9 + 0 * s],
)
SPREAD = gaussian([[[0.5, 1], [-0.5, 2]], [[0, 1], [0.5, 1]]])
# log-densities of the actions
# seed 0: -0.918939
#         -ln 2 - 0.918939 = -1.612086
#         the same - 0.125 = -1.737086
# seed 1: -0.125 - 0.918939 = -1.043939
#         -0.918939
#         -0.5 - 0.918939 = -1.418939


def test_the_losses_of_iql_on_box_actions_worked_out_by_hand():
    value = [[[[1], [2]]], [[[0], [-2]]]]
    settings: dict[str, Any] = {
        "q": IQL_Q,
        "value": value,
        "policy": SPREAD,
        "targets": {"q": IQL_TARGET},
    }
    # seed 0: targets of q 1 + 2/2 = 2; -1; 0 + 1/2
    #   critics say 1, -1, 1 and -0.5, 1.5, 0.5: 1.25 + 12.5
    #   least target values 2, 0, 3 less V = 1, 2, 2: advantages 1, -2, 1:
    #     value 0.8 + 0.2 * 4 + 0.8 = 2.4
    #   policy: e^2 * 0.918939 + e^-4 * 1.612086 + e^2 * 1.737086
    #     = 6.790090 + 0.029526 + 12.835425
    # seed 1: targets of q 2 - 2/2 = 1; 1; 3
    #   critics say -0.5, 1.5, 1 and 1, 1, 4: 6.5 + 1
    #   least target values 5, -3, 2 less V = 0, -2, 0: advantages 5, -1, 2:
    #     value 0.8 * 25 + 0.2 + 0.8 * 4 = 23.4
    #   policy: e^10 cut at 100:
    #     104.3939 + e^-2 * 0.918939 + e^4 * 1.418939
    #     = 104.3939 + 0.124365 + 77.471422
    policy = [19.655041 / 3, 181.989687 / 3]
    learner = by_hand(IQL(expectile=0.8, temperature=2.0), size=1, **settings)
    assert_losses(learner, IQL_BOX, q=[13.75 / 3, 2.5], value=[0.8, 7.8], policy=policy)


# The target networks' expectations under the policies, and so the targets of awac and
# td3bc on BATCH:
# seed 0, policy (1/4, 3/4) and (1/2, 1/2)
#   state 1: least of 4 and 3; state 0: least of 3 and 2
#   1 + 3/2 = 2.5; 2; -1 + 2/2 = 0
# seed 1, policy (1/2, 1/2) and (1/5, 4/5)
#   state 1: least of 6.4 and 4.2; state 0: least of -1.5 and 2
#   0 + 4.2; 2; 3 - 1.5/4 = 2.625
CHANCES = logs([[[[0.25, 0.75], [0.5, 0.5]]], [[[0.5, 0.5], [0.2, 0.8]]]])
TWO_TARGETS: Any = [
    [[[0, 4], [2, 6]], [[8, 0], [4, 2]]],
    [[[-1, -2], [0, 8]], [[1, 3], [5, 4]]],
]
TWO: Any = [
    [[[1, 2], [3, 0]], [[4, 1], [2, 2]]],
    [[[0, 1], [2, 2.5]], [[2, -1], [0, 5]]],
]
# seed 0: critics say 2, 3, 0 and 1, 2, 2: (0.25 + 1 + 0) + (2.25 + 0 + 4) = 7.5
# seed 1: 0, 2.5, 1 and 2, 5, -1:
#   (17.64 + 0.25 + 2.640625) + (4.84 + 9 + 13.140625) = 20.530625 + 26.980625
# advantages, seed 0: V is the least of 1.75, 1.75 at state 0 and of 1.5, 2 at state 1:
#   1 - 1.75, 2 - 1.5, 0 - 1.5
#   twice these (temperature 0.5): -1.5, 1, -3: e^ 0.223130, 2.718282, 0.049787:
#     shares 0.074596, 0.908760, 0.016645
# seed 1: least of 0.5, 0.5 and of 2.4, 4: 0 - 0.5, 2.5 - 2.4, -1 - 0.5
#   twice these: -1, 0.2, -3: e^ 0.367879, 1.221403, 0.049787:
#     shares 0.224444, 0.745181, 0.030375
AWAC_SHARES: Any = [[0.074596, 0.908760, 0.016645], [0.224444, 0.745181, 0.030375]]


def test_the_losses_of_awac_worked_out_by_hand():
    learner = by_hand(
        AWAC(temperature=0.5), q=TWO, policy=CHANCES, targets={"q": TWO_TARGETS}
    )
    # seed 0: surprises ln 4/3 = 0.287682, ln 2, ln 2
    # seed 1: ln 2, ln 5/4 = 0.223144, ln 2
    policy = [0.021460 + 0.629905 + 0.011537, 0.155573 + 0.166283 + 0.021054]
    assert_losses(learner, BATCH, q=[2.5, 47.51125 / 3], policy=policy)


def test_the_exponential_weights_of_awac_worked_out_by_hand():
    learner = by_hand(
        AWAC(temperature=0.5, weighting="exponential"),
        q=TWO,
        policy=CHANCES,
        targets={"q": TWO_TARGETS},
    )
    # the numerators of the shares above, averaged over three transitions
    # seed 0: e^-1.5 ln 4/3, e^1 ln 2, e^-3 ln 2; seed 1: e^-1 ln 2, e^0.2 ln 5/4,
    #   e^-3 ln 2
    policy = [
        (0.064190 + 1.884169 + 0.034510) / 3,
        (0.254994 + 0.272549 + 0.034510) / 3,
    ]
    assert_losses(learner, BATCH, q=[2.5, 47.51125 / 3], policy=policy)


def test_exponential_weights_of_awac_end_at_a_hundred():
    learner = AWAC(temperature=0.1, weighting="exponential")
    # e^4 = 54.598150; e^5 = 148 is cut
    weight = learner.cloning_weight(torch.tensor([[0.4, 0.5], [0.0, 9.0]]))
    expected = torch.tensor([[54.598150 / 2, 50], [0.5, 50]])
    torch.testing.assert_close(weight, expected)


def test_the_weights_of_awac_are_constants_to_the_policy():
    learner = by_hand(
        AWAC(temperature=0.5), q=TWO, policy=CHANCES, targets={"q": TWO_TARGETS}
    )
    entries = learner.net.policy.entries.requires_grad_()
    (slope,) = torch.autograd.grad(learner.losses(BATCH)["policy"].sum(), entries)
    # the slope of surprise is probability - 1(chosen)
    # seed 0: state 0 took action 1, state 1 took 0 and 1
    # seed 1: state 0 took 0 and 1, state 1 took 1
    w = AWAC_SHARES
    first = [0.25 * w[0][0], 0.5 * (w[0][2] - w[0][1])]
    second = [0.5 * (w[1][2] - w[1][0]), 0.2 * w[1][1]]
    expected = torch.tensor([[[[g, -g] for g in state]] for state in (first, second)])
    torch.testing.assert_close(slope, expected, atol=1e-5, rtol=0)


def test_the_losses_of_awac_on_box_actions_worked_out_by_hand():
    learner = by_hand(
        AWAC(temperature=0.5), size=1, q=IQL_Q, policy=SPREAD, targets={"q": IQL_TARGET}
    )
    noise(
        learner,
        normal=[[[0.5, 9, -0.75], [-1, 0, 2]], [[1, 0.25, 0.5], [0.25, -0.5, -0.5]]],
    )
    # seed 0, draws at next states 1, 0, 0: -0.5 + 2 * 0.5 = 0.5; .; 0.5 - 0.75 = -0.25
    #   target networks 4 and 3; -1 and 3: targets 1 + 3/2 = 2.5; -1; 0 - 1/2
    #   critics say 1, -1, 1 and -0.5, 1.5, 0.5:
    #     (2.25 + 0 + 2.25) + (9 + 6.25 + 1) = 20.75
    #   draws at states 0, 1, 1: 0.5 + 1, cut off at 1; -0.5 + 2 * 0.25 = 0;
    #     -0.5 + 2 * 0.5 = 0.5
    #   V: least of 2, -1; of 0, 1; of 1, 0.5; advantages -0.5 + 1, -1 - 0, 0.5 - 0.5
    #   twice these: 1, -2, 0: e^ 2.718282, 0.135335, 1:
    #     shares 0.705385, 0.035119, 0.259496
    # seed 1, draws at next states 1, 1, 0: 0.5 - 1 = -0.5; .; 2, cut off at 1
    #   target networks -1 and 9; 2 and 9: targets 2 - 1/2 = 1.5; 1; 3 + 0.9 * 2 = 4.8
    #   critics say -0.5, 1.5, 1 and 1, 1, 4:
    #     (4 + 0.25 + 14.44) + (0.25 + 0 + 0.64) = 19.58
    #   draws at states 0, 1, 0: 0.25; 0.5 - 0.5 = 0; -0.5
    #   V: least of 0.25, 0.25; of 1, 0; of -0.5, 1
    #   advantages -0.5 - 0.25, 1 - 0, 1 + 0.5
    #   twice these: -1.5, 2, 3: shares 0.008056, 0.266775, 0.725169
    policy = [
        0.705385 * 0.918939 + 0.035119 * 1.612086 + 0.259496 * 1.737086,
        0.008056 * 1.043939 + 0.266775 * 0.918939 + 0.725169 * 1.418939,
    ]
    assert_losses(learner, IQL_BOX, q=[20.75 / 3, 19.58 / 3], policy=policy)


# --- td3bc ---

TD3_Q = [TWO[0], [[[-4, 0], [2, 4]], TWO[1][1]]]


def clone(learner: TD3BC) -> Any:
    return by_hand(
        learner,
        q=TD3_Q,
        policy=logs([[[[0.5, 0.5], [0.75, 0.25]]], [[[0.5, 0.5], [0.5, 0.5]]]]),
        targets={"q": TWO_TARGETS, "policy": CHANCES},
    )


# targets as for awac; seed 1's first critic says -4, 4, 0: 67.24 + 4 + 6.890625
CLONE_TD = [2.5, (78.130625 + 26.980625) / 3]


def test_the_losses_of_td3bc_on_discrete_actions_worked_out_by_hand():
    learner = clone(TD3BC(alpha=3.0, delay=1))
    # seed 0: Q_1 under the policy is 1.5 at state 0 and 2.25 at state 1:
    #   mean 2, weight 3/2
    #   surprises ln 2 + ln 4/3 + ln 4 = 2.367124
    # seed 1: Q_1 is -2 at state 0 and 3 at state 1, rows -2, 3, -2:
    #   mean -1/3, of sizes 7/3, weight 9/7; surprise ln 2
    assert_losses(learner, BATCH, q=CLONE_TD, policy=[0.789041 - 3, 0.693147 + 3 / 7])


def test_the_weight_of_td3bc_is_a_constant_to_the_policy():
    learner = clone(TD3BC(alpha=3.0, delay=1))
    entries = learner.net.policy.entries.requires_grad_()
    (slope,) = torch.autograd.grad(learner.losses(BATCH)["policy"].sum(), entries)
    # seed 1: the slope of surprise is probability - 1(chosen),
    #   that of Q_1 is probability * (Q_1(a) - mean), over 3 rows
    #   state 0, twice, once either action: surprises cancel;
    #     Q_1: 2 * (-1, 1): -9/7 * 2/3 * (-1, 1)
    #   state 1, action 1: (1/2, -1/2)/3 - 9/7 * (-1/2, 1/2)/3
    expected = torch.tensor([[6 / 7, -6 / 7], [1 / 6 + 3 / 14, -1 / 6 - 3 / 14]])
    torch.testing.assert_close(slope[1, 0], expected, atol=1e-5, rtol=0)


def test_the_losses_of_td3bc_on_box_actions_worked_out_by_hand():
    actor: Any = np.arctanh([[[[0, 0.5], [0.5, -0.5]]], [[[0.75, 0], [-0.5, 0.5]]]])
    slow: Any = np.arctanh(
        np.array([[[[0.5, -0.5], [0, 0.9]]], [[[0, 0], [-0.9, 0.5]]]])
    )
    learner = by_hand(
        TD3BC(delay=1, target_noise=0.5, noise_limit=0.25),  # alpha 2.5
        size=2,
        q=Formulas(
            [lambda s, a, b: 2 * a + b + s, lambda s, a, b: a - b],
            [lambda s, a, b: 4 * a - 2 * s, lambda s, a, b: b],
        ),
        policy=actor,
        targets={
            "policy": slow,
            "q": Formulas(
                [lambda s, a, b: 8 * a + 2 * b + s, lambda s, a, b: 4 * b - s],
                [lambda s, a, b: a - 5 * b, lambda s, a, b: 2 * a + 10 * b - s],
            ),
        },
    )
    noise(
        learner,
        normal=[[[(0.25, 1), (0, 0), (-2, 0.5)], [(-0.4, 0.2), (0, 0), (0.3, -0.1)]]],
    )
    # half the noise, cut at 0.25, then the action cut at 1:
    # seed 0, state 1: (0 + 0.125, 0.9 + 0.25) = (0.125, 1): 4 and 3;
    #   state 0: (0.5 - 0.25, -0.5 + 0.25): 1.5 and -1
    #   targets 1 + 3/2 = 2.5; 2; -1 - 1/2
    #   critics say 1, 0.5, 2 and 0.5, -1, -1:
    #     (2.25 + 2.25 + 12.25) + (4 + 9 + 0.25) = 30
    #   Q_1 of the policy 0.5, 1.5, 1.5, all positive: its weighed mean is alpha
    #   distances, means of two: (0.25 + 0.25)/2, (1 + 1)/2, (0.25 + 2.25)/2: 2.5 / 3
    # seed 1, state 1: (-0.9 - 0.2, 0.5 + 0.1) = (-1, 0.6): -4 and 3;
    #   state 0: (0.15, -0.05): 0.4 and -0.2
    #   targets -4; 2; 3 - 0.05
    #   critics say 4, -2, -2 and -1, 0, 0.5:
    #     (64 + 16 + 24.5025) + (9 + 4 + 6.0025) = 123.505
    #   Q_1 3, -4, 3: mean 2/3, of sizes 10/3, weight 0.75: 0.5
    #   distances (0.0625 + 1)/2, (0.25 + 0.25)/2, (1.5625 + 0.25)/2: 1.6875 / 3
    assert_losses(
        learner, EDAC_BATCH, q=[10, 123.505 / 3], policy=[2.5 / 3 - 2.5, 0.0625]
    )


# --- bcq ---


def test_the_losses_of_bcq_on_discrete_actions_worked_out_by_hand():
    learner = by_hand(
        BCQ(threshold=0.5),  # care 0.75
        actions=3,
        q=[
            [[[0, 2, 0], [1, 0, 2.5]], [[0, 0, 0], [-2, 0, 2]]],
            [[[1, 0, 3], [0, 0, 0]], [[1.5, 0, 8], [0, 4, 0]]],
        ],
        imitator=logs(
            [
                [[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]],
                [[[0.45, 0.25, 0.3], [0.5, 0.1, 0.4]]],
            ]
        ),
        targets={
            "q": [
                [[[1, 4, 9], [9, 9, -2]], [[5, 2, 9], [9, 9, 2]]],
                [[[0, 3, -4], [1, 50, 2]], [[4, -5, 0], [3, 50, -6]]],
            ]
        },
    )
    batch = rows(
        [(0, 1, 1.0, 0.5, 1), (1, 2, 2.0, 0.0, 0), (1, 0, -1.0, 0.5, 0)],
        [(0, 0, 0.0, 1.0, 1), (1, 1, 2.0, 0.0, 0), (0, 2, 3.0, 0.5, 0)],
    )
    # three quarters of the lesser critic and a quarter of the greater:
    # seed 0, state 0: 0.2 is less than half of 0.5, so actions 0 and 1:
    #   0.75 + 1.25 = 2 and 1.5 + 1 = 2.5
    #   state 1: action 2 alone: -1.5 + 0.5 = -1
    #   targets 1 - 1/2 = 0.5; 2; -1 + 2.5/2 = 0.25
    #   critics say 2, 2.5, 1 and 0, 2, -2:
    #     huber (1 + 0.125 + 0.28125) + (0.125 + 0 + 1.75) = 3.28125
    # seed 1, state 0: all three: 0 + 1, -3.75 + 0.75, -3 + 0, best 1
    #   state 1: 0 and 2: 0.75 + 0.75 and -4.5 + 0.5, best 1.5
    #   targets 1.5; 2; 3 + 1/2
    #   critics say 1, 0, 3 and 1.5, 4, 8:
    #     (0.125 + 1.5 + 0.125) + (0 + 1.5 + 4) = 7.25
    # imitator, seed 0: -ln 0.3 - ln 0.7 - ln 0.1 = 3.863233
    #           seed 1: -ln 0.45 - ln 0.1 - ln 0.3 = 4.305066
    assert_losses(
        learner, batch, q=[3.28125 / 3, 7.25 / 3], imitator=[3.863233 / 3, 4.305066 / 3]
    )


def test_the_losses_of_bcq_on_box_actions_worked_out_by_hand():
    def shift(way: float) -> list:
        """Move by (way, -way) / 4."""
        return [lambda s, a, b: (way * H + 0 * s, -way * H + 0 * s)]

    # the action is tanh of the first and the last latent number
    decode = [lambda s, x, y, z, w: (x, w)]
    log_2 = math.log(2)
    learner = by_hand(
        BCQ(samples=2, reach=0.5),  # care 0.75
        size=2,
        q=Formulas(
            [lambda s, a, b: 2 * a + s, lambda s, a, b: 4 * b],
            [lambda s, a, b: a - 2 * b, lambda s, a, b: 2 * s],
        ),
        encoder=Formulas(
            [lambda s, a, b: (0 * s, a, b, 2 * s, *(0 * s,) * 2, 0 * s + log_2, 0 * s)],
            [lambda s, a, b: (0 * s, 0 * s, s, 0 * s, 0 * s - 9, 0 * s, 0 * s, 0 * s)],
        ),
        decoder=Formulas(decode, decode),
        perturbation=Formulas(shift(-1), shift(1)),
        targets={
            "perturbation": Formulas(shift(1), shift(-1)),
            "q": Formulas(
                [lambda s, a, b: 4 * a + s, lambda s, a, b: 8 * b],
                [lambda s, a, b: 2 * a, lambda s, a, b: 8 * b + s],
            ),
        },
    )
    # latent draws of `samples` x rows: (first, last) numbers, the others are zero
    q4 = math.atanh(0.25)
    mark = lambda pairs: [[(x, 0, 0, w) for x, w in row] for row in pairs]  # noqa: E731
    proposed = [
        [*mark([[(q4, 0), (0, 0), (-q4, q4)], [(-q4, q4), (0, 0), (0, -q4)]])],
        [*mark([[(0, q4), (0, 0), (9, 0)], [(q4, -q4), (0, 0), (-q4, -q4)]])],
    ]
    encoded = [
        mark([[(H, 0), (0, H - 2), (0, -2)]])[0],
        mark([[(0, H), (9, -H), (0, 0)]])[0],
    ]
    lone = [
        mark([[(q4, 0), (0, q4), (q4, q4)]])[0],
        mark([[(-q4, 0), (0, 0), (q4, 9)]])[0],
    ]
    noise(learner, normal=[proposed, encoded, lone])
    # seed 0: actions at next states are moved by (0.25, -0.25)
    #   row 0 (state 1): (0.5, -0.25): 3 and -2: 0.75 * -2 + 0.25 * 3 = -0.75;
    #     (0, 0): 1 and 0: 0.25; best 0.25
    #   row 2 (state 0): (0, 0): 0; (0.25, -0.5): 1 and -4: -2.75; best 0
    #   targets 1.125; 2; -1
    #   critics on the data (0.5, 0), (-0.5, 0.5), (0, 1): 1, 0, 1 and 0, 2, 4:
    #   (0.015625 + 4 + 4) + (1.265625 + 0 + 25) = 34.28125
    # seed 1: moved by (-0.25, 0.25)
    #   row 0 (state 1): (-0.25, 0.5): -0.5 and 5: 0.875; (0, 0): 0 and 1: 0.25;
    #     best 0.875
    #   row 2 (state 0): latent 9 counts as 0.5: (0.462117 - 0.25, 0.25):
    #     0.424234 and 2: 0.818176; (-0.5, 0): -1 and 0: -0.75
    #   targets 0.875; 2; 3 + 0.818176/4 = 3.204544
    #   critics on the data (1, -1), (0, 0), (-0.5, 0.5): 3, 0, -1.5 and 0, 2, 0:
    #   (4.515625 + 4 + 22.132734) + (0.765625 + 0 + 10.269102) = 41.683086
    q = [34.28125 / 3, 41.683086 / 3]
    # reconstruction, seed 0: deviations 1, 1, 2, 1 around means 0, a, b, 2 s
    #   latents give
    #     (H, 0): (0.5, 0), the data itself
    #     (0, 2 + H - 2): (0, 0.5) for (-0.5, 0.5): 0.25
    #     (0, 0) for (0, 1): 1
    #   mean over 6 numbers 1.25 / 6
    #   divergence (m^2 + s^2 - 1)/2 - ln s
    #     row 0: 0.125 + (4 - 1)/2 - ln 2 = 0.931853
    #     row 1: 0.125 + (0.25 + 3)/2 - ln 2 + 2 = 3.056853
    #     row 2: 0 + (1 + 3)/2 - ln 2 + 2 = 3.306853
    #   mean over 12 numbers 0.607963
    # seed 1: the first deviation is cut at e^-4, 9 of which are 0.164841: tanh 0.163363
    #     (0, 0.5) for (1, -1): 1 + 2.25
    #     (0.163363, -0.5) for (0, 0): 0.026687 + 0.25
    #     (0, 0) for (-0.5, 0.5): 0.5
    #   mean over 6 numbers 4.026687 / 6
    #   divergence of the first number, every row: (e^-8 - 1)/2 + 4 = 3.500168;
    #     row 1 has mean 1: 0.5: 11.000503 / 12
    autoencoder = [1.25 / 6 + 0.5 * 7.295559 / 12, 4.026687 / 6 + 0.5 * 11.000503 / 12]
    # perturbation, -Q_1 of one action moved by (-0.25, 0.25), seed 1 (0.25, -0.25):
    # seed 0: (0, .): 0; (-0.25, .), state 1: 0.5; (0, .), state 1: 1
    # seed 1: (0, -0.25): 0.5; (0.25, -0.25): 0.75;
    #   latent 9 counts as 0.5: (0.5, 0.212117): 0.075766
    perturbation = [-1.5 / 3, -1.325766 / 3]
    batch = EDAC_BATCH
    assert_losses(
        learner,
        batch,
        q=q,
        encoder=autoencoder,
        decoder=autoencoder,
        perturbation=perturbation,
    )
