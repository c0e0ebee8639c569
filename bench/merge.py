"""Measure CPU milliseconds per frame for compositing and PNG writing, without the network.

    python bench/merge.py [--threads 1] [--rounds 15]

Frames are gradients with a little noise, which is hard to compress as PNG; the face spans a third
of the frame's height. Reports the median of the rounds in CPU time of all threads, so other work on
the machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from faceloom.compositing import (
    FaceGeometry,
    MergeSettings,
    SwappedFace,
    cut_faces,
    paste_faces,
)
from faceloom.faces import FaceRecord
from faceloom.geometry import MODEL_POINTS_3D
from faceloom.media import write_image

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
SETTINGS = {
    "hard edge": MergeSettings(color_transfer="none"),
    "rct, erode 20, blur 60": MergeSettings(erode=20, blur=60),
    "rct, erode 200, blur 200": MergeSettings(erode=200, blur=200),
    "dst hull, rct, blur 60": MergeSettings(mask_mode="dst", blur=60),
}


def make_frame(size: tuple[int, int], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    h, w = size
    base = cv2.resize(rng.random((h // 40, w // 40, 3), np.float32), (w, h))
    texture = rng.normal(0, 0.012, (h, w, 1)).astype(np.float32)
    top = 255 if dtype == "uint8" else 65535
    return np.rint(np.clip(base + texture, 0, 1) * top).astype(dtype)


def make_record(size: tuple[int, int]) -> FaceRecord:
    points = MODEL_POINTS_3D[:, :2]
    points = (points - points.mean(0)) * (size[0] / 3 / np.ptp(points[:, 1]))
    points = (points + np.array([size[1] / 2, size[0] / 2])).astype(np.float32)
    rect = np.array([0, 0, 10, 10])
    return FaceRecord("whole_face", points, "00001.png", rect, points)


def masks(n: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    soft = 1 / (1 + np.exp((np.hypot((x - 0.5) / 0.32, (y - 0.55) / 0.38) - 1) * 20))
    return soft.astype(np.float32), soft.astype(np.float32)


def median_ms(work: Callable[[], object], rounds: int) -> float:
    work()
    times: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    print(f"{'frame':14} {'model':6} {'settings':26} {'cut':>7} {'paste':>7}  ms")
    for label, size in SIZES.items():
        for dtype in ("uint8", "uint16"):
            bench_frame(f"{label} {dtype}", size, dtype, arguments.rounds)


def bench_frame(label: str, size: tuple[int, int], dtype: str, rounds: int) -> None:
    frame, record = make_frame(size, dtype), make_record(size)
    for n in (128, 256):
        geometry = FaceGeometry(n, "whole_face")
        crops = cut_faces(frame, [record], geometry)
        swapped = [SwappedFace(crop.image, *masks(n)) for crop in crops]
        cut = median_ms(lambda geometry=geometry: cut_faces(frame, [record], geometry), rounds)
        for name, settings in SETTINGS.items():
            paste = median_ms(
                lambda settings=settings, crops=crops, swapped=swapped: paste_faces(
                    frame, crops, swapped, settings
                ),
                rounds,
            )
            print(f"{label:14} {n:<6} {name:26} {cut:7.1f} {paste:7.1f}")
    with tempfile.TemporaryDirectory() as folder:
        file, mask = Path(folder) / "frame.png", np.zeros(size, np.uint8)
        mask_file = Path(folder) / "mask.png"
        image_ms = median_ms(lambda: write_image(file, frame), max(3, rounds // 3))
        mask_ms = median_ms(lambda: write_image(mask_file, mask), max(3, rounds // 3))
        print(f"{label:14} PNG of the frame {image_ms:.1f} ms, of the mask {mask_ms:.1f} ms")


if __name__ == "__main__":
    main()
