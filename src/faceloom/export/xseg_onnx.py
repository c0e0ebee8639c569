"""XSeg models as ONNX, in the form that DFL exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from faceloom.core import InputError, ModelError
from faceloom.export.onnx_parts import (
    NetworkWriter,
    OnnxGraph,
    open_onnx,
    picture_info,
    plain,
    random_faces,
    save_onnx,
    to_bgr_pixels,
)
from faceloom.models import MaskModel
from faceloom.models.xseg import DEPTHS, HALVINGS, BlurPool, XsegNetwork

OPSET = 13
IN_FACE = "in_face:0"
OUT_MASK = "out_mask:0"
TOLERANCE = 1e-4


def make_xseg_onnx(
    model: MaskModel, path: str | Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write an XSeg model as ONNX, with `metadata` in the file.

    Input `in_face:0` (N, R, R, 3) BGR in [0, 1], output `out_mask:0` (N, R, R, 1).
    """
    save_onnx(xseg_graph(model), path, metadata)


def xseg_graph(model: MaskModel) -> onnx.ModelProto:
    """The content of the file; see `make_xseg_onnx`."""
    network = model.networks()["xseg"]
    if not isinstance(network, XsegNetwork):
        raise InputError(f"{model.class_name} is not a mask model; use XSeg")
    writer = _Xseg(network)
    graph = writer.graph
    logits = writer.logits(graph.to_planes(IN_FACE))
    graph.to_pixels(graph.sigmoid(logits), OUT_MASK)
    side = network.centre[1] * 2**HALVINGS
    inputs, outputs = [picture_info(IN_FACE, side, 3)], [picture_info(OUT_MASK, side, 1)]
    return graph.model("XSeg", inputs, outputs, opset=OPSET)


def check_xseg_onnx(model: MaskModel, path: str | Path, *, seed: int = 0) -> float:
    """The largest difference between the masks that file and model make of two random pictures.

    Raises `ModelError` when it is more than `TOLERANCE`.
    """
    session = open_onnx(path)
    faces = random_faces(session.get_inputs()[0].shape[1], seed)
    (mask,) = session.run([OUT_MASK], {IN_FACE: to_bgr_pixels(faces)})
    expected = to_bgr_pixels(model.predict_mask(faces.to(model.device)))
    difference = float(np.abs(np.asarray(mask) - expected).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the file's masks differ from the model's by {difference:.2g}; it is not kept"
        )
    return difference


class _Xseg:
    """Adds the network to a graph, block by block."""

    def __init__(self, network: XsegNetwork) -> None:
        self.graph = OnnxGraph()
        self._network = network
        self._net = NetworkWriter(self.graph, "xseg", network)

    def logits(self, x: str) -> str:
        kept: list[str] = []
        for level in range(HALVINGS):
            for number in range(1, DEPTHS[level] + 1):
                key = f"conv{level}{number}"
                x = self._normed(key, self._net.conv(f"{key}.conv", x))
            kept.append(x)
            x = self._pool(f"bp{level}", x)
        flat = self.graph.node("Flatten", [x], axis=1)
        dense = self._net.dense("dense2", self._net.dense("dense1", flat))
        channels, side, _ = self._network.centre
        x = self._net.maps(dense, channels, side)
        for level in reversed(range(HALVINGS)):
            key = f"up{level}"
            x = self._normed(key, self._transposed(f"{key}.conv", x))
            x = self.graph.node("Concat", [x, kept[level]], axis=1)
            for number in reversed(range(1, DEPTHS[level] + 1)):
                key = f"uconv{level}{number}"
                x = self._normed(key, self._net.conv(f"{key}.conv", x))
        return self._net.conv("out_conv", x)

    def _normed(self, key: str, x: str) -> str:
        """Filter response normalization and thresholded linear unit."""
        graph = self.graph
        power = graph.node("ReduceMean", [graph.node("Mul", [x, x])], axes=[2, 3], keepdims=1)
        epsilon = graph.weight(f"xseg.{key}.epsilon", np.abs(self._net.array(f"{key}.frn.eps")))
        norm = graph.node("Sqrt", [graph.node("Add", [power, epsilon])])
        scaled = graph.node(
            "Mul", [graph.node("Div", [x, norm]), self._of_channels(f"{key}.frn.weight")]
        )
        shifted = graph.node("Add", [scaled, self._of_channels(f"{key}.frn.bias")])
        return graph.node("Max", [shifted, self._of_channels(f"{key}.tlu.tau")])

    def _of_channels(self, key: str) -> str:
        """A value per channel, as `1 c 1 1`."""
        return self.graph.weight(f"xseg.{key}", self._net.array(key).reshape(1, -1, 1, 1))

    def _pool(self, key: str, x: str) -> str:
        pool = self._network.get_submodule(key)
        assert isinstance(pool, BlurPool)
        before, after = pool.padding[:2]
        return self.graph.node(
            "Conv",
            [x, self.graph.weight(f"xseg.{key}.kernel", plain(pool.kernel))],
            group=pool.channels,
            kernel_shape=[pool.size, pool.size],
            pads=[before, before, after, after],
            strides=[2, 2],
        )

    def _transposed(self, key: str, x: str) -> str:
        """Transposed 3×3 convolution of stride 2, without the last row and column of its result."""
        weights = [self._net.layer_weight(f"{key}.{part}", half=False) for part in _LAYER]
        return self.graph.node(
            "ConvTranspose", [x, *weights], kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2]
        )


_LAYER = ("weight", "bias")
