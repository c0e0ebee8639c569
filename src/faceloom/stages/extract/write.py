"""From a frame and its faces to files: align, embed the metadata, encode, write."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError, atomic_write
from faceloom.detect import FoundFace
from faceloom.faces import FaceRecord, FaceSuffix, OwnMetadata, draw_debug, encode_face
from faceloom.geometry import (
    FaceType,
    crop_area,
    frame_to_face,
    pose_in_frame,
    transform_points,
    warp_to_face,
)
from faceloom.media import Frame

_DEBUG_QUALITY = 50
_ESTIMATED_SIZES_PX = (64, 2048)


@dataclass(frozen=True)
class FaceWriter:
    """Writes the faces of frames. Has no state, so threads may share it."""

    folder: Path
    debug_folder: Path | None
    face_type: FaceType
    size_px: int | None
    """Side of the face pictures; None: each face at the size it has in its frame."""
    suffix: FaceSuffix
    jpeg_quality: int
    pixel_aspect: float

    def write(
        self,
        frame: Frame,
        faces: Iterable[FoundFace],
        *,
        present: Iterable[FaceRecord] = (),
        taken: set[str] | None = None,
    ) -> list[FaceRecord]:
        """Write `<frame stem>_<number>` for each face; return the records written.

        Numbers count from 0 and leave out names in `taken`, to which the new names are added. A
        face whose landmarks cannot be aligned is left out. The debug picture also shows the faces
        in `present`, which the faceset already has. Raises `InputError` when a file cannot be
        written.
        """
        stem, number = PurePath(frame.name).stem, 0
        taken = set() if taken is None else taken
        records: list[tuple[FaceRecord, int]] = []
        for face in faces:
            try:
                image, record = self._align(frame, face)
            except InputError:
                continue
            while f"{stem}_{number}" in taken:
                number += 1
            taken.add(f"{stem}_{number}")
            data = encode_face(image, record, self.suffix, self.jpeg_quality)
            _write(self.folder / f"{stem}_{number}{self.suffix}", data)
            records.append((record, image.shape[0]))
        if self.debug_folder is not None:
            before = [(record, _side_px(record)) for record in present]
            self._write_debug(self.debug_folder / f"{stem}.jpg", frame, [*before, *records])
        return [record for record, _ in records]

    def _align(self, frame: Frame, face: FoundFace) -> tuple[NDArray[np.uint8], FaceRecord]:
        """The face's picture and its record. Raises `InputError` for degenerate landmarks."""
        pose = pose_in_frame(face.landmarks, pixel_aspect=self.pixel_aspect)
        if pose is not None:
            # No landmark is more exact than a hundredth of a degree.
            pitch_deg, yaw_deg, roll_deg = (round(angle, 2) for angle in pose)
            pose = pitch_deg, yaw_deg, roll_deg
        if self.face_type == "mark_only":
            matrix, landmarks, image = None, face.landmarks, frame.image
        else:
            size_px = self.size_px or self._estimated_size_px(face)
            matrix = frame_to_face(
                face.landmarks, size_px, self.face_type, pixel_aspect=self.pixel_aspect
            )
            landmarks = transform_points(face.landmarks, matrix)
            image = warp_to_face(frame.image, matrix, size_px, antialias=True)
        record = FaceRecord(
            face_type=self.face_type,
            landmarks=landmarks.astype(np.float32),
            source_filename=frame.name,
            source_rect=np.array(face.rect),
            source_landmarks=face.landmarks,
            image_to_face_mat=matrix,
            own=OwnMetadata(
                frame_index=frame.index,
                time=frame.time,
                track=face.track,
                detector=face.detector,
                score=round(face.score, 4),
                presence=round(face.presence, 3),
                pixel_aspect=self.pixel_aspect,
                pose=pose,
                turn_deg=face.turn_deg,
            ),
        )
        return np.asarray(image, dtype=np.uint8), record

    def _estimated_size_px(self, face: FoundFace) -> int:
        """Side of the face's crop in pixels of the displayed frame: even, 64 to 2048."""
        matrix = frame_to_face(face.landmarks, 1, self.face_type, pixel_aspect=self.pixel_aspect)
        side_px = math.sqrt(crop_area(matrix, 1) * self.pixel_aspect)
        return int(np.clip(2 * round(side_px / 2), *_ESTIMATED_SIZES_PX))

    def _write_debug(self, path: Path, frame: Frame, records: list[tuple[FaceRecord, int]]) -> None:
        picture = np.asarray(frame.image, dtype=np.uint8)
        for record, size_px in records:
            picture = draw_debug(picture, [record], size_px)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _DEBUG_QUALITY])
        if not done:
            raise InputError(f"{path}: cannot encode the debug picture")
        _write(path, data.tobytes())


def _side_px(record: FaceRecord) -> int:
    """The side of a stored face's crop: how many times larger its matrix is than that of a crop
    with a side of 1 px."""
    if record.image_to_face_mat is None:
        return 0
    unit = frame_to_face(
        record.source_landmarks,
        1,
        record.face_type,
        pixel_aspect=record.own.pixel_aspect if record.own else 1.0,
    )
    of_face, of_unit = (np.linalg.det(m[:, :2]) for m in (record.image_to_face_mat, unit))
    return round(math.sqrt(abs(of_face / of_unit)))


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data, durable=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
