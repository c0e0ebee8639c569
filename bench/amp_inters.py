"""Compare AMP models with trained and untrained inters.

    python bench/amp_inters.py SRC_ALIGNED DST_ALIGNED [--iterations 2000] [--seeds 0 1]
                               [--threads 1] [--sheet PICTURE]

Trains two small models (64 px) on the same batches from the same initial weights. Reports at
intervals: the training losses, the reconstruction error of both sides without warp (mean absolute
error inside the mask), and SFace's similarity of the swap to src and dst at several morph factors.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faceloom.faces import Faceset, read_face
from faceloom.geometry import frame_to_face, transform_points
from faceloom.identify import Identifier, mean_embedding, similarity
from faceloom.models import AmpSettings, FaceModel, build_model, preferred_precision
from faceloom.nn.batch import SampleBatch
from faceloom.samples import SampleStore, load_samples, plain_batch
from faceloom.training import PairSource

SETTINGS = AmpSettings(
    resolution=64, ae_dims=128, inter_dims=256, e_dims=16, d_dims=16, learning_rate=3e-4
)
MORPHS = (0.5, 0.75, 1.0)
JUDGED = 40
# SFace works at 112 px, so the swap is enlarged before it.
ENLARGED = 4


class Jury:
    """Evaluation faces of each side, spread over the faceset, and their SFace vectors."""

    def __init__(self, folders: Sequence[Path], stores: Sequence[SampleStore]) -> None:
        self._identifier = Identifier()
        self._people = [self._mean(folder) for folder in folders]
        self.src, self.dst = (_plain(store) for store in stores)
        self._points = _points(folders[1], stores[1])
        print(f"src to dst themselves: cosine {similarity(*self._people):.3f}")

    def _mean(self, folder: Path) -> NDArray[np.float32]:
        entries = list(Faceset(folder))
        chosen = entries[:: max(1, len(entries) // JUDGED)]
        return mean_embedding(
            [self._identifier.embed(read_face(path)[0], rec.landmarks) for path, rec in chosen]
        )

    def errors(self, model: FaceModel) -> tuple[float, float]:
        """Mean absolute error of src-src and dst-dst inside the masks."""
        made = model.reconstruct(self.src.target, self.dst.target)
        pairs = ((made.src_src, self.src), (made.dst_dst, self.dst))
        src, dst = (
            float(((image - side.target).abs() * side.mask).sum() / (3 * side.mask.sum()))
            for image, side in pairs
        )
        return src, dst

    def cosines(self, model: FaceModel, morph: float) -> tuple[float, float]:
        """Mean cosine of the swapped dst faces to src and to dst."""
        found = [
            [similarity(self._identifier.embed(picture, points), person) for person in self._people]
            for picture, points in zip(self.swapped(model, morph), self._points, strict=True)
        ]
        src, dst = np.mean(found, axis=0)
        return float(src), float(dst)

    def swapped(self, model: FaceModel, morph: float) -> list[NDArray[np.uint8]]:
        """dst's faces with the masked swap composited over them, enlarged."""
        made = model.predict(self.dst.target, morph=morph)
        mask = made.mask_prd * made.mask_dst
        whole = made.face * mask + self.dst.target * (1 - mask)
        return _pictures(whole)


def _pictures(batch: torch.Tensor) -> list[NDArray[np.uint8]]:
    rows = (batch.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    side = rows.shape[1] * ENLARGED
    return [
        np.asarray(cv2.resize(row, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
        for row in rows
    ]


def _chosen(store: SampleStore) -> NDArray[np.int64]:
    return np.linspace(0, len(store) - 1, min(JUDGED, len(store))).round().astype(np.int64)


def _plain(store: SampleStore) -> SampleBatch:
    return plain_batch(store, _chosen(store), resolution=SETTINGS.resolution)


def _points(folder: Path, store: SampleStore) -> list[NDArray[np.float64]]:
    """Landmarks of the evaluation faces in their enlarged pictures."""
    side = SETTINGS.resolution * ENLARGED
    points = []
    for index in _chosen(store):
        image, record = read_face(folder / store.names[index])
        landmarks = np.asarray(record.landmarks, np.float64)
        if record.face_type == SETTINGS.face_type:
            points.append(landmarks * side / image.shape[0])
        else:
            matrix = frame_to_face(landmarks, side, SETTINGS.face_type)
            points.append(np.asarray(transform_points(landmarks, matrix), np.float64))
    return points


def compare(options: argparse.Namespace, stores: Sequence[SampleStore], seed: int) -> None:
    """Train both ways from one seed."""
    jury = Jury((options.src, options.dst), stores)
    models = {
        trained: build_model(
            "AMP",
            SETTINGS.model_copy(update={"train_inters": trained}),
            seed=seed,
            precision=preferred_precision("cpu"),
        )
        for trained in (False, True)
    }
    batches = PairSource(*stores, models[True].sample_needs, seed)
    losses: dict[bool, list[list[float]]] = {trained: [] for trained in models}
    moments = {round(options.iterations * part) for part in (0.1, 0.25, 0.5, 0.75, 1)}
    for iteration in range(options.iterations):
        src, dst = batches.take(iteration)
        for trained, model in models.items():
            loss = model.train_step(src, dst, iteration=iteration)
            losses[trained].append([loss[side].item() for side in ("src", "dst")])
        if iteration + 1 in moments:
            for trained, model in models.items():
                recent = np.mean(losses[trained][-max(50, options.iterations // 20) :], axis=0)
                report(
                    jury, model, f"seed {seed} #{iteration + 1:5d} trained={trained!s:5}", recent
                )
    if options.sheet:
        sheet(jury, models, options.sheet.with_stem(f"{options.sheet.stem}_{seed}"))


def report(jury: Jury, model: FaceModel, name: str, losses: NDArray[np.float64]) -> None:
    errors = jury.errors(model)
    told = [f"loss {losses[0]:.3f} {losses[1]:.3f}", f"error {errors[0]:.4f} {errors[1]:.4f}"]
    for morph in MORPHS:
        src, dst = jury.cosines(model, morph)
        told.append(f"morph {morph}: {src:+.3f} {dst:+.3f}")
    print(f"{name}  {'  '.join(told)}", flush=True)


def sheet(jury: Jury, models: dict[bool, FaceModel], picture: Path) -> None:
    """dst, then the swaps of each model: one row per morph factor, untrained above trained."""
    shown = slice(None, None, max(1, JUDGED // 8))
    rows = [np.hstack(_pictures(jury.dst.target)[shown])]
    rows += [
        np.hstack(jury.swapped(model, morph)[shown])
        for model in models.values()
        for morph in MORPHS
    ]
    cv2.imwrite(str(picture), np.vstack(rows)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("src", type=Path)
    parser.add_argument("dst", type=Path)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    stores = [
        load_samples(
            folder,
            size_px=SETTINGS.resolution,
            face_type=SETTINGS.face_type,
            device=torch.device("cpu"),
            threads=options.threads,
        )
        for folder in (options.src, options.dst)
    ]
    print("columns: src, dst")
    for seed in options.seeds:
        compare(options, stores, seed)


if __name__ == "__main__":
    main()
