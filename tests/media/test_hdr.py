"""PQ, HLG and the tone curve: golden values of BT.2100 and BT.2408, and the inverse."""

from __future__ import annotations

import numpy as np
import pytest

from faceloom.media.hdr import (
    HdrTransform,
    ToneMapper,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    primaries_matrix,
    scene_to_hlg,
    working_transform,
)
from faceloom.media.types import ColorTags, FootageInfo, HdrMetadata


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_pq_golden_values():
    """BT.2408 table 1 and BT.2100: 100 cd/m² is 50.8 %, 203 is 58.1 %, 1000 is 75.2 %."""
    np.testing.assert_allclose(
        nits_to_pq(f32(0, 100, 203, 1000, 10000)), [0, 0.50808, 0.58069, 0.75183, 1], atol=2e-5
    )
    np.testing.assert_allclose(pq_to_nits(f32(0.50808, 0.58069, 1)), [100, 203, 10000], rtol=2e-4)


def test_hlg_golden_values():
    """BT.2100: half signal is a twelfth of scene light; reference white of BT.2408 is 75 %."""
    np.testing.assert_allclose(hlg_to_scene(f32(0, 0.5, 1)), [0, 1 / 12, 1], atol=1e-6)
    np.testing.assert_allclose(scene_to_hlg(f32(0, 1 / 12, 1)), [0, 0.5, 1], atol=1e-6)
    display = 1000 * float(hlg_to_scene(f32(0.75))[0]) ** 1.2
    assert display == pytest.approx(203, abs=1.0)


def test_primaries_of_bt2087():
    """The matrix of BT.2087 from BT.2020 to BT.709."""
    expected = [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ]
    np.testing.assert_allclose(primaries_matrix("bt2020", "bt709"), expected, atol=1e-4)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("primaries", ["bt2020", "smpte432"])
def test_working_values_lead_back(transfer, primaries):
    transform = HdrTransform(transfer, primaries, 1000 / 203)
    top = 0.75 if transfer == "smpte2084" else 1.0
    codes = np.random.default_rng(0).uniform(0.02, top, (40, 50, 3)).astype(np.float32)
    back = transform.from_working(transform.to_working(codes))
    # Within a third of a code of ten bits.
    assert np.abs(back - codes).max() < 3.3e-4


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_tone_curve(transfer):
    transform = HdrTransform(transfer, "bt2020", 1000 / 203)
    ramp = np.linspace(0, 0.75 if transfer == "smpte2084" else 1.0, 200, dtype=np.float32)
    gray = transform.to_working(np.repeat(ramp[:, None], 3, axis=1))
    assert np.ptp(gray, axis=1).max() < 1e-5
    assert (np.diff(gray[:, 0]) > 0).all()
    assert gray[0, 0] == pytest.approx(0, abs=1e-4)
    assert gray[-1, 0] == pytest.approx(1.0, abs=5e-3)


def test_tables_equal_the_function():
    for transfer in ("smpte2084", "arib-std-b67"):
        transform = HdrTransform(transfer, "bt2020", 1000 / 203)
        codes = np.random.default_rng(1).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
        codes[0] = np.linspace(0, 65535, 64)[:, None]
        expected = np.clip(transform.to_working(codes / np.float32(65535)), 0, 1) * 255
        assert np.abs(ToneMapper(transform)(codes) - expected).max() < 0.55


def test_transform_of_footage(tmp_path):
    info = FootageInfo((tmp_path,), "video", (8, 8), fps=25, frame_count=1, duration_s=1.0)
    codes = np.random.default_rng(2).random((4, 4, 3))
    same = working_transform(info)
    np.testing.assert_allclose(same.from_working(same.to_working(codes)), codes, atol=1e-7)
    tags = ColorTags("bt2020nc", "limited", "bt2020", "smpte2084")
    hdr = FootageInfo(
        (tmp_path,),
        "video",
        (8, 8),
        fps=25,
        frame_count=1,
        duration_s=1.0,
        color=tags,
        hdr=True,
        hdr_metadata=HdrMetadata(None, (4000, 400)),
    )
    bright, usual = working_transform(hdr), HdrTransform("smpte2084", "bt2020", 1000 / 203)
    code = nits_to_pq(f32(2000, 2000, 2000))
    assert bright.to_working(code)[0] < 1 < usual.to_working(code)[0]
