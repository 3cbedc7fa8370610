"""Spectral clustering by the book: all eigenvectors of a dense matrix, and k-means of their rows' directions, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

Floats = NDArray[np.float64]


def walk(S: Any) -> Floats:
    """D^-½ A D^-½ without the diagonal."""
    A = np.array(S, np.float64)
    np.fill_diagonal(A, 0.0)
    degree = A.sum(axis=1)
    return A / np.sqrt(np.outer(degree, degree))


def eigenvectors(S: Any, k: int) -> tuple[Floats, Floats]:
    """The k largest eigenvalues and their eigenvectors."""
    values, vectors = np.linalg.eigh(walk(S))
    return values[::-1][:k], vectors[:, ::-1][:, :k]


def normalized_cut(S: Any, k: int) -> list[int]:
    """Labels, numbered by their first items."""
    _, U = eigenvectors(S, k)
    rows = [u / np.linalg.norm(u) for u in U]
    pivots = qr(U.T, pivoting=True)[2][:k]
    a, _, b = np.linalg.svd(U[pivots])
    directions = list(a @ b)
    labels: list[int] = []
    while True:
        new = [max(range(k), key=lambda c: (float(row @ directions[c]), -c)) for row in rows]
        if new == labels:
            return numbered(labels)
        labels = new
        for c in range(k):
            mean = sum((row for row, label in zip(rows, labels, strict=True) if label == c), np.zeros(k))
            if np.linalg.norm(mean) > 0:
                directions[c] = mean / np.linalg.norm(mean)


def numbered(labels: Any) -> list[int]:
    """Rename labels in the order they first appear in."""
    names: dict[int, int] = {}
    return [names.setdefault(int(label), len(names)) for label in labels]


def landmark_eigenvalues(Z: Floats, k: int) -> Floats:
    """The k largest eigenvalues of Z Λ⁻¹ Zᵀ, as a square matrix of all items."""
    return np.linalg.eigvalsh(Z @ np.diag(1 / Z.sum(axis=0)) @ Z.T)[::-1][:k]
