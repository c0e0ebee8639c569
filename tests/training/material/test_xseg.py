"""A mask model's batches, previews and material."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceloom.core import Cancel, InputError, NullProgress
from faceloom.faces import Faceset, SegPolygon, read_record, update_record
from faceloom.models.xseg.model import XsegModel
from faceloom.nn.batch import MaskBatch
from faceloom.samples import SampleStore
from faceloom.samples.xseg.store import MaskStore, load_labelled
from faceloom.settings.models import XsegSettings
from faceloom.training.distributed.parallel import World
from faceloom.training.material.xseg import (
    XsegMaterial,
    XsegPretrainSource,
    XsegSource,
    grey,
    load_xseg_material,
)
from faceloom.training.previews import preview as pictures
from faceloom.training.previews.xseg import XsegFaces, make_xseg_preview, tinted
from synthetic_faces import write_faceset

CPU = torch.device("cpu")
SIDE = 64
Stores = tuple[SampleStore, SampleStore]


def label_hulls(folder: Path) -> Path:
    """Draw the landmarks' convex hull on every face of the folder."""
    for path in Faceset(folder, use_index=False).paths:
        record = read_record(path)
        hull = cv2.convexHull(record.landmarks)[:, 0]
        update_record(path, replace(record, seg_ie_polys=(SegPolygon(True, hull),)))
    return folder


@pytest.fixture(scope="module")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_hulls(write_faceset(tmp_path_factory.mktemp("labelled") / "src", 6, size=64))


@pytest.fixture(scope="module")
def labelled(labelled_folder: Path) -> MaskStore:
    return load_labelled([labelled_folder], size_px=SIDE, face_type="full_face", device=CPU)


def tiny(**settings: object) -> XsegModel:
    return XsegModel(
        XsegSettings(face_type="full_face", **settings),  # type: ignore[arg-type]
        device=CPU,
        seed=1,
        precision="fp32",
        resolution=SIDE,
        base=4,
    )


def equal(a: MaskBatch, b: MaskBatch) -> bool:
    return torch.equal(a.image, b.image) and torch.equal(a.target, b.target)


def test_a_batch_depends_on_its_number_alone(labelled: MaskStore) -> None:
    one = XsegSource(labelled, batch_size=2, seed=3)
    other = XsegSource(labelled, batch_size=2, seed=3)
    first = [one.take(n) for n in range(4)]
    assert equal(other.take(3), first[3]) and equal(other.take(1), first[1])
    assert not equal(first[0], first[1])
    assert not equal(XsegSource(labelled, batch_size=2, seed=4).take(0), first[0])


def test_processes_share_the_batches_of_one(labelled: MaskStore) -> None:
    alone = XsegSource(labelled, batch_size=2, seed=3)
    pair = [XsegSource(labelled, batch_size=2, seed=3, rank=rank, ranks=2) for rank in (0, 1)]
    for iteration in range(2):
        for rank, source in enumerate(pair):
            assert equal(source.take(iteration), alone.take(2 * iteration + rank))


def test_grey_is_opencvs() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = cv2.cvtColor(image[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
    assert np.abs(grey(image)[0, 0].numpy() - expected).max() < 1e-6


def test_pretraining_shows_every_face_with_its_grey(stores: Stores) -> None:
    source = XsegPretrainSource(stores, resolution=SIDE, batch_size=4, seed=0)
    seen = [source.take(n) for n in range(3)]  # 12 faces: 6 of src, 6 of dst
    for batch in seen:
        assert batch.image.shape == (4, 3, SIDE, SIDE)
        assert torch.equal(batch.target, grey(batch.image))
    hues = torch.cat([batch.image for batch in seen])[:, :, 24:44, 24:44].mean((2, 3))
    # src's skin is red, dst's is green: as many of the one as of the other.
    assert int((hues[:, 0] > hues[:, 1]).sum()) == 6
    again = XsegPretrainSource(stores, resolution=SIDE, batch_size=4, seed=0).take(2)
    assert equal(again, seen[2])
    with pytest.raises(InputError, match="no samples"):
        XsegPretrainSource([], resolution=SIDE, batch_size=4, seed=0)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews show the faces of these tests without enlarging them."""
    monkeypatch.setattr(pictures, "_SMALLEST_CELL_PX", SIDE)


class HalfPainter:
    """A mask model to which the left half of every picture is the face."""

    settings = XsegSettings()

    def predict_mask(self, faces: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros_like(faces[:, :1])
        mask[..., : mask.shape[-1] // 2] = 1
        return mask


def test_preview_shows_what_is_where() -> None:
    image = torch.full((2, 3, SIDE, SIDE), 0.5)
    target = torch.zeros(2, 1, SIDE, SIDE)
    target[:, :, : SIDE // 2] = 1
    faces = XsegFaces(MaskBatch(image, target), image * 0.5, image[:1])
    losses = np.full((3, 1), 0.25, np.float32)
    preview = make_xseg_preview(HalfPainter(), faces, losses, iteration=3)  # type: ignore[arg-type]
    assert preview.plain.shape[1] == 3 * SIDE and preview.masked.shape[1] == 6 * SIDE
    body = preview.plain[-2 * SIDE :].astype(int)
    grey_pixel, green_pixel = [128, 128, 128], [64, 191, 64]
    at = {"inside": SIDE // 4, "outside": 3 * SIDE // 4}
    assert np.abs(body[at["inside"], 10] - grey_pixel).max() <= 1, "labelled above"
    assert np.abs(body[at["outside"], 10] - green_pixel).max() <= 1
    mask, found = body[:, SIDE : 2 * SIDE], body[:, 2 * SIDE :]
    assert (mask[:, : SIDE // 2] == 255).all() and (mask[:, SIDE // 2 :] == 0).all()
    assert np.abs(found[10, at["inside"]] - grey_pixel).max() <= 1
    assert np.abs(found[10, at["outside"]] - green_pixel).max() <= 1
    sides = preview.masked[-2 * SIDE :].astype(int)
    assert np.abs(sides[10, 10] - 64).max() <= 1, "src's face"
    assert np.abs(sides[10, 3 * SIDE + 10] - 128).max() <= 1, "dst's face"
    assert (sides[SIDE:, 3 * SIDE :] < 64).all(), "dst has one face only"


def test_preview_of_a_pretraining_has_pictures_in_place_of_masks(stores: Stores) -> None:
    model = tiny(pretrain=True)
    none = torch.empty(0, 3, SIDE, SIDE)
    material = XsegMaterial(src=none, dst=none, faces=stores)
    assert list(material.facesets) == ["pretrain 1", "pretrain 2"]
    preview = material.previewer(model)(np.zeros((0, 1), np.float32), 0)
    assert preview.plain.shape[1] == 3 * SIDE
    losses = material.stepper(model, 0, World())(0)
    assert losses["mask"].isfinite()


def test_material_trains_and_shows(labelled: MaskStore) -> None:
    model = tiny(learning_rate=4e-3, batch_size=4)
    faces = labelled.planes[:2, :3].float() / 255
    material = XsegMaterial(src=faces, dst=faces, labelled=labelled)
    before = model.predict_mask(faces)
    step, preview = material.stepper(model, 5, World()), material.previewer(model)
    first = preview(np.zeros((0, 1), np.float32), 0)
    losses = [float(step(n)["mask"]) for n in range(12)]
    assert np.mean(losses[-3:]) < losses[0]
    assert not torch.equal(model.predict_mask(faces), before)
    later = preview(np.asarray(losses, np.float32)[:, None], 12)
    side = SIDE * 4
    assert np.array_equal(first.plain[-side:, :SIDE], later.plain[-side:, :SIDE]), "same faces"
    assert not np.array_equal(first.plain[-side:, SIDE:], later.plain[-side:, SIDE:])


def test_material_of_a_workspace(labelled_folder: Path, tmp_path: Path) -> None:
    dst = write_faceset(tmp_path / "dst", 2, size=64, hue=99)

    def load(src: Path, settings: XsegSettings) -> XsegMaterial:
        return load_xseg_material(
            src,
            dst,
            settings,
            device=CPU,
            threads=1,
            progress=NullProgress(),
            cancel=Cancel(),
        )

    settings = XsegSettings(face_type="full_face")
    material = load(labelled_folder, settings)
    assert material.labelled is not None and len(material.labelled) == 6
    assert material.src.shape == (4, 3, 256, 256) and material.dst.shape == (2, 3, 256, 256)
    assert material.facesets["labels"].startswith("6 ")
    with pytest.raises(InputError, match="has a mask to learn from"):
        load(dst, settings)
    pretraining = load(dst, settings.model_copy(update={"pretrain": True}))
    assert pretraining.labelled is None and [len(s) for s in pretraining.faces] == [2]


def test_tint_is_half_green_outside() -> None:
    image = torch.tensor([0.2, 0.4, 0.6]).reshape(1, 3, 1, 1)
    half = tinted(image, torch.tensor(0.0).reshape(1, 1, 1, 1))
    assert half.flatten().tolist() == pytest.approx([0.1, 0.7, 0.3])
    assert torch.equal(tinted(image, torch.ones(1, 1, 1, 1)), image)
