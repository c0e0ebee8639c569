"""The identity network: onnxruntime's numbers, a fixed square, gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from faceloom.core import InputError, WeightsError
from faceloom.detect import open_finder
from faceloom.geometry import (
    ARCFACE_POINTS,
    FaceType,
    five_points,
    frame_to_face,
    transform_points,
    warp_to_face,
)
from faceloom.identify import SAME_PERSON, Identifier
from faceloom.media import read_image
from faceloom.models.saehd.identity import (
    IdentityNet,
    SFace,
    load_identity,
    mean_landmarks,
    read_sface,
    square_matrix,
)

CPU = torch.device("cpu")
TYPES: list[FaceType] = ["half_face", "midfull_face", "full_face", "whole_face", "head"]


@pytest.fixture(scope="module")
def sface_file(need_weights: Callable[..., list[Path]]) -> Path:
    return need_weights("sface")[0]


@pytest.fixture(scope="module")
def sface(sface_file: Path) -> SFace:
    return read_sface(sface_file)


@pytest.mark.weights
def test_equals_onnxruntime(sface_file: Path, sface: SFace) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(sface_file), options, providers=["CPUExecutionProvider"]
    )
    faces = 255 * torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    theirs = [session.run(None, {"data": face[None].numpy()})[0][0] for face in faces]
    assert np.allclose(sface(faces).numpy(), np.stack(theirs), atol=1e-4)
    assert not any(param.requires_grad for param in sface.parameters())


@pytest.mark.parametrize("face_type", TYPES)
@pytest.mark.parametrize("resolution", [64, 256])
def test_the_mean_face_lands_on_arcfaces_points(face_type: FaceType, resolution: int) -> None:
    points = mean_landmarks()
    in_picture = transform_points(points, frame_to_face(points, resolution, face_type))
    landed = transform_points(five_points(in_picture), square_matrix(face_type, resolution))
    # The two templates are of different mean faces: nothing maps one onto the other exactly.
    assert np.abs(landed - ARCFACE_POINTS).max() < 4.5
    assert np.abs((landed - ARCFACE_POINTS).mean(axis=0)).max() < 1e-6


@pytest.mark.weights
@pytest.mark.parametrize(("face_type", "resolution"), [("whole_face", 96), ("head", 480)])
def test_the_square_is_opencvs_warp(sface: SFace, face_type: FaceType, resolution: int) -> None:
    net = IdentityNet(sface, face_type=face_type, resolution=resolution)
    y, x = np.mgrid[0:resolution, 0:resolution] / resolution * 96
    picture = np.stack([0.5 + 0.4 * np.sin(x / (5 + c) + y / 9) for c in range(3)], axis=-1)
    expected = warp_to_face(
        picture.astype(np.float32),
        square_matrix(face_type, resolution),
        112,
        interpolation="linear",
        antialias=True,
    )
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    out = net.square(batch)[0].permute(1, 2, 0).numpy()
    assert out.shape == (112, 112, 3)
    assert np.abs(out - expected)[2:-2, 2:-2].max() < 0.02


@pytest.mark.weights
def test_a_large_picture_is_averaged_not_skipped(sface: SFace) -> None:
    net = IdentityNet(sface, face_type="whole_face", resolution=512)
    stripes = (torch.arange(512) % 2).float().expand(1, 3, 512, 512)
    assert (net.square(stripes) - 0.5).abs().max().item() < 0.15


@pytest.mark.weights
def test_gradient_leads_to_the_same_identity(sface: SFace) -> None:
    net = IdentityNet(sface, face_type="whole_face", resolution=128)
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(2, 3, 128, 128, generator=generator)
    faces = torch.rand(2, 3, 128, 128, generator=generator, requires_grad=True)
    wanted = net.embed(target)
    assert torch.allclose(wanted.norm(dim=1), torch.ones(2))
    before = (net.embed(faces) * wanted).sum(1)
    (gradient,) = torch.autograd.grad(before.sum(), faces)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    with torch.no_grad():
        after = net.embed(faces + 0.02 * gradient / gradient.abs().amax((1, 2, 3), keepdim=True))
    assert ((after * wanted).sum(1) > before).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(net.embed(target), wanted)
    with pytest.raises(InputError, match="128, 128"):
        net.embed(target[..., :64, :64])


@pytest.mark.weights
@pytest.mark.media
def test_agrees_with_the_embedding_by_landmarks(media: Path, need_weights) -> None:
    need_weights("yunet", "face-landmarker", "sface")
    finder, identifier = open_finder(), Identifier()
    net = load_identity(CPU, face_type="whole_face", resolution=192)
    vectors = []
    for name in ("grace_hopper.jpg", "man_white_bald_48.jpg"):
        image = read_image(media / "photos" / name)[0]
        points = finder.find(image)[0].landmarks
        matrix = frame_to_face(points, 192, "whole_face")
        crop = warp_to_face(image, matrix, 192, interpolation="linear", antialias=True)
        vector = net.embed(torch.from_numpy(crop).permute(2, 0, 1)[None] / 255)[0].numpy()
        assert vector @ identifier.embed(image, points) > 0.97
        vectors.append(vector)
    assert vectors[0] @ vectors[1] < SAME_PERSON


def test_another_network_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [1])], [value("y", 1, [1])])
    file = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph), str(file))
    with pytest.raises(WeightsError, match="SFace"):
        read_sface(file)
