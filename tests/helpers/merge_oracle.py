"""An independent, slow compositor: docs/internals/merging.md step by step on whole frames, OpenCV
only."""

from __future__ import annotations

import cv2
import numpy as np

from faceloom.geometry import frame_to_face, hull_mask

MODES = {
    "full": lambda prd, dst, hull: np.ones_like(prd),
    "dst": lambda prd, dst, hull: hull,
    "learned-prd": lambda prd, dst, hull: prd,
    "learned-dst": lambda prd, dst, hull: dst,
    "learned-prd*learned-dst": lambda prd, dst, hull: prd * dst,
    "learned-prd+learned-dst": lambda prd, dst, hull: np.clip(prd + dst, 0, 1),
}


def rct(image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """6.5, the masked form."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab_to = cv2.cvtColor(reference, cv2.COLOR_RGB2LAB)
    copy, copy_to = lab.copy(), lab_to.copy()
    copy[mask < 0.5] = 0
    copy_to[mask < 0.5] = 0
    mean, spread = copy.mean((0, 1)), copy.std((0, 1))
    moved = (lab - mean) * copy_to.std((0, 1)) / spread + copy_to.mean((0, 1))
    moved = np.clip(moved, (0, -127, -127), (100, 127, 127)).astype(np.float32)
    return np.clip(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), 0, 1)


def padded_mask(mask: np.ndarray, erode: int, blur: int) -> np.ndarray:
    """Steps 7 and 8 as written, padding and all: `n n` → `4n 4n`."""
    n = mask.shape[0]
    mask = np.where(mask < 1 / 255, 0, mask).astype(np.float32)
    mask = cv2.resize(mask, (4 * n, 4 * n), interpolation=cv2.INTER_CUBIC)
    mask = np.pad(mask, n)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, abs(erode)),) * 2)
    if erode > 0:
        mask = cv2.erode(mask, kernel)
    elif erode < 0:
        mask = cv2.dilate(mask, kernel)
    frame = n + blur // 2
    mask[:frame] = mask[-frame:] = 0
    mask[:, :frame] = mask[:, -frame:] = 0
    if blur > 0:
        size = blur + (blur % 2 == 0)
        mask = cv2.GaussianBlur(mask, (size, size), 0)
    return np.clip(mask[n:-n, n:-n], 0, 1)


def composite(
    frame: np.ndarray,
    landmarks: np.ndarray,
    n: int,
    face_type: str,
    predict,
    *,
    mask_mode: str,
    erode: int = 0,
    blur: int = 0,
    face_scale: int = 0,
    color_transfer: str = "none",
    on_one_grid: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """(image, mask), float, of one face. `predict` maps a crop to (face, mask_prd, mask_dst).

    `on_one_grid` is our two deliberate changes: the mask placed where its resizing put it, and
    the face's edge repeated beyond the crop.
    """
    h, w = frame.shape[:2]
    image = frame.astype(np.float32) / (255 if frame.dtype == np.uint8 else 65535)
    hull = hull_mask(landmarks, (h, w))
    # 6.4 says 1 + 0.01·scale, and that more means bigger; but T's square shrinks with its gain.
    gain = 1 / (1 + 0.01 * face_scale)
    to_crop = frame_to_face(landmarks, n, face_type)
    to_output = frame_to_face(landmarks, n, face_type, scale=gain)
    to_mask = frame_to_face(landmarks, 4 * n, face_type, scale=gain)
    if on_one_grid:
        to_mask[:, 2] += 1.5
    crop = np.clip(cv2.warpAffine(image, to_crop, (n, n), flags=cv2.INTER_CUBIC), 0, 1)
    crop_hull = np.clip(cv2.warpAffine(hull, to_crop, (n, n), flags=cv2.INTER_CUBIC), 0, 1)
    face, mask_prd, mask_dst = predict(crop)
    mask = padded_mask(MODES[mask_mode](mask_prd, mask_dst, crop_hull), erode, blur)
    back = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    full = np.clip(cv2.warpAffine(mask, to_mask, (w, h), flags=back), 0, 1)
    full[full < 1 / 255] = 0
    if color_transfer == "rct":
        small = cv2.resize(mask, (n, n), interpolation=cv2.INTER_CUBIC)
        face = rct(face, crop, (small > 0).astype(np.float32))
    border = cv2.BORDER_REPLICATE if on_one_grid else cv2.BORDER_CONSTANT
    laid = np.clip(cv2.warpAffine(face, to_output, (w, h), flags=back, borderMode=border), 0, 1)
    return image * (1 - full[..., None]) + laid * full[..., None], full
