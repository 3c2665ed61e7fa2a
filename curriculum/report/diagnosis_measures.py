"""What the measures of `python -m curriculum.diagnose` mean."""

from typing import NamedTuple


class Measure(NamedTuple):
    """A measure, in the words of a report."""

    group: str
    label: str
    meaning: str


ACTIONS = "Actions"
SUPPORT = "Support of the chosen actions"
VALUES = "Values, in rewards of the world"
EPISODES = "Episodes of its own"

# `legacy_kl_bound` is part of the label of `legacy_kl`
MEASURES = {
    "agreement": Measure(
        ACTIONS,
        "agreement with the data",
        "share of states in which the learner's action is that of the data",
    ),
    "cross_entropy": Measure(
        ACTIONS,
        "cross-entropy",
        "mean of -log pi(a_data | s); of a learner without an actor, pi is the softmax "
        "of its Q at temperature 1",
    ),
    "state_kl": Measure(
        ACTIONS,
        "KL in one state",
        "mean divergence of pi(. | s) from what the data do in s, over states that the "
        "data visit at least twice, smoothed by one count spread over all actions",
    ),
    "state_tv": Measure(
        ACTIONS,
        "total variation in one state",
        "half the sum of |p_data(a | s) - pi(a | s)| over actions, in the same states",
    ),
    "marginal_kl": Measure(
        ACTIONS,
        "KL of action shares",
        "divergence of the learner's shares of all actions, averaged over states, from "
        "the data's: says nothing of single states; smoothed likewise",
    ),
    "marginal_tv": Measure(
        ACTIONS,
        "total variation of action shares",
        "half the sum of the differences of these shares, 0 to 1",
    ),
    "legacy_kl": Measure(
        ACTIONS,
        "legacy_kl",
        "the divergence of softmax(shares), as an older document had it: a softmax of "
        "shares is nearly uniform, so it is small for any two policies",
    ),
    "cloning_error": Measure(
        ACTIONS,
        "cloning error",
        "mean squared difference of the numbers of the learner's and the data's action",
    ),
    "log_density": Measure(
        ACTIONS,
        "log density of the data",
        "mean log pi(a_data | s), larger is closer; densities may be above 1",
    ),
    "support": Measure(
        SUPPORT,
        "neighbours with its action",
        "of the nearest states of the data, how many took the action that the learner "
        "chooses, on average",
    ),
    "support_of_data": Measure(
        SUPPORT, "neighbours with the data's action", "the same for the data's own"
    ),
    "support_distance": Measure(
        SUPPORT,
        "distance to the nearest action",
        "root mean square difference of the learner's action to the nearest that the "
        "nearest states of the data took",
    ),
    "support_distance_of_data": Measure(
        SUPPORT, "distance of the data's action", "the same for the data's own"
    ),
    "unseen": Measure(
        SUPPORT,
        "unseen actions",
        "share of states in which none of the nearest states took the learner's action "
        "(box actions: farther off than 95 % of the data's own)",
    ),
    "unseen_of_data": Measure(
        SUPPORT, "unseen actions of the data", "the same for the data's own"
    ),
    "q_data": Measure(VALUES, "Q(s, a_data)", "value of the data's action"),
    "q_policy": Measure(VALUES, "Q(s, pi(s))", "value of the learner's action"),
    "q_max": Measure(VALUES, "max Q(s, a)", "value of the best action by the critic"),
    "logsumexp_gap": Measure(
        VALUES,
        "logsumexp Q - Q(s, a_data)",
        "CQL's conservative term, in the learner's own units: the cross-entropy of the "
        "softmax of Q; log(actions) where all values are equal",
    ),
    "value": Measure(VALUES, "V(s)", "state value, of learners that have one"),
    "data_return": Measure(
        VALUES,
        "Monte-Carlo return",
        "discounted return of the data from the state on, with the data's actions",
    ),
    "known_returns": Measure(
        VALUES,
        "known returns",
        "share of states whose return is known: the episode terminated, or what a cut "
        "took away weighs less than 1 %; only these count in the rows that need it. If "
        "failures are cut and successes terminate, the known ones are the successes",
    ),
    "q_over": Measure(
        VALUES,
        "Q(s, a_data) - return",
        "over-estimation, if the learner acts as the data do; a better policy has "
        "higher values by right",
    ),
    "value_over": Measure(VALUES, "V(s) - return", "the same for the state value"),
    "td_error": Measure(
        VALUES, "TD error", "mean |r + discount * next value - Q(s, a_data)|, one step"
    ),
    "rollout_value": Measure(
        EPISODES, "value at the start", "what the learner expects of its own episodes"
    ),
    "rollout_return": Measure(
        EPISODES, "discounted return", "what it gets, learner alone"
    ),
    "rollout_over": Measure(
        EPISODES,
        "value - return",
        "over-estimation of its own policy: above 0 it believes too much",
    ),
    "cut_rollouts": Measure(
        EPISODES,
        "cut episodes",
        "share of episodes that a time limit ended while rewards to come still had "
        "more than 1 % of the weight: their return lacks them",
    ),
    "planner_agreement": Measure(
        EPISODES,
        "agreement with the planner",
        "share of its steps in which the planner, asked in the same state, would have "
        "done the same; equally good actions count as different",
    ),
    "planner_error": Measure(
        EPISODES,
        "squared difference to the planner",
        "mean squared difference of the numbers of the two actions at its steps",
    ),
}
