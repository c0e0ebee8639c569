"""Preview faces by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faceloom.core import InputError
from faceloom.samples import SampleStore
from faceloom.training.previews.pair import choose_named


@pytest.fixture
def store(stores: tuple[SampleStore, SampleStore]) -> SampleStore:
    names = ("00001_0.jpg", "00002_0.jpg", "00002_0.png", "00010_0.jpg", "smile.jpg", "z.jpg")
    return replace(stores[0], names=names)


def test_order_and_count_are_the_users(store: SampleStore) -> None:
    assert choose_named(store, ["smile", "00001_0.jpg"], 2).tolist() == [4, 0]
    assert choose_named(store, ["smile", "00001_0.jpg"], 5).tolist() == [4, 0, 4, 0, 4]
    assert choose_named(store, ["z", "smile", "00001_0.jpg"], 2).tolist() == [5, 4]
    assert choose_named(store, ["00002_0.png"], 1).tolist() == [2]


def test_unknown_names_are_told_with_close_ones(store: SampleStore) -> None:
    with pytest.raises(InputError, match=r"'smiel\.jpg' is not in.*did you mean smile\.jpg"):
        choose_named(store, ["00001_0", "smiel.jpg"], 4)
    with pytest.raises(InputError, match=r"00001_0\.jpg, 00002_0\.jpg, 00002_0\.png …"):
        choose_named(store, ["???"], 4)
    with pytest.raises(InputError, match=r"ambiguous: 00002_0\.jpg, 00002_0\.png"):
        choose_named(store, ["00002_0"], 4)
    with pytest.raises(InputError, match="at least"):
        choose_named(store, [], 4)
