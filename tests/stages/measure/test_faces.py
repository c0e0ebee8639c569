"""Measuring a faceset: what is asked for is measured once, by its definition, and kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.faces import INDEX_NAME, Faceset, OwnMetadata, read_face, write_face
from faceloom.faces.archives.pack_writer import PackFace, write_pack
from faceloom.faces.index.measures import MeasureCache
from faceloom.geometry import BLENDSHAPES, frame_to_face, hull_mask, transform_points, warp_to_face
from faceloom.identify import SAME_PERSON
from faceloom.stages.measure import COLUMNS, kinds, measure_faces
from faceloom.stages.measure.faces import BATCH
from faceloom.stages.measure.kinds import KINDS
from measured_faces import portraits
from synthetic_faces import face_picture, landmarks68, synthetic_record, write_faceset

CHEAP = tuple(
    name
    for name in COLUMNS
    if name
    not in {
        "mesh_presence", "gaze", "mouth_open", "eyes_closed", "blendshapes", "occlusion",
        "embedding",
    }
)  # fmt: skip


def table(folder: Path, columns, **changes):
    values = {"workers": 2, "progress": NullProgress(), "cancel": Cancel(), **changes}
    return measure_faces(folder, columns, **values)


def age(folder: Path) -> None:
    """As if the files had been written a minute ago, so that the index believes their stamps."""
    moment = time.time() - 60
    for path in folder.iterdir():
        os.utime(path, (moment, moment))


@pytest.fixture
def faceset(tmp_path: Path) -> Path:
    folder = write_faceset(tmp_path / "aligned", 5, size=128)
    age(folder)
    return folder


class Counting(NullProgress):
    def __init__(self) -> None:
        super().__init__()
        self.stages: list[tuple[str, int | None, int]] = []
        self.advanced = 0

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        self.stages.append((stage, total, done))
        self.advanced = 0

    def advance(self, items: int = 1) -> None:
        self.advanced += items


def test_all_columns_have_a_row_a_face_and_their_definition(faceset: Path) -> None:
    found = table(faceset, CHEAP)
    assert [path.name for path in found.paths] == sorted(p.name for p in faceset.glob("*.png"))
    shapes = {"hist": (768,), "hist_gray": (256,), "hist_gray_whole": (256,), "phash": (8,)}
    shapes |= {"thumb": (64, 64, 3), "plain_thumb": (64, 64, 3), "light": (3,)}
    for name in CHEAP:
        assert found.column(name).shape == (5, *shapes.get(name, ())), name
    for row, path in enumerate(found.paths):
        image, record = read_face(path)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        assert found.column("brightness")[row] == pytest.approx(hsv[..., 2].mean())
        assert found.column("black")[row] == (image == 0).sum()
        blue = np.bincount(image[..., 2].ravel(), minlength=256) / image[..., 0].size
        np.testing.assert_allclose(found.column("hist")[row, :256], blue, rtol=2e-3, atol=1e-6)
        masked = image * hull_mask(record.landmarks, image.shape[:2])[..., None].astype(np.uint8)
        laplacian = cv2.Laplacian(masked, cv2.CV_64F, ksize=11).var()
        assert found.column("motion_blur")[row] == pytest.approx(laplacian, rel=1e-6)
        small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(found.column("plain_thumb")[row], small)
    sums = found.column("hist").reshape(5, 3, 256).sum(axis=2)
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    assert found.column("yaw_deg")[0] * found.column("yaw_deg")[-1] < 0
    assert np.isnan(found.column("track")).all()


def test_only_what_is_asked_for_is_measured_and_only_once(faceset: Path, monkeypatch) -> None:
    calls: list[tuple[str, tuple[str, ...]]] = []
    measure = kinds.Measurer.measure

    def spy(self, path, record, kinds):
        calls.append((path.name, tuple(kind.name for kind in kinds)))
        return measure(self, path, record, kinds)

    monkeypatch.setattr(kinds.Measurer, "measure", spy)
    first = table(faceset, ["brightness", "hue"])
    assert len(calls) == 5 and {kinds for _, kinds in calls} == {("tone",)}
    calls.clear()
    again = table(faceset, ["brightness", "phash"])
    assert {kinds for _, kinds in calls} == {("phash",)}
    np.testing.assert_array_equal(first.column("brightness"), again.column("brightness"))
    calls.clear()
    table(faceset, ["rect_area", "frame"])
    assert not calls, "the record alone needs no measuring"
    changed = sorted(faceset.glob("*.png"))[2]
    os.utime(changed, (1, 1))
    table(faceset, ["hue", "phash"])
    assert [name for name, _ in calls] == [changed.name]


def test_a_picture_is_decoded_once_for_all_pixel_measures(faceset: Path, monkeypatch) -> None:
    decoded: list[int] = []
    decode = kinds.decode_picture
    monkeypatch.setattr(kinds, "decode_picture", lambda data: decoded.append(1) or decode(data))
    table(faceset, CHEAP)
    assert len(decoded) == 5
    table(faceset, CHEAP)
    assert len(decoded) == 5


def test_the_pictures_size_is_had_without_decoding(faceset: Path, monkeypatch) -> None:
    monkeypatch.delattr(kinds, "decode_picture")
    found = table(faceset, ["dfl_yaw", "dfl_pitch", "legacy_yaw", "source_size"])
    assert np.isfinite(found.column("dfl_yaw")).all()


def test_a_damaged_picture_is_told_and_has_nan(faceset: Path) -> None:
    damaged = sorted(faceset.glob("*.png"))[1]
    data = bytearray(damaged.read_bytes())
    data[data.index(b"IDAT") + 4 : data.index(b"IDAT") + 40] = bytes(36)
    damaged.write_bytes(data)
    age(faceset)
    progress = NullProgress()
    found = table(faceset, ["brightness", "cpbd", "thumb", "yaw_deg"], progress=progress)
    assert len(found) == 5
    assert np.isnan(found.column("brightness")[1]) and np.isnan(found.column("cpbd")[1])
    assert not found.column("thumb")[1].any()
    assert np.isfinite(found.column("yaw_deg")).all(), "what needs no pixels is known"
    assert np.isfinite(np.delete(found.column("brightness"), 1)).all()
    (note,) = [note for note in progress.notes if "not measured" in note]
    assert damaged.name in note and "\n" not in note


def test_strangers_are_named_and_unknown_columns_refused(faceset: Path) -> None:
    cv2.imwrite(str(faceset / "holiday.jpg"), np.zeros((9, 9, 3), np.uint8))
    found = table(faceset, ["rect_area"])
    assert [path.name for path in found.strangers] == ["holiday.jpg"]
    with pytest.raises(InputError, match="sharpnes"):
        table(faceset, ["sharpnes"])
    with pytest.raises(InputError):
        table(faceset / "nowhere", ["hue"])


def test_cancelling_keeps_what_was_measured(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 6, size=48)
    (source,) = sorted(folder.glob("*.png"))[:1]
    for copy in range(2 * BATCH):
        shutil.copy(source, folder / f"copy{copy:04}.png")
    age(folder)

    class Stopping(Counting):
        def __init__(self, cancel: Cancel) -> None:
            super().__init__()
            self.cancel = cancel

        def advance(self, items: int = 1) -> None:
            super().advance(items)
            if self.stages[-1][0] == "measuring" and self.advanced == BATCH + 20:
                self.cancel.set()

    cancel = Cancel()
    with pytest.raises(CancelledError):
        table(folder, ["hue"], progress=Stopping(cancel), cancel=cancel)
    progress = Counting()
    found = table(folder, ["hue"], progress=progress)
    label, total, done = progress.stages[-1]
    assert (label, total) == ("measuring", 2 * BATCH + 6)
    assert BATCH + 20 <= done < total
    assert progress.advanced == total - done
    assert np.isfinite(found.column("hue")).all()


def test_a_value_of_another_form_in_the_index_is_measured_again(faceset: Path) -> None:
    names = [path.name for path in sorted(faceset.glob("*.png"))]
    with MeasureCache(faceset) as cache:
        cache.write("tone", KINDS["tone"].version, {n: np.zeros(2, "<f8") for n in names})
    assert (table(faceset, ["brightness"]).column("brightness") > 1).all()


def test_a_folder_that_cannot_be_written_is_measured_all_the_same(faceset: Path) -> None:
    (faceset / INDEX_NAME).mkdir()
    assert np.isfinite(table(faceset, ["sharpness"]).column("sharpness")).all()


def test_a_packed_faceset_gives_the_same_measures(faceset: Path, tmp_path: Path) -> None:
    loose = table(faceset, CHEAP)
    packed = tmp_path / "packed"
    packed.mkdir()
    write_pack(
        packed / "faceset.pak", [PackFace(path, path.name) for path in Faceset(faceset).paths]
    )
    age(packed)
    found = table(packed, CHEAP)
    assert len(found) == 5
    for name in CHEAP:
        np.testing.assert_array_equal(found.column(name), loose.column(name), err_msg=name)


@pytest.mark.media
def test_networks_measures_of_real_faces(tmp_path: Path, media, need_weights) -> None:
    """A smiling and a neutral photo of one person, and one of another."""
    need_weights("yunet", "face-landmarker", "sface")
    names = ("man_white_bald_48.jpg", "man_white_bald_48_smiling.jpg", "woman_white_54.jpg")
    folder = tmp_path / "aligned"
    folder.mkdir()
    for name, (image, landmarks) in portraits(media, names).items():
        matrix = frame_to_face(landmarks, 192, "whole_face")
        record = synthetic_record(
            transform_points(landmarks, matrix),
            name,
            face_type="whole_face",
            source_landmarks=landmarks,
            image_to_face_mat=matrix,
        )
        face = warp_to_face(image, matrix, 192, antialias=True)
        write_face(folder / name, face, record)
    age(folder)
    asked = ("embedding", "blendshapes", "mesh_presence", "occlusion", "mouth_open", "eyes_closed")
    found = table(folder, asked)
    alike = found.column("embedding") @ found.column("embedding").T
    assert np.diag(alike) == pytest.approx(1, abs=1e-5)
    assert alike[0, 1] > SAME_PERSON > max(alike[0, 2], alike[1, 2])
    smile = found.column("blendshapes")[:, BLENDSHAPES.index("mouthSmileLeft")]
    assert smile[1] > 0.5 > max(smile[0], smile[2])
    assert (found.column("mesh_presence") > 10).all() and (found.column("occlusion") < 0.3).all()
    assert (found.column("eyes_closed") < 0.5).all() and (found.column("mouth_open") < 0.5).all()
    again = table(folder, asked)
    np.testing.assert_array_equal(again.column("embedding"), found.column("embedding"))


def test_an_embedding_in_the_file_needs_no_network(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delattr(kinds, "fetch")
    folder = tmp_path / "aligned"
    folder.mkdir()
    vector = np.random.default_rng(0).normal(size=128).astype(np.float32)
    vector /= np.linalg.norm(vector)
    points = landmarks68(64)
    record = synthetic_record(points, "a.png", own=OwnMetadata(embedding=vector))
    write_face(folder / "a.png", face_picture(64, points, hue=9, seed=0), record)
    age(folder)
    found = table(folder, ["embedding"])
    np.testing.assert_allclose(found.column("embedding")[0], vector, atol=1e-6)


def test_impossible_landmarks_and_tiny_pictures_stop_nothing(tmp_path: Path) -> None:
    """What other programs, or somebody hostile, may have written into a face."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    plain = landmarks68(64)
    rng = np.random.default_rng(2)
    cases: dict[str, tuple[int, np.ndarray]] = {
        "spot": (64, np.full((68, 2), 7.0)),
        "line": (64, np.column_stack([np.arange(68.0), np.arange(68.0)])),
        "far": (64, plain + 1e8),
        "vast": (64, plain * 1e6),
        "minute": (64, plain * 1e-4),
        "random": (64, rng.normal(0, 500, (68, 2))),
        "mirror": (64, plain * (-1, 1)),
        "pixel": (1, plain),
        "small": (9, plain / 8),
    }
    for name, (size, points) in cases.items():
        record = synthetic_record(points.astype(np.float32), "a.png")
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        write_face(folder / f"{name}.png", image, record)
    wide = synthetic_record(plain, "a.png", face_type="mark_only")
    write_face(folder / "wide.png", rng.integers(0, 256, (20, 90, 3), np.uint8), wide)
    age(folder)
    progress = NullProgress()
    found = table(folder, CHEAP, progress=progress)
    assert len(found) == len(cases) + 1
    assert np.isfinite(found.column("brightness")).all()
    spot = [path.stem for path in found.paths].index("spot")
    assert np.isnan(found.column("sharpness")[spot]) and np.isnan(found.column("yaw_deg")[spot])
    assert any("spot.png" in note for note in progress.notes)


def test_a_kill_loses_no_more_than_a_batch(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path / "aligned", 1, size=48)
    (source,) = sorted(folder.glob("*.png"))
    for copy in range(3 * BATCH):
        shutil.copy(source, folder / f"copy{copy:04}.png")
    age(folder)
    program = (
        "import os, signal, sys, pathlib\n"
        "from faceloom.core import Cancel, NullProgress\n"
        "from faceloom.stages.measure.faces import BATCH, measure_faces\n"
        "class Killing(NullProgress):\n"
        "    done = None\n"
        "    def start(self, stage, *rest, **more):\n"
        "        self.done = 0 if stage == 'measuring' else None\n"
        "    def advance(self, items=1):\n"
        "        if self.done is not None:\n"
        "            self.done += items\n"
        "            if self.done == 2 * BATCH + 50:\n"
        "                os.kill(os.getpid(), signal.SIGKILL)\n"
        "measure_faces(pathlib.Path(sys.argv[1]), ['hue'], workers=1,\n"
        "              progress=Killing(), cancel=Cancel())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    progress = Counting()
    assert np.isfinite(table(folder, ["hue"], progress=progress).column("hue")).all()
    assert progress.stages[-1] == ("measuring", 3 * BATCH + 1, 2 * BATCH)
