"""Measure likeness and picture error of every saved state of a model.

    python bench/course.py WORKSPACE [--name NAME] [--faces 40] [--sheet PICTURE] [--threads 1]

Covers snapshots, backups and the current state, in order of their iterations. Each state swaps the
same faces of dst; SFace compares the swaps with the mean of src and of dst. The error is the mean
difference between dst's faces and their reconstruction inside their masks, in levels of 255. The
sheet has one row per state: src, dst and the swaps of a few faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from faceloom import Workspace
from faceloom.checkpoints import ModelFolder, find_model, load_model, read_state
from faceloom.checkpoints.snapshots import list_backups, list_snapshots
from faceloom.faces import Faceset, read_face
from faceloom.geometry import transform_points
from faceloom.identify import Identifier, mean_embedding, similarity
from faceloom.samples import load_samples, plain_batch


def kept_states(folder: ModelFolder) -> list[tuple[int, str, ModelFolder]]:
    """(iteration, kind, path) by iteration, one per iteration."""
    found = {}
    for kind, entries in (("backup", list_backups(folder)), ("", list_snapshots(folder))):
        for entry in entries:
            place = ModelFolder(entry.path)
            iteration = read_state(place).iteration
            found[iteration] = (iteration, kind or entry.name, place)
    last = read_state(folder).iteration
    if last not in found:
        found[last] = (last, "present", folder)
    return [found[key] for key in sorted(found)]


def points_of(folder: Path, names: list[str], side: int) -> list[np.ndarray]:
    """Landmarks of the named faces in a picture of `side` pixels."""
    places = []
    for name in names:
        image, record = read_face(folder / name)
        matrix = np.array([[side / image.shape[1], 0, 0], [0, side / image.shape[0], 0]])
        places.append(transform_points(np.asarray(record.landmarks, np.float64), matrix))
    return places


def pixels(images: torch.Tensor) -> np.ndarray:
    """b 3 r r in [0, 1] → b r r 3 uint8."""
    return images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def embed(identifier: Identifier, images: np.ndarray, points: list[np.ndarray]) -> list[np.ndarray]:
    return [identifier.embed(image, place) for image, place in zip(images, points, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    workspace = Workspace.open(options.workspace)
    folder = find_model(workspace.model, name=options.name)
    _, first = load_model(folder, device=torch.device("cpu"))
    side, face_type = first.settings["resolution"], first.settings["face_type"]
    identifier = Identifier(threads=options.threads)
    stores, points, means = {}, {}, {}
    for name, aligned in (("src", workspace.aligned_src), ("dst", workspace.aligned_dst)):
        assert len(Faceset(aligned))
        store = load_samples(
            aligned, size_px=side, face_type=face_type, device=torch.device("cpu"), threads=2
        )
        index = np.linspace(0, len(store) - 1, options.faces).round().astype(int)
        batch = plain_batch(store, index, resolution=side)
        names = [store.names[i] for i in index]
        stores[name], points[name] = batch, points_of(aligned, names, side)
        means[name] = mean_embedding(embed(identifier, pixels(batch.target), points[name]))
    print(f"src to dst: {similarity(means['src'], means['dst']):.3f}")
    print("iteration  state                    to src  to dst  nearer src  dst-dst error")
    rows = []
    for iteration, what, place in kept_states(folder):
        model, _ = load_model(place, device=torch.device("cpu"))
        dst = stores["dst"]
        swapped = torch.cat([model.predict(part).face for part in dst.target.split(8)])
        made = torch.cat([model.reconstruct(part, part).dst_dst for part in dst.target.split(8)])
        error = ((made - dst.target).abs() * dst.mask).sum() / (3 * dst.mask.sum()) * 255
        vectors = embed(identifier, pixels(swapped), points["dst"])
        to = {
            name: np.array([similarity(vector, mean) for vector in vectors])
            for name, mean in means.items()
        }
        nearer = (to["src"] > to["dst"]).mean()
        print(
            f"{iteration:9d}  {what:24s} {to['src'].mean():6.3f}  {to['dst'].mean():6.3f}"
            f"  {nearer:9.0%}  {float(error):8.2f}",
            flush=True,
        )
        rows.append((iteration, pixels(swapped)))
    if options.sheet:
        write_sheet(options.sheet, stores, rows)


def write_sheet(path: Path, stores: dict, rows: list[tuple[int, np.ndarray]]) -> None:
    shown = np.linspace(0, len(rows[0][1]) - 1, 8).round().astype(int)
    lines = [np.concatenate(list(pixels(stores[side].target)[shown]), 1) for side in ("src", "dst")]
    for iteration, images in rows:
        line = np.ascontiguousarray(np.concatenate(list(images[shown]), 1))
        cv2.putText(line, str(iteration), (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1)
        lines.append(line)
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(lines, 0), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
