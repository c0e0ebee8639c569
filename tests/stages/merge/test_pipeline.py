"""The merger's pipeline: order, equality of its two ways of predicting, bounds, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

from faceloom.compositing import Composite, FaceGeometry, MergeSettings, SwappedFace
from faceloom.core import MediaError
from faceloom.faces import FaceRecord
from faceloom.geometry import MODEL_POINTS_3D
from faceloom.media import Frame
from faceloom.models import AmpSettings, build_model
from faceloom.stages.merge.pipeline import MergePipeline, Merger, predictor_of

SIZE = (90, 120)


def frames(count: int) -> Iterator[Frame]:
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        yield Frame(index, Fraction(index), image, f"{index}.png")


def faces_of(frame: Frame) -> list[FaceRecord]:
    """None, one or two faces, by the frame's number."""
    points = MODEL_POINTS_3D[:, :2] * 0.12
    points = (points - points.mean(0)).astype(np.float32)
    places = [(35, 45), (85, 45)][: frame.index % 3]
    return [
        FaceRecord("full_face", points, frame.name, np.arange(4), points + np.float32(place))
        for place in map(np.array, places)
    ]


def invert(crops: np.ndarray) -> list[SwappedFace]:
    mask = np.ones(crops.shape[1:3], np.float32)
    return [SwappedFace(1 - crop, mask, mask) for crop in crops]


def merger(**options) -> Merger:
    values = {"predictor": invert, "batch_size": 3, "workers": 3, **options}
    settings = MergeSettings(color_transfer="none", mask_mode="full", blur=20)
    return Merger(geometry=FaceGeometry(32, "full_face"), settings=settings, **values)


def merged(**options) -> list[tuple[int, bytes, bytes, int]]:
    def finish(frame: Frame, done: Composite) -> tuple[bytes, bytes, int]:
        return done.image.tobytes(), done.mask.tobytes(), done.faces

    made = MergePipeline(merger(**options), finish).run(frames(14), faces_of)
    return [(frame.index, *result) for frame, result in made]


def test_all_ways_give_the_same_in_order() -> None:
    reference = merged(batch_size=1, workers=1)
    assert [entry[0] for entry in reference] == list(range(14))
    assert [entry[3] for entry in reference] == [index % 3 for index in range(14)]
    for in_pool in (True, False):
        for batch_size in (2, 5, 100):
            assert merged(batch_size=batch_size, predict_in_pool=in_pool) == reference


def test_where_the_model_runs() -> None:
    def predictor_into(threads: set[str]):
        def predict(crops: np.ndarray) -> list[SwappedFace]:
            assert len(crops) <= 3
            threads.add(threading.current_thread().name)
            return invert(crops)

        return predict

    inside: set[str] = set()
    merged(predictor=predictor_into(inside), predict_in_pool=True)
    assert inside and all(name.startswith("faceloom") for name in inside)
    outside: set[str] = set()
    merged(predictor=predictor_into(outside), predict_in_pool=False)
    assert outside == {threading.current_thread().name}


@pytest.mark.parametrize("in_pool", [True, False])
def test_frames_are_not_read_far_ahead(in_pool: bool) -> None:
    read = 0

    def counted() -> Iterator[Frame]:
        nonlocal read
        for frame in frames(200):
            read += 1
            yield frame

    pipeline = MergePipeline(
        merger(workers=1, batch_size=2, predict_in_pool=in_pool), lambda frame, done: None
    )
    for number, _ in enumerate(pipeline.run(counted(), faces_of)):
        assert read - number < 20


@pytest.mark.parametrize("in_pool", [True, False])
def test_an_error_ends_it(in_pool: bool) -> None:
    def finish(frame: Frame, done: Composite) -> int:
        if frame.index == 5:
            raise MediaError("disk full")
        return frame.index

    made: list[int] = []
    with pytest.raises(MediaError, match="disk full"):
        for _, index in MergePipeline(merger(predict_in_pool=in_pool), finish).run(
            frames(200), faces_of
        ):
            made.append(index)
    assert made == list(range(len(made))) and len(made) <= 5
    assert not [t for t in threading.enumerate() if t.name.startswith("faceloom")]


def test_closing_stops_the_threads() -> None:
    run = MergePipeline(merger(), lambda frame, done: frame.index).run(frames(200), faces_of)
    assert next(run)[1] == 0
    run.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("faceloom")]


def test_the_morph_factor_reaches_the_model() -> None:
    settings = AmpSettings(resolution=64, ae_dims=32, inter_dims=32, e_dims=16, d_dims=16)
    model = build_model("AMP", settings)
    crops = np.random.default_rng(1).random((2, 64, 64, 3), np.float32)
    faces = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())
    made = {morph: predictor_of(model, morph=morph)(crops) for morph in (0.0, 0.4, 1.0)}
    for morph, swapped in made.items():
        expected = model.predict(faces, morph=morph)
        for index, one in enumerate(swapped):
            image = expected.face[index].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(one.image, image, atol=1e-6)
    assert np.abs(made[0.0][0].image - made[1.0][0].image).max() > 1e-3
