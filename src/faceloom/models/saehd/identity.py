"""Whose face a picture shows, as a network that gradients flow through: SFace in torch.

Zhong et al., "SFace: Sigmoid-constrained hypersphere loss for robust face recognition" (2021): a
chain of depthwise and pointwise convolutions on ArcFace's 112 px square. Read from the ONNX file
with batch norms folded into their neighbours; equal to onnxruntime's run of that file.

A model's face pictures are aligned, so where the mean face's eyes, nose and mouth corners lie in
them is known beforehand: one fixed similarity brings them onto ArcFace's square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.core import InputError, Progress, WeightsError
from faceloom.geometry import (
    ARCFACE_POINTS,
    TEMPLATE_POINTS,
    FaceType,
    five_points,
    frame_to_face,
    invert_affine,
    transform_points,
    umeyama,
)
from faceloom.weights import fetch

SIZE_PX: Final = 112
_CONVOLUTIONS: Final = 27
_OPERATORS: Final = (
    *("Sub", "Mul"),
    *("Conv", "BatchNormalization", "PRelu") * _CONVOLUTIONS,
    *("BatchNormalization", "Dropout", "Flatten", "Gemm", "BatchNormalization"),
)


class SFace(nn.Module):
    """`b 3 112 112` RGB in 0 … 255 → `b 128`, not normalised; frozen."""

    def __init__(
        self,
        convolutions: Sequence[nn.Conv2d],
        slopes: Sequence[Tensor],
        head: nn.Linear,
        *,
        shift: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.slopes = nn.ParameterList(slopes)
        self.head = head
        self.shift = shift
        self.scale = scale
        self.requires_grad_(False)
        self.eval()

    def forward(self, face: Tensor) -> Tensor:
        x = (face - self.shift) * self.scale
        for convolution, slope in zip(self.convolutions, self.slopes, strict=True):
            x = F.prelu(convolution(x), slope)
        return self.head(x.flatten(1))


class IdentityNet(nn.Module):
    """Embeds the face pictures of one face type and resolution; frozen."""

    def __init__(self, network: SFace, *, face_type: FaceType, resolution: int) -> None:
        super().__init__()
        self.network = network
        self.resolution = resolution
        to_square = square_matrix(face_type, resolution)
        shrink = 1 / math.sqrt(abs(float(np.linalg.det(to_square[:, :2]))))
        self._samples = max(1, math.ceil(shrink - 1e-6))
        grid = _grid(to_square, resolution, SIZE_PX, self._samples)
        self.register_buffer("grid", torch.from_numpy(grid))

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(faces)

    def embed(self, faces: Tensor) -> Tensor:
        """Unit vectors `b 128`, float32, of `b 3 r r` RGB in [0, 1]; differentiable.

        Their product is the cosine that `faceloom.identify` compares people by. Computes in float32
        always: in bf16 depthwise convolutions are slower on a CPU, and hardly faster on a GPU.
        Raises `InputError` for another shape than the network was made for.
        """
        with torch.autocast(faces.device.type, enabled=False):
            return F.normalize(self.network(255 * self.square(faces)))

    def square(self, faces: Tensor) -> Tensor:
        """The faces on ArcFace's square, `b 3 112 112`: averaged where they shrink, black
        beyond the picture (whole_face and head hold all of the square)."""
        side = self.resolution
        if faces.ndim != 4 or faces.shape[1:] != (3, side, side):
            raise InputError(
                f"the identity loss takes pictures of (batch, 3, {side}, {side}), not"
                f" {tuple(faces.shape)}"
            )
        grid = self.get_buffer("grid").expand(len(faces), -1, -1, -1)
        fine = F.grid_sample(faces.float(), grid, mode="bilinear", align_corners=True)
        return F.avg_pool2d(fine, self._samples) if self._samples > 1 else fine


def load_identity(
    device: torch.device,
    *,
    face_type: FaceType,
    resolution: int,
    progress: Progress | None = None,
) -> IdentityNet:
    """SFace with its published weights on `device`, for a model's face pictures.

    Raises `WeightsError` when the file cannot be had or is not what it should be.
    """
    network = read_sface(fetch("sface", progress=progress))
    return IdentityNet(network, face_type=face_type, resolution=resolution).to(device)


def square_matrix(face_type: FaceType, resolution: int) -> NDArray[np.float64]:
    """2x3: from the pixels of a face picture to those of ArcFace's square, for the mean face."""
    points = mean_landmarks()
    in_picture = transform_points(points, frame_to_face(points, resolution, face_type))
    return umeyama(five_points(in_picture), ARCFACE_POINTS)


def mean_landmarks() -> NDArray[np.float64]:
    """68x2: the mean face in the unit square. Nothing here reads its jaw, except whether the head
    is turned; it lies under the nose: straight ahead."""
    jaw = np.tile([TEMPLATE_POINTS[10, 0], 1.0], (17, 1))
    return np.concatenate([jaw, TEMPLATE_POINTS])


def _grid(
    to_square: NDArray[np.float64], resolution: int, size_px: int, samples: int
) -> NDArray[np.float32]:
    """Where `samples` x `samples` points of every pixel of the square lie in the picture, in
    `grid_sample`'s units: `1 n n 2`."""
    steps = (np.arange(size_px * samples) + 0.5) / samples - 0.5
    points = np.stack(np.meshgrid(steps, steps), axis=-1)
    in_picture = transform_points(points, invert_affine(to_square))
    return (2 * in_picture / (resolution - 1) - 1).astype(np.float32)[None]


def read_sface(path: Path) -> SFace:
    """SFace from its ONNX file; `WeightsError` when the file holds another network."""
    graph = onnx.load(str(path)).graph
    nodes = list(graph.node)
    if tuple(node.op_type for node in nodes) != _OPERATORS:
        raise WeightsError(f"{path}: not SFace: its layers are others")
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    inputs = [[tensors[name] for name in node.input if name in tensors] for node in nodes]
    convolutions: list[nn.Conv2d] = []
    slopes: list[Tensor] = []
    for at in range(2, 2 + 3 * _CONVOLUTIONS, 3):
        conv, norm, activation = nodes[at : at + 3], inputs[at : at + 3], inputs[at + 2]
        convolutions.append(_convolution(conv[0], norm[0][0], _affine(conv[1], norm[1])))
        slopes.append(activation[0].flatten())
    return SFace(
        convolutions,
        slopes,
        _head(nodes[-5:], inputs[-5:]),
        shift=float(inputs[0][0]),
        scale=float(inputs[1][0]),
    )


def _attributes(node: Any) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _affine(node: Any, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """A batch norm as factor and summand of each channel, float64."""
    gamma, beta, mean, variance = (tensor.double() for tensor in inputs)
    factor = gamma / (variance + _attributes(node)["epsilon"]).sqrt()
    return factor, beta - mean * factor


def _convolution(node: Any, weight: Tensor, norm: tuple[Tensor, Tensor]) -> nn.Conv2d:
    """A convolution without bias and the batch norm after it, as one convolution."""
    attributes = _attributes(node)
    out_channels, in_channels, size, _ = weight.shape
    groups = int(attributes["group"])
    made = nn.Conv2d(
        in_channels * groups,
        out_channels,
        size,
        stride=attributes["strides"][0],
        padding=attributes["pads"][0],
        groups=groups,
        device="meta",
    )
    factor, summand = norm
    made.weight = nn.Parameter((weight * factor.view(-1, 1, 1, 1)).float())
    made.bias = nn.Parameter(summand.float())
    return made


def _head(nodes: list[Any], inputs: list[list[Tensor]]) -> nn.Linear:
    """Batch norm, (dropout, flatten,) dense layer and batch norm as one dense layer."""
    factor, summand = _affine(nodes[0], inputs[0])
    weight, bias = (tensor.double() for tensor in inputs[3])
    places = weight.shape[1] // len(factor)
    bias = bias + weight @ summand.repeat_interleave(places)
    weight = weight * factor.repeat_interleave(places)
    factor, summand = _affine(nodes[4], inputs[4])
    made = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    made.weight = nn.Parameter((weight * factor[:, None]).float())
    made.bias = nn.Parameter((bias * factor + summand).float())
    return made
