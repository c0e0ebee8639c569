"""DFM files: face swap models for DeepFaceLive.

ONNX with DFL's names, order and layout: input `in_face:0` (N, R, R, 3) BGR in [0, 1], with AMP also
`morph_value:0`; outputs dst's mask, the swapped face and its mask. The names do end in `:0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from faceloom.core import InputError, ModelError
from faceloom.export.onnx_parts import (
    DecoderWriter,
    NetworkWriter,
    OnnxGraph,
    floats,
    open_onnx,
    picture_info,
    random_faces,
    save_onnx,
    to_bgr_pixels,
    write_encoder,
)
from faceloom.models import FaceModel
from faceloom.models.amp import ARCHI as AMP_ARCHI
from faceloom.models.amp import AmpEncoder, AmpInter
from faceloom.models.networks import Decoder, Encoder, Inter
from faceloom.settings.models import Archi

OPSET = 12
DFM_CLASSES = ("SAEHD", "AMP")
IN_FACE = "in_face:0"
MORPH_VALUE = "morph_value:0"
OUTPUTS = ("out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0")
TOLERANCE = {False: 1e-4, True: 2e-2}
"""The largest allowed difference from the model's pictures, by whether the file is quantized."""


def make_dfm(
    model: FaceModel,
    path: str | Path,
    *,
    quantized: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a SAEHD or AMP model as a DFM file for DeepFaceLive.

    `quantized`: convolutions in float16, for half the size and memory; inputs and outputs stay
    float32. `metadata`: texts stored in the file, which DeepFaceLive does not read.
    Raises `InputError` for a model of another class, or of more than 2 GB.
    """
    save_onnx(dfm_graph(model, quantized=quantized), path, metadata)


def dfm_graph(model: FaceModel, *, quantized: bool = False) -> onnx.ModelProto:
    """The content of a DFM file; see `make_dfm`."""
    graph = OnnxGraph(half=quantized)
    nets: dict[str, Any] = dict(model.networks())
    image = graph.to_planes(IN_FACE)
    side = model.settings.resolution
    inputs = [picture_info(IN_FACE, side, 3)]
    if model.class_name == "SAEHD":
        decoded = _saehd(graph, nets, image)
    elif model.class_name == "AMP":
        decoded = _amp(graph, nets, image)
        inputs.append(helper.make_tensor_value_info(MORPH_VALUE, onnx.TensorProto.FLOAT, [1]))
    else:
        raise InputError(f"DFM is for {' and '.join(DFM_CLASSES)}, not for {model.class_name}")
    for value, name in zip(decoded, OUTPUTS, strict=True):
        graph.to_pixels(value, name)
    outputs = [picture_info(name, side, 3 if name == OUTPUTS[1] else 1) for name in OUTPUTS]
    return graph.model(model.class_name, inputs, outputs, opset=OPSET)


def check_dfm(
    model: FaceModel, path: str | Path, *, quantized: bool = False, seed: int = 0
) -> float:
    """The largest difference between the pictures that file and model make of two random faces.

    Runs the file in onnxruntime, as DeepFaceLive does. Raises `ModelError` when its inputs or
    outputs have other names than a DFM's, or the difference is more than `TOLERANCE`.
    """
    session = open_onnx(path)
    names = [value.name for value in session.get_outputs()]
    faces = random_faces(model.settings.resolution, seed)
    feed: dict[str, Any] = {IN_FACE: to_bgr_pixels(faces)}
    morph = 0.75
    if model.class_name == "AMP":
        feed[MORPH_VALUE] = floats([morph])
    if names != list(OUTPUTS) or {value.name for value in session.get_inputs()} != feed.keys():
        raise ModelError("the file's inputs or outputs are not those of a DFM")
    made = session.run(None, feed)
    expected = model.predict(faces.to(model.device), morph=morph)
    pairs = zip(made, (expected.mask_dst, expected.face, expected.mask_prd), strict=True)
    difference = max(float(np.abs(a - to_bgr_pixels(b)).max()) for a, b in pairs)
    if not difference <= TOLERANCE[quantized]:
        raise ModelError(
            f"the DFM's pictures differ from the model's by {difference:.2g}; the file is not kept"
        )
    return difference


def _saehd(graph: OnnxGraph, nets: Mapping[str, Any], image: str) -> tuple[str, str, str]:
    """dst's mask, the swapped face, its mask."""
    encoder: Encoder = nets["encoder"]
    archi = encoder.archi
    vector = write_encoder(graph, encoder, image)
    if archi.kind == "df":
        code = _inter(graph, "inter", nets["inter"], archi, vector)
        ours = _decoder(graph, "decoder_src", nets["decoder_src"], archi)
        of_dst = _decoder(graph, "decoder_dst", nets["decoder_dst"], archi)
        return of_dst.mask(code), ours.image(code), ours.mask(code)
    shared = _inter(graph, "inter_AB", nets["inter_AB"], archi, vector)
    own = _inter(graph, "inter_B", nets["inter_B"], archi, vector)
    code = graph.node("Concat", [shared, shared], axis=1)
    code_dst = graph.node("Concat", [own, shared], axis=1)
    decoder = _decoder(graph, "decoder", nets["decoder"], archi)
    return decoder.mask(code_dst), decoder.image(code), decoder.mask(code)


def _amp(graph: OnnxGraph, nets: Mapping[str, Any], image: str) -> tuple[str, str, str]:
    """dst's mask, the face morphed towards src by the morph value, its mask."""
    encoder: AmpEncoder = nets["encoder"]
    flat = write_encoder(graph, encoder, image)
    vector = NetworkWriter(graph, "encoder", encoder).dense("dense1", flat)
    of_src, of_dst = (
        _amp_inter(graph, name, nets[name], vector) for name in ("inter_src", "inter_dst")
    )
    channels: int = nets["inter_src"].out_channels
    # Selected with Where, not sliced: no tensor changes its shape, so every runtime can do it.
    bounds = [graph.weight(f"morph_{n}", floats(n)) for n in (0, 1)]
    value = graph.node("Clip", [MORPH_VALUE, *bounds])
    count = graph.node(
        "Floor", [graph.node("Mul", [value, graph.weight("channels", floats([channels]))])]
    )
    index = np.arange(channels, dtype=np.float32).reshape(1, -1, 1, 1)
    from_src = graph.node("Less", [graph.weight("channel_index", index), count])
    code = graph.narrow(graph.node("Where", [from_src, of_src, of_dst]))
    code_dst = graph.narrow(of_dst)
    decoder = _decoder(graph, "decoder", nets["decoder"], AMP_ARCHI)
    return decoder.mask(code_dst), decoder.image(code), decoder.mask(code)


def _decoder(graph: OnnxGraph, name: str, decoder: Decoder, archi: Archi) -> DecoderWriter:
    return DecoderWriter(graph, name, decoder, archi.activation)


def _inter(graph: OnnxGraph, name: str, inter: Inter, archi: Archi, vector: str) -> str:
    """float32 vector → code, in the precision of convolutions."""
    net = NetworkWriter(graph, name, inter)
    x = net.maps(net.dense("dense2", net.dense("dense1", vector)), inter.out_channels, inter.side)
    x = graph.narrow(x)
    return x if archi.t else net.up("upscale1", x, archi.activation)


def _amp_inter(graph: OnnxGraph, name: str, inter: AmpInter, vector: str) -> str:
    """float32 vector → float32 code."""
    net = NetworkWriter(graph, name, inter)
    return net.maps(net.dense("dense2", vector), inter.out_channels, inter.side)
