"""Numbers with their nouns, and words that were probably meant."""

from __future__ import annotations

from faceloom.core.words import closest, counted


def test_only_one_is_singular():
    assert [counted(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]


def test_the_closest_word_in_any_case():
    assert closest("saedh", ["AMP", "SAEHD"]) == "SAEHD"
    assert closest("extrat", ["train", "extract"]) == "extract"
    assert closest("qqq", ["train", "extract"]) is None
