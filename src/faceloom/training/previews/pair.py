"""Previews of a model that swaps faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.models import FaceModel
from faceloom.nn.batch import SampleBatch
from faceloom.samples import SampleStore, plain_batch
from faceloom.training.previews.preview import ROWS, Image, Preview, draw_grid

COLUMNS: Final = ("src", "src-src", "dst", "dst-dst", "src-dst")
"""DFL's words: whose face, in whose place. The last is the swap."""
MORPHS: Final = (0.25, 0.5, 0.65, 0.75, 1.0)
"""How far towards src the faces of an AMP model's `morph` preview are, after dst-dst."""
_LOSSES: Final = ("src", "dst")
_SUGGESTIONS: Final = 3


@dataclass(frozen=True)
class PreviewFaces:
    """The faces in every preview of a training."""

    src: SampleBatch
    dst: SampleBatch


def choose_faces(
    src: SampleStore,
    dst: SampleStore,
    *,
    resolution: int,
    src_names: Sequence[str] = (),
    dst_names: Sequence[str] = (),
) -> PreviewFaces:
    """The named faces; for a side without names, faces spread evenly over its head yaw.

    Always the same for the same facesets. Raises `InputError` as `choose_named` does.
    """
    rows = min(max(len(src_names), len(dst_names)) or ROWS, len(src), len(dst))
    sides: list[SampleBatch] = []
    for store, names in ((src, src_names), (dst, dst_names)):
        if names:
            indices = choose_named(store, names, rows)
        else:
            by_yaw = np.argsort(store.yaw_rad, kind="stable")
            indices = by_yaw[((np.arange(rows) + 0.5) / rows * len(by_yaw)).astype(np.int64)]
        sides.append(plain_batch(store, indices, resolution=resolution))
    return PreviewFaces(*sides)


def choose_named(store: SampleStore, names: Sequence[str], count: int) -> NDArray[np.int64]:
    """Indices (count,) of the faces called `names`, file names with or without their suffix.

    In this order; extra names are ignored, and if there are too few they are repeated. Raises
    `InputError` for a name that the faceset lacks, suggesting similar ones, or that several of its
    files have.
    """
    if not names:
        raise InputError("preview faces: give at least one name")
    places = {name: index for index, name in enumerate(store.names)}
    chosen = [_find(name, places) for name in names]
    return np.array([chosen[i % len(chosen)] for i in range(count)], np.int64)


def _find(name: str, places: dict[str, int]) -> int:
    """The index of the face called `name`."""
    if name in places:
        return places[name]
    of_stem = [known for known in places if PurePath(known).stem == name]
    if len(of_stem) == 1:
        return places[of_stem[0]]
    if of_stem:
        raise InputError(f"preview face {name!r} is ambiguous: {', '.join(of_stem)}")
    if close := get_close_matches(name, places, n=_SUGGESTIONS):
        hint = f"did you mean {' or '.join(close)}?"
    else:
        more = " …" if len(places) > _SUGGESTIONS else ""
        hint = f"it has {', '.join(list(places)[:_SUGGESTIONS])}{more}"
    raise InputError(f"preview face {name!r} is not in the faceset; {hint}")


def make_preview(
    model: FaceModel, faces: PreviewFaces, losses: NDArray[np.float32], *, iteration: int
) -> Preview:
    """Run the model on the preview faces and draw the grids. Uses no randomness.

    `plain` has `COLUMNS`; `masked` shows them inside their masks: the faces' own mask for the first
    of each pair, the learned ones for the others.
    """
    made = model.reconstruct(faces.src.target, faces.dst.target)
    plain = (faces.src.target, made.src_src, faces.dst.target, made.dst_dst, made.src_dst)
    swap_mask = made.src_dst_mask
    if model.settings.face_type != "head":
        swap_mask = swap_mask * made.dst_dst_mask
    masks = (faces.src.mask, made.src_src_mask, faces.dst.mask, made.dst_dst_mask, swap_mask)
    masked = tuple(image * mask for image, mask in zip(plain, masks, strict=True))
    whole, inside = (
        draw_grid(dict(zip(COLUMNS, pictures, strict=True)), losses, iteration, _LOSSES)
        for pictures in (plain, masked)
    )
    more: dict[str, Image] = {}
    if "morph_factor" in type(model.settings).model_fields:
        columns = {"dst": faces.dst.target, "dst-dst": made.dst_dst}
        columns |= {f"{x:g}": model.predict(faces.dst.target, morph=x).face for x in MORPHS}
        more["morph"] = draw_grid(columns, losses, iteration, _LOSSES)
    return Preview(whole, inside, more)
