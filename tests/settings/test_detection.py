"""Detectors, landmarkers and turns as settings name them."""

from __future__ import annotations

import pytest

from faceloom.core import InputError
from faceloom.detect import DETECTORS, LANDMARKERS
from faceloom.settings.detection import (
    DETECTOR_NAMES,
    LANDMARKER_NAMES,
    default_side_px,
    detector_names,
    parse_turns,
)


def test_settings_name_what_the_registries_hold() -> None:
    assert sorted(DETECTOR_NAMES) == list(DETECTORS)
    assert sorted(LANDMARKER_NAMES) == list(LANDMARKERS)


def test_turns_and_names_are_read_from_text() -> None:
    assert parse_turns("auto") == "auto" and parse_turns(None) is None
    assert parse_turns("0, 90") == (0, 90) == parse_turns([0, "90", 0])
    assert parse_turns(270) == (270,)
    for wrong in ("45", "", "0,,90", [], "upright"):
        with pytest.raises(ValueError, match="270"):
            parse_turns(wrong)
    assert detector_names("yunet, centerface,yunet") == ("yunet", "centerface")
    with pytest.raises(InputError, match="mtcnn"):
        detector_names("yunet,retina")
    assert (default_side_px("yunet"), default_side_px("mtcnn")) == (640, 1920)
    with pytest.raises(InputError, match="did you mean 'centerface'"):
        detector_names("center-face")
