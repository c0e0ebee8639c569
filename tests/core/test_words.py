"""Numbers with their nouns."""

from __future__ import annotations

from faceloom.core.words import counted


def test_only_one_is_singular():
    assert [counted(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
