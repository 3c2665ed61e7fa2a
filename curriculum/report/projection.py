"""Observations as points of a plane."""

from typing import NamedTuple

import numpy as np

PERPLEXITY = 30  # of t-SNE: neighbours that a point keeps
SEED = 42


class Projection(NamedTuple):
    """Points and how they were found."""

    method: str
    points: np.ndarray  # [n, 2]


def project(rows: np.ndarray) -> Projection:
    """Project `rows` [n, F] by t-SNE (van der Maaten & Hinton 2008), or by PCA where
    scikit-learn is missing or there are few rows."""
    scale = rows.std(0)
    scaled = (rows - rows.mean(0)) / np.where(scale > 0, scale, 1)
    if len(rows) <= PERPLEXITY or not scale.any():
        return Projection("PCA", principal(scaled))
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return Projection("PCA", principal(scaled))
    found = TSNE(2, perplexity=PERPLEXITY, init="pca", random_state=SEED)
    return Projection("t-SNE", found.fit_transform(scaled))


def principal(rows: np.ndarray) -> np.ndarray:
    """The first two principal components of `rows` [n, F], [n, 2]."""
    centred = rows - rows.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(rows), 2))
    found = centred @ directions[:2].T
    points[:, : found.shape[1]] = found
    return points
