"""How far two distributions over the same fixed actions are apart.

A actions, n states. Counts [..., A] may be fractions: n times a probability is the
expected count. All logarithms are natural.
"""

import math

import numpy as np


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Probabilities [..., A] of counts, smoothed by one more count that is spread over
    all actions (Perks 1947): no action has probability 0."""
    actions = counts.shape[-1]
    total = counts.sum(-1, keepdims=True)
    return (counts + 1 / actions) / (total + 1)


def relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The Kullback-Leibler divergence of q from p, sum p log(p / q), [...]; q has no
    zeros where p has none."""
    positive = p > 0
    ratio = np.where(positive, p, 1) / np.where(positive, q, 1)
    return (p * np.log(ratio)).sum(-1)


def total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The largest difference of the probabilities of any set of actions, in [0, 1]."""
    return np.abs(p - q).sum(-1) / 2


def legacy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The divergence of softmax(q) from softmax(p).

    A softmax of probabilities is nearly uniform, so this number is small whatever the
    distributions are: it is never above `legacy_bound`."""
    return relative_entropy(_softmax(p), _softmax(q))


def legacy_bound(actions: int) -> float:
    """The largest value of `legacy`: that of two distributions which give all
    probability to different actions."""
    return (math.e - 1) / (math.e + actions - 1)


def _softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x)
    return weights / weights.sum(-1, keepdims=True)
