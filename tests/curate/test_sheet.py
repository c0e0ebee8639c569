"""Contact sheets: where each picture lies, that none is distorted, and that text stays in place."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.core import InputError
from faceloom.curate.sheet import contact_sheet


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def colours(count: int) -> list[tuple[int, int, int]]:
    return [(60 + 7 * k, 250 - 9 * k, 100 + 5 * k) for k in range(count)]


def box(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of all pixels of exactly this colour."""
    ys, xs = np.nonzero((sheet == colour).all(2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def test_pictures_lie_in_rows_in_their_order():
    wanted = colours(7)
    sheet = contact_sheet([plain(c) for c in wanted], columns=3, cell_px=32)
    boxes = [box(sheet, colour) for colour in wanted]
    assert all((r - l, b - t) == (32, 32) for l, t, r, b in boxes)
    reading_order = sorted(range(7), key=lambda k: (boxes[k][1], boxes[k][0]))
    assert reading_order == list(range(7))
    assert len({b[1] for b in boxes}) == 3
    assert len({b[0] for b in boxes}) == 3


def test_a_picture_keeps_its_shape_and_is_centred():
    square, wide = plain((200, 10, 10)), plain((10, 200, 10), 20, 80)
    sheet = contact_sheet([square, wide], cell_px=64)
    l, t, r, b = box(sheet, (10, 200, 10))
    assert (r - l, b - t) == (64, 16)
    assert t - box(sheet, (200, 10, 10))[1] == 24


def test_captions_make_room_below_and_touch_no_picture():
    wanted = colours(4)
    images = [plain(c) for c in wanted]
    bare = contact_sheet(images, columns=2, cell_px=48)
    texts = ["yaw −12.3°\nZoë", "a caption that is far too long for its cell", "", "x"]
    told = contact_sheet(images, texts, columns=2, cell_px=48, title="by yaw")
    assert told.shape[0] > bare.shape[0]
    assert told.shape[1] == bare.shape[1]
    for colour in wanted:
        l, t, r, b = box(told, colour)
        assert (r - l, b - t) == (48, 48)
        assert (told[t:b, l:r] == colour).all()
    # The long caption stops before the sheet's edge: the last columns are background.
    l, t, r, b = box(told, wanted[1])
    below = told[b : b + 30]
    assert below[:, l:r].max() > 150
    assert below[:, r + 1 :].max() < 60


def test_fewer_pictures_than_columns_make_a_narrow_sheet():
    assert contact_sheet([plain((9, 9, 9))], columns=10, cell_px=50).shape[1] < 100


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        ([], (), "at least one"),
        ([plain((1, 2, 3))], ("a", "b"), "2 captions"),
        ([np.zeros((4, 4), np.uint8)], (), "picture 0"),
        ([plain((1, 2, 3)), np.zeros((4, 4, 3), np.float32)], (), "picture 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(images, captions, message):
    with pytest.raises(InputError, match=message):
        contact_sheet(images, captions)


def test_a_sheet_that_no_file_could_hold_is_refused():
    with pytest.raises(InputError, match="65000 per side"):
        contact_sheet([plain((1, 2, 3))] * 600, columns=1, cell_px=128)
