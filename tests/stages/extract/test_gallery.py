"""The gallery of persons against a slow reading of what it says."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.stages.extract.gallery import MOST_VECTORS, Gallery


def unit(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(0, 1, 128)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_likeness_is_the_mean_of_the_likest() -> None:
    rng = np.random.default_rng(7)
    gallery, slow = Gallery(), list[list[np.ndarray]]()
    for person in range(120):
        slow.append([unit(rng) for _ in range(int(rng.integers(0, 4)))])
        gallery.add(person, slow[-1])
    for _ in range(400):
        person = int(rng.integers(0, 120))
        slow[person].append(unit(rng))
        gallery.add(person, slow[person][-1:])
    gallery.add(3, [unit(rng) for _ in range(60)])
    assert len(gallery) == 120 and len(gallery.of(3)) == MOST_VECTORS
    for person in {*range(120)} - {3}:
        np.testing.assert_array_equal(gallery.of(person), slow[person][:MOST_VECTORS])
    slow[3] = gallery.of(3)
    asked = [unit(rng) for _ in range(3)]
    expected = [
        float(np.mean([max(float(a @ b) for b in known[:MOST_VECTORS]) for a in asked]))
        if known
        else -1.0
        for known in slow
    ]
    np.testing.assert_allclose(gallery.likeness(asked), expected, atol=1e-6)


def test_nothing_is_like_nothing() -> None:
    gallery = Gallery()
    assert gallery.likeness([]).shape == (0,) and gallery.of(0) == []
    gallery.add(0, [])
    assert gallery.likeness([np.ones(128, np.float32)]).tolist() == [-1]
    assert gallery.likeness([]).tolist() == [-1]
    with pytest.raises(ValueError, match="one after the other"):
        gallery.add(2, [])
