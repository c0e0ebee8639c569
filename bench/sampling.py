"""Measure training samples per core and second, and how fast a faceset loads.

    python bench/sampling.py [--resolution 128] [--batch 4] [--threads 1] [--device cpu] [FACESET]

Without a faceset, random pictures are used; the work is the same. Batches are drawn as in training,
with the C library keeping freed memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from faceloom.nn import kept_memory
from faceloom.samples import AugmentSettings, References, SampleStore, draw_batch, load_samples

CASES = {
    "warp, flip": AugmentSettings(random_flip=True),
    "no warp": AugmentSettings(random_flip=True, random_warp=False),
    "warp, flip, hsv": AugmentSettings(random_flip=True, hsv_power=0.1),
    "warp, flip, rct": AugmentSettings(random_flip=True, ct_mode="rct"),
    "warp, flip, lct": AugmentSettings(random_flip=True, ct_mode="lct"),
    "warp, flip, mkl": AugmentSettings(random_flip=True, ct_mode="mkl"),
    "warp, flip, idt": AugmentSettings(random_flip=True, ct_mode="idt"),
    "warp, flip, sot": AugmentSettings(random_flip=True, ct_mode="sot"),
    "warp, flip, rct of whole pictures": AugmentSettings(
        random_flip=True, ct_mode="rct", ct_statistics="whole"
    ),
    "warp, flip, sot of whole pictures": AugmentSettings(
        random_flip=True, ct_mode="sot", ct_statistics="whole"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faceset", type=Path, nargs="?")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3.0, help="per row")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    store = make_store(arguments.faceset, arguments.resolution, device, arguments.threads)
    print(
        f"samples a second of CPU time: {arguments.resolution} px, batch {arguments.batch}, "
        f"{arguments.threads} threads, {device}"
    )
    print("| | median | best |\n|---|---|---|")
    with kept_memory():
        for name, settings in CASES.items():
            rates = measure(
                store, settings, arguments.resolution, arguments.batch, arguments.seconds
            )
            print(f"| {name} | {statistics.median(rates):.0f} | {max(rates):.0f} |", flush=True)


def make_store(
    faceset: Path | None, resolution: int, device: torch.device, threads: int
) -> SampleStore:
    """The faceset's faces, or 64 random ones."""
    if faceset is not None:
        began = time.perf_counter()
        store = load_samples(
            faceset, size_px=resolution, face_type="full_face", device=device, threads=threads
        )
        elapsed = time.perf_counter() - began
        print(f"loaded {len(store)} faces in {elapsed:.2f} s, {len(store) / elapsed:.0f} per s")
        return store
    generator = torch.Generator().manual_seed(1)
    planes = torch.randint(
        0, 256, (64, 5, resolution, resolution), dtype=torch.uint8, generator=generator
    )
    names = tuple(str(i) for i in range(64))
    return SampleStore(planes.to(device), names, device, np.zeros(64, np.float32))


def measure(
    store: SampleStore, settings: AugmentSettings, resolution: int, batch: int, seconds: float
) -> list[float]:
    """Samples per second of CPU time (wall time on other devices) for each of many batches."""
    clock = time.process_time if store.device.type == "cpu" else time.perf_counter
    generator = torch.Generator().manual_seed(1)
    rates: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(rates) < 5:
        first = len(rates) * batch
        indices = np.arange(first, first + batch) % len(store)
        others = References(store, (indices * 7 + 3) % len(store))
        began = clock()
        draw_batch(store, indices, generator, settings, resolution=resolution, references=others)
        if store.device.type == "cuda":
            torch.cuda.synchronize(store.device)
        rates.append(batch / max(clock() - began, 1e-9))
    return rates[2:]


if __name__ == "__main__":
    main()
