"""Duplicates against all pairs looked at one by one, and the promises made about them."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError
from faceloom.curate.groups.duplicates import STRENGTHS, FaceTraits, find_duplicates, keep_order


def _walk(n: int, seed: int, step: float = 1.0) -> FaceTraits:
    """Faces of a head that turns and talks at random, some values missing."""
    rng = np.random.default_rng(seed)
    bits = np.cumsum(rng.random((n, 64)) < 0.04 * step, axis=0) % 2
    vectors = rng.normal(size=128) + np.cumsum(rng.normal(size=(n, 128)) * 0.1 * step, axis=0)
    angles = np.cumsum(rng.normal(size=(n, 3)) * step, axis=0)
    shapes = np.clip(np.cumsum(rng.normal(size=(n, 52)) * 0.02 * step, axis=0) + 0.5, 0, 1)
    angles[rng.random(n) < 0.05] = np.nan
    shapes[rng.random(n) < 0.05] = np.nan
    vectors[rng.random(n) < 0.03] = np.nan
    hashes = np.packbits(bits, axis=1)
    hashes[rng.random(n) < 0.03] = 0
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    copies = rng.integers(0, n, n // 5)
    order = rng.permutation(np.concatenate([np.arange(n), copies]))
    return FaceTraits(
        hashes[order],
        unit.astype(np.float32)[order],
        angles[order],
        shapes.astype(np.float32)[order],
    )


def _near(traits: FaceTraits, a: int, b: int, strength: int) -> float:
    """The largest share of a limit, by scalar arithmetic; infinite where not near."""
    ints = [int.from_bytes(traits.phash[row].tobytes(), "big") for row in (a, b)]
    if 0 in ints:
        return math.inf
    bits = (ints[0] ^ ints[1]).bit_count()
    best = math.inf
    for limits in (STRENGTHS[0], STRENGTHS[strength]):
        shares = [bits / limits.hash_bits]
        one, other = traits.angles_deg[a], traits.angles_deg[b]
        roll = abs(one[2] - other[2])
        pairs = [
            (1 - math.fsum(traits.embedding[a] * traits.embedding[b]), limits.identity),
            (abs(one[0] - other[0]), limits.turn_deg),
            (abs(one[1] - other[1]), limits.turn_deg),
            (min(roll, 360 - roll), limits.roll_deg),
            (math.dist(traits.blendshapes[a], traits.blendshapes[b]), limits.expression),
        ]
        for distance, bound in pairs:
            if math.isnan(distance):
                shares.append(0.0 if bits <= 2 else math.inf)
            else:
                shares.append(distance / (bound + 1e-6))
        if max(shares) <= 1:
            best = min(best, max(shares))
    return best


@pytest.mark.parametrize("strength", range(6))
def test_choice_is_that_of_all_pairs(strength: int) -> None:
    traits = _walk(150, strength)
    n = len(traits.phash)
    order = np.random.default_rng(7).permutation(n)
    found = find_duplicates(traits, strength, order=order)
    kept: list[int] = []
    for row in order.tolist():
        near = [(_near(traits, row, other, strength), other) for other in kept]
        share, other = min(near, default=(math.inf, row))
        if share <= 1:
            assert _near(traits, row, int(found.kept_for[row]), strength) == pytest.approx(
                share, abs=1e-4
            )
        else:
            assert found.kept_for[row] == row, other
            kept.append(row)
    assert 0 < len(found.dropped) == n - len(kept)


def test_nothing_drifts_and_strengths_grow() -> None:
    """A head that turns by half a degree a frame: every face dropped is near to one that stays,
    and the faces that stay lie a limit apart, all along the way."""
    n = 400
    traits = FaceTraits(
        np.tile(np.arange(1, 9, dtype=np.uint8), (n, 1)),
        np.tile(np.eye(128, dtype=np.float32)[:1], (n, 1)),
        np.stack([np.zeros(n), np.arange(n) * 0.5, np.zeros(n)], axis=1),
        np.zeros((n, 52), np.float32),
    )
    counts = []
    for strength, limits in enumerate(STRENGTHS):
        found = find_duplicates(traits, strength)
        apart = np.abs(np.arange(n) - found.kept_for) * 0.5
        assert apart.max() <= limits.turn_deg
        counts.append(n - len(found.dropped))
        kept = np.flatnonzero(found.kept_for == np.arange(n))
        assert (np.diff(kept) * 0.5 > limits.turn_deg).all()
    assert counts == sorted(counts, reverse=True) and counts[0] == n
    nested = STRENGTHS[1:]
    for field in ("hash_bits", "identity", "turn_deg", "expression"):
        values = [getattr(limits, field) for limits in nested]
        assert values == sorted(values)


def test_another_expression_is_no_duplicate() -> None:
    traits = _walk(2, 0, step=0.0)
    same = FaceTraits(
        traits.phash[[0, 0]] | 1,
        np.eye(128, dtype=np.float32)[[0, 0]],
        np.zeros((2, 3)),
        np.zeros((2, 52), np.float32),
    )
    assert len(find_duplicates(same, 0).dropped) == 1
    same.blendshapes[1, 25] = 0.9
    for strength in range(6):
        assert len(find_duplicates(same, strength).dropped) == 0


def test_groups_keep_their_own() -> None:
    traits = _walk(60, 1, step=0.3)
    known = traits.phash.any(axis=1)
    half = np.arange(len(known)) % 2
    found = find_duplicates(traits, 3, groups=half)
    assert (half[found.kept_for] == half).all()
    together = find_duplicates(traits, 3)
    assert len(together.dropped) > len(found.dropped) > 0


def test_the_best_face_comes_first() -> None:
    order = keep_order(
        face_px=np.array([100.0, 200, 100, np.nan]),
        sharpness=np.array([0.1, 0.1, 0.3, 0.1]),
        occlusion=np.array([0.0, 0.5, 0.0, 0.0]),
        score=np.array([0.9, 0.9, np.nan, 0.9]),
    )
    assert order.tolist() == [2, 0, 3, 1]
    unknown = np.full(3, np.nan)
    same = keep_order(face_px=unknown, sharpness=unknown, occlusion=unknown, score=unknown)
    assert same.tolist() == [0, 1, 2]


def test_many_faces_take_little_memory() -> None:
    """10 000 faces of one pose: a table of pairs would take 100 MB a byte."""
    n = 10_000
    rng = np.random.default_rng(0)
    traits = FaceTraits(
        rng.integers(0, 256, (n, 8), dtype=np.uint8),
        np.tile(np.eye(128, dtype=np.float32)[:1], (n, 1)),
        np.zeros((n, 3)),
        np.zeros((n, 52), np.float32),
    )
    tracemalloc.start()
    find_duplicates(traits, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_wrong_input_and_cancel() -> None:
    traits = _walk(10, 0)
    for strength in (-1, 6):
        with pytest.raises(InputError, match="0 to 5"):
            find_duplicates(traits, strength)
    with pytest.raises(InputError):
        find_duplicates(traits, 1, order=np.arange(3))
    with pytest.raises(InputError):
        find_duplicates(traits, 1, groups=np.arange(3))
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        find_duplicates(traits, 1, cancel=cancel)
