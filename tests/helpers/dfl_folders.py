"""Model folders as DeepFaceLab leaves them, made with the standard library's pickle alone.

Tensor names and shapes are written out here from the reference's tables (docs/internals/networks.md
and docs/internals/formats.md), not taken from our networks.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

Shapes = dict[str, tuple[int, ...]]


def conv(name: str, k: int, i: int, o: int) -> Shapes:
    return {f"{name}/weight:0": (k, k, i, o), f"{name}/bias:0": (o,)}


def dense(name: str, i: int, o: int) -> Shapes:
    return {f"{name}/weight:0": (i, o), f"{name}/bias:0": (o,)}


def up(name: str, i: int, o: int) -> Shapes:
    return conv(f"{name}/conv1", 3, i, 4 * o)


def res(name: str, c: int) -> Shapes:
    return {**conv(f"{name}/conv1", 3, c, c), **conv(f"{name}/conv2", 3, c, c)}


def encoder(flags: str, e: int) -> Shapes:
    if "t" not in flags:
        widths = [3, e, 2 * e, 4 * e, 8 * e]
        return {
            key: shape
            for n in range(4)
            for key, shape in conv(f"down1/downs_{n}/conv1", 5, widths[n], widths[n + 1]).items()
        }
    widths = [3, e, 2 * e, 4 * e, 8 * e, 8 * e]
    shapes = {**res("res1", e), **res("res5", 8 * e)}
    for n in range(5):
        shapes |= conv(f"down{n + 1}/conv1", 5, widths[n], widths[n + 1])
    return shapes


def inter(flags: str, resolution: int, e: int, ae: int, ae_out: int) -> Shapes:
    flat = 8 * e * (resolution // (32 if "t" in flags else 16)) ** 2
    side = resolution // (32 if "d" in flags else 16)
    shapes = {**dense("dense1", flat, ae), **dense("dense2", ae, side * side * ae_out)}
    return shapes if "t" in flags else {**shapes, **up("upscale1", ae_out, ae_out)}


def decoder(flags: str, incoming: int, d: int, dm: int) -> Shapes:
    multiples = [8, 8, 4, 2] if "t" in flags else [8, 4, 2]
    shapes: Shapes = {}
    before = [incoming, *(d * m for m in multiples)]
    for n, m in enumerate(multiples):
        shapes |= up(f"upscale{n}", before[n], d * m) | res(f"res{n}", d * m)
    mask = [*multiples, 1] if "d" in flags else multiples
    before_mask = [incoming, *(dm * m for m in mask)]
    for n, m in enumerate(mask):
        shapes |= up(f"upscalem{n}", before_mask[n], dm * m)
    shapes |= conv("out_conv", 1, 2 * d, 3) | conv("out_convm", 1, dm * mask[-1], 1)
    for n in (1, 2, 3) if "d" in flags else ():
        shapes |= conv(f"out_conv{n}", 3, 2 * d, 3)
    return shapes


def networks(archi: str, resolution: int, ae: int, e: int, d: int, dm: int) -> dict[str, Shapes]:
    """The files of a DF, LIAE or (`amp`, where `ae` is also the inters' width) AMP model."""
    kind, _, flags = archi.partition("-")
    if kind == "df":
        code = decoder(flags, ae, d, dm)
        parts = {"inter": inter(flags, resolution, e, ae, ae)}
        return {"encoder": encoder(flags, e), **parts, "decoder_src": code, "decoder_dst": code}
    if kind == "liae":
        code = inter(flags, resolution, e, ae, 2 * ae)
        parts = {"inter_AB": code, "inter_B": code, "decoder": decoder(flags, 4 * ae, d, dm)}
        return {"encoder": encoder(flags, e), **parts}
    side = resolution // 32
    code = dense("dense2", ae, side * side * ae)
    return {
        "encoder": {**encoder("t", e), **dense("dense1", 8 * e * side * side, ae)},
        "inter_src": code,
        "inter_dst": code,
        "decoder": decoder("td", ae, d, dm),
    }


def drawn(shapes: Shapes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of a usual size, and biases that are not zero."""
    return {
        name: (rng.normal(size=shape) / np.sqrt(max(np.prod(shape[:-1]), 9))).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_folder(
    folder: Path,
    label: str,
    nets: dict[str, dict[str, np.ndarray]],
    data: dict[str, Any],
) -> None:
    """`.npy` pickles and a `data.dat`, as CPython with NumPy writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in nets.items():
        (folder / f"{label}_{name}.npy").write_bytes(pickle.dumps(tensors, 4))
    (folder / f"{label}_data.dat").write_bytes(pickle.dumps(data))
