"""Colour transfers by one 3x3 matrix a picture (reference: training.md 6.8, pipeline.md 6.5).

Both give the picture the mean and the covariance of the reference, over RGB. `lct` goes through the
symmetric roots of both covariances; `mkl` is the one such map that moves the colours least
(Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
transfer", CVMP 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.color.pixels import MaskStatistics, inside_of, measured

Matrix = NDArray[np.float64]

LCT_RIDGE: Final = 1e-5
"""Added to the variances by `lct`."""
MKL_FLOOR: Final = 1 / (12 * 255**2)
"""Least variance along any direction of colour for `mkl`: the rounding of 8 bits. The original has
the machine's epsilon there, which blows up the rounding noise of a grey picture a million times."""


def lct(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` mean and covariance of `reference` through the covariances' symmetric roots.

    Arguments, result and errors are those of `rct`, with RGB in the place of Lab. DFL measures
    `lct` on whole pictures; a mask is this project's addition.
    """
    return _transfer(image, reference, mask, statistics, lct_matrix, sample=False)


def mkl(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` mean and covariance of `reference` by the linear map that moves colours least.

    Arguments, result and errors are those of `rct`, with RGB in the place of Lab. With a mask and
    "black" statistics it is DFL's `mkl-m`.
    """
    return _transfer(image, reference, mask, statistics, mkl_matrix, sample=True)


def lct_matrix(cov: Matrix, cov_to: Matrix) -> Matrix:
    """The 3x3 map of colour columns, C_to^½ C^-½."""
    ridge = LCT_RIDGE * np.eye(3)
    return _power(cov_to + ridge, 0.5) @ _power(cov + ridge, -0.5)


def mkl_matrix(cov: Matrix, cov_to: Matrix) -> Matrix:
    """The 3x3 map of colour columns, C^-½ (C^½ C_to C^½)^½ C^-½: symmetric, positive."""
    root, inverse = _power(cov, 0.5, MKL_FLOOR), _power(cov, -0.5, MKL_FLOOR)
    return inverse @ _power(root @ cov_to @ root, 0.5, 0.0) @ inverse


def _transfer(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    statistics: MaskStatistics,
    matrix: Callable[[Matrix, Matrix], Matrix],
    *,
    sample: bool,
) -> NDArray[np.float32]:
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    mean, cov = _moments(measured(image, inside, statistics), sample=sample)
    mean_to, cov_to = _moments(measured(reference, inside, statistics), sample=sample)
    moved = (image.astype(np.float64) - mean) @ matrix(cov, cov_to).T + mean_to
    return np.clip(moved, 0.0, 1.0).astype(np.float32)


def _moments(pixels: NDArray[np.float32], *, sample: bool) -> tuple[Matrix, Matrix]:
    """Mean, 3, and covariance, 3x3, of pixels n 3; by n - 1 if `sample`, else by n."""
    wide = pixels.astype(np.float64)
    mean = wide.mean(0)
    centred = wide - mean
    return mean, centred.T @ centred / max(len(wide) - int(sample), 1)


def _power(symmetric: Matrix, exponent: float, least: float = 0.0) -> Matrix:
    """A symmetric matrix to a power, its eigenvalues not below `least`."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, least) ** exponent) @ vectors.T
