"""Writing networks as ONNX, node by node.

Not traced by torch, since other programs expect exact names, order, opset and a dynamic batch.
Inside the graph, pictures are `b c h w` in DFL's colour order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from faceloom.core import InputError
from faceloom.export.dfl_layout import colour_axis
from faceloom.models.networks import Decoder, Encoder
from faceloom.nn.blocks import SLOPE_RESIDUAL, SLOPE_SCALING, Activation

# That of opset 12 and 13: runtimes of that time reject a newer one.
IR_VERSION = 7
# A little less than the 2 GiB that a single ONNX file can have.
MAX_BYTES = 2_000_000_000
PIXEL_NORM_EPSILON = 1e-6

Array = NDArray[Any]


class OnnxGraph:
    """A graph under construction. Values are referred to by their names, which the methods return.

    With `half`, convolutions are stored and computed in float16, everything else in float32.
    """

    def __init__(self, *, half: bool = False) -> None:
        self.half = half
        self.size_bytes = 0
        """Of all weights."""
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def node(self, kind: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add a node; its output is called `name`, or gets a numbered name."""
        self._count += 1
        output = name or f"{kind.lower()}_{self._count}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"node_{self._count}", **attributes)
        )
        return output

    def weight(self, name: str, array: Array) -> str:
        """A constant, stored once per name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
            self.size_bytes += array.nbytes
            if self.size_bytes > MAX_BYTES:
                raise InputError("the model is too large for an ONNX file (2 GB); use --quantized")
        return name

    def narrow(self, x: str) -> str:
        """`x` as input of convolutions: float16 with `half`."""
        return self.node("Cast", [x], to=onnx.TensorProto.FLOAT16) if self.half else x

    def widen(self, x: str) -> str:
        """`x`, the output of convolutions, in float32."""
        return self.node("Cast", [x], to=onnx.TensorProto.FLOAT) if self.half else x

    def to_planes(self, x: str) -> str:
        """`b h w c` → `b c h w`."""
        return self.node("Transpose", [x], perm=[0, 3, 1, 2])

    def to_pixels(self, x: str, name: str) -> str:
        """`b c h w` → `b h w c`, called `name`."""
        return self.node("Transpose", [x], name=name, perm=[0, 2, 3, 1])

    def sigmoid(self, x: str) -> str:
        return self.node("Sigmoid", [x])

    def activate(self, x: str, activation: Activation, slope: float) -> str:
        if activation == "xcosx":
            return self.node("Mul", [x, self.node("Cos", [x])])
        return self.node("LeakyRelu", [x], alpha=slope)

    def depth_to_space(self, x: str) -> str:
        return self.node("DepthToSpace", [x], blocksize=2, mode="DCR")

    def pixel_norm(self, x: str) -> str:
        """Of `b n`, float32: in float16, as in DFL's own export, the squares may overflow."""
        square = self.node("Mul", [x, x])
        mean = self.node("ReduceMean", [square], axes=[1], keepdims=1)
        epsilon = self.weight("pixel_norm_epsilon", floats([PIXEL_NORM_EPSILON]))
        return self.node("Div", [x, self.node("Sqrt", [self.node("Add", [mean, epsilon])])])

    def model(
        self,
        name: str,
        inputs: Iterable[onnx.ValueInfoProto],
        outputs: Iterable[onnx.ValueInfoProto],
        *,
        opset: int,
    ) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes, name, list(inputs), list(outputs), list(self.weights.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=IR_VERSION,
            producer_name="Faceloom",
            producer_version=version("faceloom"),
        )


def picture_info(name: str, side: int, channels: int) -> onnx.ValueInfoProto:
    """A float32 input or output (N, side, side, channels), N of any size."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", side, side, channels])


class NetworkWriter:
    """Adds the layers of one network to a graph, by their attribute names."""

    def __init__(self, graph: OnnxGraph, name: str, network: nn.Module) -> None:
        self.graph = graph
        self.name = name
        self.network = network

    def layer_weight(self, key: str, *, half: bool) -> str:
        """A tensor of the network as a constant; colours in DFL's order."""
        return self.graph.weight(
            f"{self.name}.{key}", _number(self.array(key), half=half and self.graph.half)
        )

    def array(self, key: str) -> Array:
        """A tensor of the network, colours in DFL's order."""
        array = plain(self.network.get_parameter(key))
        axis = colour_axis(self.name, key)
        return array if axis is None else np.flip(array, axis)

    def conv(self, key: str, x: str, *, stride: int = 1) -> str:
        weight = self.layer_weight(f"{key}.weight", half=True)
        bias = self.layer_weight(f"{key}.bias", half=True)
        side = self.network.get_parameter(f"{key}.weight").shape[-1]
        return self.graph.node(
            "Conv",
            [x, weight, bias],
            kernel_shape=[side, side],
            pads=[side // 2] * 4,
            strides=[stride, stride],
        )

    def dense(self, key: str, x: str) -> str:
        """Of float32 `b n`, always in float32."""
        weight = self.layer_weight(f"{key}.weight", half=False)
        bias = self.layer_weight(f"{key}.bias", half=False)
        return self.graph.node("Gemm", [x, weight, bias], transB=1)

    def maps(self, x: str, channels: int, side: int) -> str:
        """`b c·s·s` → `b c s s`."""
        shape = self.graph.weight(
            f"{self.name}.shape", np.array([-1, channels, side, side], np.int64)
        )
        return self.graph.node("Reshape", [x, shape])

    def down(self, key: str, x: str, activation: Activation) -> str:
        return self.graph.activate(
            self.conv(f"{key}.conv1", x, stride=2), activation, SLOPE_SCALING
        )

    def up(self, key: str, x: str, activation: Activation) -> str:
        x = self.graph.activate(self.conv(f"{key}.conv1", x), activation, SLOPE_SCALING)
        return self.graph.depth_to_space(x)

    def residual(self, key: str, x: str, activation: Activation) -> str:
        inner = self.graph.activate(self.conv(f"{key}.conv1", x), activation, SLOPE_RESIDUAL)
        whole = self.graph.node("Add", [x, self.conv(f"{key}.conv2", inner)])
        return self.graph.activate(whole, activation, SLOPE_RESIDUAL)


def write_encoder(graph: OnnxGraph, encoder: Encoder, image: str) -> str:
    """float32 `b 3 r r` → float32 `b flat`, with pixel norm for flag U."""
    net = NetworkWriter(graph, "encoder", encoder)
    act = encoder.archi.activation
    x = graph.narrow(image)
    if encoder.archi.t:
        for number in range(1, 6):
            x = net.down(f"down{number}", x, act)
            if number in (1, 5):
                x = net.residual(f"res{number}", x, act)
    else:
        for number in range(4):
            x = net.down(f"down1.downs.{number}", x, act)
    x = graph.widen(graph.node("Flatten", [x], axis=1))
    return graph.pixel_norm(x) if encoder.archi.u else x


class DecoderWriter:
    """Adds a decoder's two branches, for a code in the precision of convolutions."""

    def __init__(
        self, graph: OnnxGraph, name: str, decoder: Decoder, activation: Activation
    ) -> None:
        self._net = NetworkWriter(graph, name, decoder)
        self._decoder = decoder
        self._act: Activation = activation

    def image(self, code: str) -> str:
        """Code → float32 `b 3 r r` in [0, 1]."""
        net, graph, x = self._net, self._net.graph, code
        for number in range(self._decoder.stages):
            x = net.up(f"upscale{number}", x, self._act)
            x = net.residual(f"res{number}", x, self._act)
        x = (
            graph.depth_to_space(self._sub_pixels(x))
            if self._decoder.sub_pixel
            else net.conv("out_conv", x)
        )
        return graph.sigmoid(graph.widen(x))

    def mask(self, code: str) -> str:
        """Code → float32 `b 1 r r` in [0, 1]."""
        net, x = self._net, code
        for number in range(self._decoder.mask_stages):
            x = net.up(f"upscalem{number}", x, self._act)
        return net.graph.sigmoid(net.graph.widen(net.conv("out_convm", x)))

    def _sub_pixels(self, x: str) -> str:
        """The head's four convolutions as a single 3×3 one, the 1×1 padded with zeros."""
        net, graph = self._net, self._net.graph
        first = np.pad(net.array("out_conv.weight"), ((0, 0), (0, 0), (1, 1), (1, 1)))
        weights = [first, *(net.array(f"out_conv{n}.weight") for n in (1, 2, 3))]
        biases = [net.array(f"{head}.bias") for head in ("out_conv", *_OTHER_HEADS)]
        weight = _number(np.concatenate(weights), half=graph.half)
        bias = _number(np.concatenate(biases), half=graph.half)
        names = [
            graph.weight(f"{net.name}.out_conv.weights", weight),
            graph.weight(f"{net.name}.out_conv.biases", bias),
        ]
        return graph.node("Conv", [x, *names], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])


_OTHER_HEADS = ("out_conv1", "out_conv2", "out_conv3")


def floats(values: ArrayLike) -> Array:
    """Numbers as a float32 array."""
    return np.array(values, np.float32)


def plain(tensor: Tensor) -> Array:
    """A tensor as a contiguous float32 array in NCHW order."""
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def _number(array: Array, *, half: bool) -> Array:
    return array.astype(np.float16 if half else np.float32)


def save_onnx(
    made: onnx.ModelProto, path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write an ONNX file with `metadata`, whatever its name ends in."""
    helper.set_model_props(made, dict(metadata or {}))
    Path(path).write_bytes(made.SerializeToString())


def open_onnx(path: str | Path) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on the CPU, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def random_faces(side: int, seed: int) -> Tensor:
    """Two pictures of noise, `2 3 side side` RGB in [0, 1]."""
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def to_bgr_pixels(pictures: Tensor) -> Array:
    """RGB or one channel, `b c h w` → `b h w c`, RGB turned to BGR."""
    return np.ascontiguousarray(pictures.cpu().permute(0, 2, 3, 1).numpy()[..., ::-1])
