"""Colour transfer: give one picture the colours of another.

* `rct`: Reinhard et al., "Color Transfer between Images", IEEE CG&A 2001, in the float CIE-Lab of
  OpenCV, as in DFL.
* `lct`, `mkl`: one 3x3 matrix per picture, which gives it the mean and covariance of the reference
  in RGB. `lct` uses the symmetric roots of both covariances; `mkl` is the map of this kind that
  moves colours least (Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for
  example-based colour transfer", CVMP 2007).
* `idt`: Pitié, Kokaram and Dahyot, "N-dimensional probability density function transfer and its
  application to colour transfer", ICCV 2005.
* `sot`: Rabin, Delon and Gousseau, "Regularization of transportation maps for color and contrast
  transfer", ICIP 2010; sliced transport as in Bonneel et al., "Sliced and Radon Wasserstein
  barycenters of measures", 2015.

`idt` and `sot` use the same random directions on every call unless a generator is given. In DFL
they differ each time, which would make the colours of a video flicker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.core.registry import Registry
from faceloom.core.vocabulary import MaskStatistics

Transfer = Callable[..., NDArray[np.float32]]
Floats = NDArray[np.float64]

LAB_LOW: Final = np.array([0.0, -127.0, -127.0], np.float32)
LAB_HIGH: Final = np.array([100.0, 127.0, 127.0], np.float32)
# Below this spread (Lab units; a visible step is about 1) a channel counts as flat: dividing by it
# would only amplify rounding noise.
FLAT: Final = 1e-3
# `lct` adds this to the variances.
LCT_RIDGE: Final = 1e-5
# Minimum variance in any direction of colour for `mkl`: the rounding error of 8 bits. The original
# uses the machine epsilon, which amplifies the rounding noise of a grey picture a million times.
MKL_FLOOR: Final = 1 / (12 * 255**2)
IDT_ITERATIONS: Final = 20
IDT_BINS: Final = 256
SOT_STEPS: Final = 10
SOT_DIRECTIONS: Final = 5
# In units of [0, 1]: so wide that the filter hardly depends on colour.
SOT_SIGMA_COLOR: Final = 5.0
SOT_SIGMA_SPACE_PX: Final = 16.0


def rct(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` the mean and spread of `reference` in each Lab channel.

    Args:
        image: `h w 3` float32 RGB in [0, 1], the picture to change.
        reference: RGB float32 in [0, 1]; with a mask, of the same size as `image`.
        mask: `h w` float32; pixels of both pictures below 0.5 are left out of the statistics (but
            changed like the others).
        statistics: how they are left out. "black" counts them as Lab 0, as DFL does and its users
            expect: the spread of L then depends mostly on the mean. "inside" measures inside the
            mask only, which is Reinhard's definition.

    Returns:
        `h w 3` float32 RGB in [0, 1]. A channel that is flat in `image` is only shifted (DFL
        divides by zero); a mask without a pixel of at least 0.5 changes nothing.

    Raises:
        InputError: if mask and pictures differ in size.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    lab = _convert(image, cv2.COLOR_RGB2LAB)
    mean, spread = _moments(lab, inside, statistics)
    mean_to, spread_to = _moments(_convert(reference, cv2.COLOR_RGB2LAB), inside, statistics)
    flat = spread < FLAT
    gain = np.where(flat, 1.0, spread_to / np.where(flat, 1.0, spread))
    moved = (lab - mean.astype(np.float32)) * gain.astype(np.float32) + mean_to.astype(np.float32)
    np.clip(moved, LAB_LOW, LAB_HIGH, out=moved)
    return np.clip(_convert(moved, cv2.COLOR_LAB2RGB), np.float32(0), np.float32(1))


def _convert(image: NDArray[np.float32], code: int) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image, code), np.float32)


def _moments(
    lab: NDArray[np.float32], inside: NDArray[np.bool_] | None, statistics: MaskStatistics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population spread per channel, `3` float64 each."""
    chosen = measured(lab, inside, statistics)
    mean, spread = cv2.meanStdDev(np.ascontiguousarray(chosen)[:, None, :])
    return np.asarray(mean, np.float64).ravel(), np.asarray(spread, np.float64).ravel()


def lct(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` the mean and covariance of `reference`, by symmetric roots of the covariances.

    Arguments, result and errors are those of `rct`, with RGB instead of Lab. DFL measures `lct` on
    whole pictures; the mask is our addition.
    """
    return _linear(image, reference, mask, statistics, lct_matrix, sample=False)


def mkl(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
) -> NDArray[np.float32]:
    """Give `image` the mean and covariance of `reference` by the map that moves colours least.

    Arguments, result and errors are those of `rct`, with RGB instead of Lab. With a mask and
    "black" statistics this is DFL's `mkl-m`.
    """
    return _linear(image, reference, mask, statistics, mkl_matrix, sample=True)


def lct_matrix(cov: Floats, cov_to: Floats) -> Floats:
    """The 3x3 map of colour columns, C_to^½ C^-½."""
    ridge = LCT_RIDGE * np.eye(3)
    return _power(cov_to + ridge, 0.5) @ _power(cov + ridge, -0.5)


def mkl_matrix(cov: Floats, cov_to: Floats) -> Floats:
    """The 3x3 map of colour columns, C^-½ (C^½ C_to C^½)^½ C^-½: symmetric, positive."""
    root, inverse = _power(cov, 0.5, MKL_FLOOR), _power(cov, -0.5, MKL_FLOOR)
    return inverse @ _power(root @ cov_to @ root, 0.5, 0.0) @ inverse


def _linear(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    statistics: MaskStatistics,
    matrix: Callable[[Floats, Floats], Floats],
    *,
    sample: bool,
) -> NDArray[np.float32]:
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    mean, cov = _mean_and_covariance(measured(image, inside, statistics), sample=sample)
    mean_to, cov_to = _mean_and_covariance(measured(reference, inside, statistics), sample=sample)
    moved = (image.astype(np.float64) - mean) @ matrix(cov, cov_to).T + mean_to
    return np.clip(moved, 0.0, 1.0).astype(np.float32)


def _mean_and_covariance(pixels: NDArray[np.float32], *, sample: bool) -> tuple[Floats, Floats]:
    """Mean (3) and covariance (3x3) of pixels n 3, divided by n - 1 if `sample`, else by n."""
    wide = pixels.astype(np.float64)
    mean = wide.mean(0)
    centred = wide - mean
    return mean, centred.T @ centred / max(len(wide) - int(sample), 1)


def _power(symmetric: Floats, exponent: float, least: float = 0.0) -> Floats:
    """A symmetric matrix raised to a power, with eigenvalues of at least `least`."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, least) ** exponent) @ vectors.T


def idt(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
    iterations: int = IDT_ITERATIONS,
    relaxation: float = 1 / IDT_ITERATIONS,
    random: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Match the histograms of `image` to `reference`'s along the axes of random rotations.

    Arguments, result and errors are those of `rct`, and also:
        iterations: number of rotations.
        relaxation: share of the way that a colour moves at each. DFL's 1/20 ends about two thirds
            of the way to the reference, so that the noise of the reference is not copied.
        random: source of the rotations; None: the same ones on every call.

    Pixels outside the mask change like equal colours inside.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    pixels = image.reshape(-1, 3).astype(np.float64)
    source = measured(image, inside, statistics).astype(np.float64)
    target = measured(reference, inside, statistics).astype(np.float64)
    random = random or np.random.default_rng(0)
    for rotation in rotations(random.standard_normal((iterations, 4))):
        turned, to = source @ rotation.T, target @ rotation.T
        all_turned = pixels @ rotation.T
        moved, all_moved = np.empty_like(turned), np.empty_like(all_turned)
        for axis in range(3):
            edges, mapped = match_histogram(turned[:, axis], to[:, axis])
            moved[:, axis] = np.interp(turned[:, axis], edges, mapped)
            all_moved[:, axis] = np.interp(all_turned[:, axis], edges, mapped)
        source = source + relaxation * (moved - turned) @ rotation
        pixels = pixels + relaxation * (all_moved - all_turned) @ rotation
    return np.clip(pixels, 0.0, 1.0).astype(np.float32).reshape(image.shape)


def match_histogram(values: Floats, target: Floats, bins: int = IDT_BINS) -> tuple[Floats, Floats]:
    """`bins + 1` edges over the common range, and the values they map to so that histograms agree.

    The original maps the first bin to 0 and values beyond the last one to `bins`, whatever the
    range is, and the highest values to the end of the range even if the target has none there.
    Here each edge maps to where the cumulative histogram of the target first reaches its value.
    """
    low = min(values.min(), target.min())
    high = max(values.max(), target.max())
    if high - low < 1e-9:
        return np.array([low, low + 1.0]), np.array([low, low + 1.0])
    edges = np.linspace(low, high, bins + 1)
    cumulated = [
        np.concatenate([[0.0], np.cumsum(np.histogram(v, bins, (low, high))[0]) / len(v)])
        for v in (values, target)
    ]
    # Just above 0: the first value that the target has.
    wanted = np.maximum(cumulated[0], 1e-12)
    at = np.clip(np.searchsorted(cumulated[1], wanted), 1, bins)
    below = cumulated[1][at - 1]
    within = (wanted - below) / np.maximum(cumulated[1][at] - below, 1e-12)
    return edges, low + (at - 1 + within) * (high - low) / bins


def rotations(quaternions: Floats) -> Floats:
    """The rotations `n 3 3` of quaternions `n 4` of any norm; uniform for normal components."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def sot(
    image: NDArray[np.float32],
    reference: NDArray[np.float32],
    mask: NDArray[np.float32] | None = None,
    *,
    statistics: MaskStatistics = "black",
    steps: int = SOT_STEPS,
    directions: int = SOT_DIRECTIONS,
    smooth: bool = True,
    random: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Move the colours of `image` to those of `reference` by sliced optimal transport.

    Arguments, result and errors are those of `rct`, and also:
        steps, directions: at each step, colours are matched by rank along this many random
            directions, and move by the mean of these changes.
        smooth: filter the change, so that areas change their colour but keep their texture.
        random: source of the directions; None: the same ones on every call.

    With a mask and "inside" statistics, pixels outside take the change of nearby pixels inside.
    """
    inside = inside_of(image, reference, mask)
    if inside is not None and not inside.any():
        return image.copy()
    start = measured(image, inside, statistics).astype(np.float64)
    moved = _slice_transport(
        start, measured(reference, inside, statistics), steps, directions, random
    )
    change = np.zeros(image.shape, np.float32)
    if inside is None or statistics == "black":
        change[:] = (moved - start).reshape(image.shape)
        share = np.float32(1)
    else:
        change[inside] = moved - start
        share = np.float32(1)
        if smooth:
            # Values so small that the filter treats them as equal colours.
            share = _smooth(inside[..., None].repeat(3, 2) * np.float32(1e-3)) * np.float32(1e3)
            share = np.maximum(share, np.float32(1e-6))
    if smooth:
        change = _smooth(change) / share
    return np.clip(image + change, np.float32(0), np.float32(1))


def _slice_transport(
    start: Floats,
    target: NDArray[Any],
    steps: int,
    directions: int,
    random: np.random.Generator | None,
) -> Floats:
    """Pixels n 3 moved onto the distribution of `target`, m 3."""
    random = random or np.random.default_rng(0)
    goal = target.astype(np.float64)
    ranks = np.linspace(0, len(goal) - 1, len(start))
    moved = start
    for _ in range(steps):
        axes = random.standard_normal((directions, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        wanted = np.zeros_like(moved)
        for axis in axes:
            along = moved @ axis
            order = np.argsort(along)
            goals = np.interp(ranks, np.arange(len(goal)), np.sort(goal @ axis))
            step = np.empty_like(along)
            step[order] = goals - along[order]
            wanted += step[:, None] * axis
        moved = moved + wanted / directions
    return moved


def _smooth(change: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(
        cv2.bilateralFilter(change, 0, SOT_SIGMA_COLOR, SOT_SIGMA_SPACE_PX), np.float32
    )


def inside_of(
    image: NDArray[Any], reference: NDArray[Any], mask: NDArray[Any] | None
) -> NDArray[np.bool_] | None:
    """Where the mask (`h w` or `h w 1`) is at least 0.5: `h w`, or None without a mask.

    Raises `InputError` if mask, image and reference differ in size.
    """
    if mask is None:
        return None
    if not image.shape[:2] == reference.shape[:2] == mask.shape[:2]:
        raise InputError(
            f"colour transfer: mask {mask.shape[:2]}, picture {image.shape[:2]} and reference "
            f"{reference.shape[:2]} differ in size"
        )
    return mask.reshape(mask.shape[:2]) >= 0.5


def measured(
    picture: NDArray[np.float32], inside: NDArray[np.bool_] | None, statistics: MaskStatistics
) -> NDArray[np.float32]:
    """The pixels of `h w 3` to measure, `n 3`: all, those inside, or all with black outside.

    Black is 0 in RGB and in Lab."""
    if inside is None:
        return picture.reshape(-1, 3)
    if statistics == "inside":
        return picture[inside]
    return np.where(inside[..., None], picture, np.float32(0.0)).reshape(-1, 3)


TRANSFERS: Registry[Transfer] = Registry(
    "colour transfer", {"rct": rct, "lct": lct, "mkl": mkl, "idt": idt, "sot": sot}
)
