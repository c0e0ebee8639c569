"""HDR code values to SDR and back: PQ and HLG, primaries, one invertible tone curve.

Sources: ITU-R BT.2100 (PQ, HLG and its system gamma), BT.2408 (203 cd/m² reference white),
BT.1886 (display gamma). The curve is linear up to a knee and an extended Reinhard above it, on
luminance, so that hue stays and the inverse is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from faceloom.media.colorimetry import HDR_TRANSFERS
from faceloom.media.types import FootageInfo, Image

Floats = npt.NDArray[np.float32]

REFERENCE_WHITE = 203.0
PQ_PEAK = 10000.0
HLG_PEAK = 1000.0
HLG_GAMMA = 1.2
DISPLAY_GAMMA = 2.4
KNEE = 0.5
_HLG_SCALE = HLG_PEAK / REFERENCE_WHITE

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073

CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
WHITE_D65 = (0.3127, 0.3290)


class WorkingTransform(Protocol):
    """Converts between code values of the footage and the SDR code values that networks expect."""

    def to_working(self, codes: npt.NDArray[Any]) -> Floats:
        """`... 3` RGB code values in [0, 1] to SDR code values, float32; may leave [0, 1]."""
        ...

    def from_working(self, working: npt.NDArray[Any]) -> Floats:
        """The inverse of `to_working`, clipped to [0, 1]."""
        ...


class IdentityTransform:
    """SDR footage: the code values are the working values."""

    def to_working(self, codes: npt.NDArray[Any]) -> Floats:
        return np.asarray(codes, np.float32)

    def from_working(self, working: npt.NDArray[Any]) -> Floats:
        return np.asarray(working, np.float32)


@dataclass(frozen=True)
class HdrTransform:
    """PQ or HLG in `primaries` to BT.709 SDR, and exactly back.

    `peak` is the brightest value of the footage in units of reference white; it becomes SDR white.
    """

    transfer: str
    primaries: str
    peak: float

    def to_working(self, codes: npt.NDArray[Any]) -> Floats:
        light = self.light(np.clip(np.asarray(codes, np.float32), 0.0, 1.0))
        gain = self.gain(_dot(light, _luminance_weights(self.primaries)))
        return encode_sdr(_matmul(_scaled(light, gain), self.to_bt709()))

    def from_working(self, working: npt.NDArray[Any]) -> Floats:
        sdr = _signed_power(np.asarray(working, np.float32), DISPLAY_GAMMA)
        linear = _matmul(sdr, primaries_matrix("bt709", self.primaries))
        luminance = np.maximum(_dot(linear, _luminance_weights(self.primaries)), 0.0)
        display = _expand(luminance, self.peak)
        light = display
        if self.transfer != "smpte2084":
            light = (display / np.float32(_HLG_SCALE)) ** np.float32(1 / HLG_GAMMA)
        scaled = np.maximum(_scaled(linear, light / np.maximum(luminance, 1e-7)), 0.0)
        if self.transfer == "smpte2084":
            return nits_to_pq(scaled * np.float32(REFERENCE_WHITE))
        return scene_to_hlg(scaled)

    def light(self, codes: Floats) -> Floats:
        """Code values to linear light: PQ in units of reference white, HLG scene light."""
        if self.transfer == "smpte2084":
            return pq_to_nits(codes) / np.float32(REFERENCE_WHITE)
        return hlg_to_scene(codes)

    def gain(self, luminance: Floats) -> Floats:
        """The factor from `light` to SDR light, a function of luminance only."""
        display = luminance
        if self.transfer != "smpte2084":
            display = np.float32(_HLG_SCALE) * luminance ** np.float32(HLG_GAMMA)
        return (_compress(display, self.peak) / np.maximum(luminance, 1e-7)).astype(np.float32)

    def to_bt709(self) -> Floats:
        """3×3 for linear light, from the primaries of the footage to those of SDR."""
        return primaries_matrix(self.primaries, "bt709")


def working_transform(info: FootageInfo) -> WorkingTransform:
    """The conversion of this footage to SDR working values: identity unless it is HDR."""
    if not info.hdr:
        return IdentityTransform()
    peak = HLG_PEAK
    if info.color.transfer == "smpte2084" and info.hdr_metadata and info.hdr_metadata.max_cll:
        peak = float(np.clip(info.hdr_metadata.max_cll[0] or HLG_PEAK, 400.0, 4000.0))
    primaries = info.color.primaries
    known = primaries if primaries in CHROMATICITIES else "bt2020"
    return HdrTransform(info.color.transfer, known, peak / REFERENCE_WHITE)


class ToneMapper:
    """HDR frames to SDR by tables: the same as `HdrTransform.to_working`, fast enough for video."""

    def __init__(self, transform: HdrTransform) -> None:
        ramp = np.linspace(0.0, 1.0, 65536, dtype=np.float32)
        self._light = transform.light(ramp)
        self._top = float(self._light[-1])
        # Tables are indexed by square roots, for more resolution in dark tones.
        self._gain = transform.gain(ramp * ramp * np.float32(self._top))
        self._codes = np.round(encode_sdr(ramp * ramp) * 255).astype(np.uint8)
        self._weights = _luminance_weights(transform.primaries).reshape(1, 3)
        self._matrix = transform.to_bt709()

    def __call__(self, image: Image) -> Image:
        """`h w 3` RGB uint16 HDR code values to uint8 SDR."""
        light = self._light[image]
        luminance = cv2.transform(light, self._weights)
        gain = self._gain[_root_index(np.minimum(luminance / np.float32(self._top), 1.0))]
        sdr = cv2.transform(cv2.multiply(light, cv2.merge([gain, gain, gain])), self._matrix)
        return self._codes[_root_index(np.clip(sdr, 0.0, 1.0))]


def _root_index(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    roots = np.sqrt(values)
    roots *= np.float32(65535)
    roots += np.float32(0.5)
    return roots.astype(np.uint16)


def encode_sdr(light: Floats) -> Floats:
    """Linear SDR light to code values, for the BT.1886 display; negative light keeps its sign."""
    return _signed_power(light, 1 / DISPLAY_GAMMA)


def is_hdr(transfer: str) -> bool:
    """Whether a transfer characteristic is PQ or HLG."""
    return transfer in HDR_TRANSFERS


def pq_to_nits(codes: Floats) -> Floats:
    """PQ code values in [0, 1] to cd/m². Computed in float64, since dark codes differ little."""
    power = codes.astype(np.float64) ** (1 / _M2)
    fraction = np.maximum(power - _C1, 0) / (_C2 - _C3 * power)
    return (fraction ** (1 / _M1) * PQ_PEAK).astype(np.float32)


def nits_to_pq(nits: Floats) -> Floats:
    """cd/m² to PQ code values, clipped to [0, 1]."""
    power = np.clip(nits.astype(np.float64) / PQ_PEAK, 0, 1) ** _M1
    return np.clip(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2, 0, 1).astype(np.float32)


def hlg_to_scene(codes: Floats) -> Floats:
    """HLG code values in [0, 1] to scene light in [0, 1]."""
    high = (np.exp((codes - np.float32(_C)) / np.float32(_A)) + np.float32(_B)) / 12
    return np.where(codes <= 0.5, codes * codes / 3, high).astype(np.float32)


def scene_to_hlg(scene: Floats) -> Floats:
    """Scene light to HLG code values, clipped to [0, 1]."""
    scene = np.clip(scene, 0, 1)
    high = np.float32(_A) * np.log(np.maximum(12 * scene - np.float32(_B), 1e-7)) + np.float32(_C)
    return np.clip(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), 0, 1).astype(np.float32)


def _compress(light: Floats, peak: float) -> Floats:
    white = (peak - KNEE) / (1 - KNEE)
    x = np.maximum(light - KNEE, 0) / (1 - KNEE)
    curved = x * (1 + x / white**2) / (1 + x)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * curved).astype(np.float32)


def _expand(light: Floats, peak: float) -> Floats:
    white = (peak - KNEE) / (1 - KNEE)
    y = (light - KNEE) / (1 - KNEE)
    # The positive root of x²/w² + x(1 - y) - y = 0, in the form without cancellation.
    root = np.sqrt((1 - y) ** 2 + 4 * np.maximum(y, 0) / white**2)
    x = 2 * y / np.maximum(root + (1 - y), 1e-7)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * x).astype(np.float32)


def _signed_power(values: Floats, exponent: float) -> Floats:
    return np.copysign(np.abs(values) ** np.float32(exponent), values)


def _scaled(image: Floats, gain: npt.NDArray[Any]) -> Floats:
    return (image * gain[..., None]).astype(np.float32, copy=False)


def _dot(image: Floats, weights: Floats) -> Floats:
    return image @ weights


def _matmul(image: Floats, matrix: Floats) -> Floats:
    return image @ matrix.T


@cache
def _luminance_weights(primaries: str) -> Floats:
    return _to_xyz(primaries)[1].astype(np.float32)


@cache
def primaries_matrix(source: str, target: str) -> Floats:
    """3×3 between linear RGB of two sets of primaries, both of white D65."""
    return (np.linalg.inv(_to_xyz(target)) @ _to_xyz(source)).astype(np.float32)


def _to_xyz(primaries: str) -> npt.NDArray[np.float64]:
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in CHROMATICITIES[primaries]]).T
    x, y = WHITE_D65
    white = np.array([x / y, 1.0, (1 - x - y) / y])
    return columns * np.linalg.solve(columns, white)
