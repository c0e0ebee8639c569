"""Encoder, inter and decoder, and how the DF and LIAE architectures connect them.

Images are RGB `b 3 r r` in [0, 1]. Vectors are flattened in c, h, w order whatever the memory
format. Attribute names are DFL's tensor names. The layers are described in
docs/internals/networks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceloom.nn import (
    Downscale,
    DownscaleStack,
    ResidualBlock,
    Upscale,
    conv,
    dense,
    depth_to_space,
    pixel_norm,
    recomputed,
)
from faceloom.settings.models import Archi, ledger


class Encoder(nn.Module):
    """`b 3 r r` → `b 8e·s²`, s = r/16, or r/32 with T; pixel norm at the end with U."""

    def __init__(self, archi: Archi, e_dims: int) -> None:
        super().__init__()
        act = archi.activation
        self.archi = archi
        self.checkpointing = False
        """Compute each stage's activations anew in the backward pass."""
        if archi.t:
            self.down1 = Downscale(3, e_dims, act)
            self.res1 = ResidualBlock(e_dims, act)
            self.down2 = Downscale(e_dims, 2 * e_dims, act)
            self.down3 = Downscale(2 * e_dims, 4 * e_dims, act)
            self.down4 = Downscale(4 * e_dims, 8 * e_dims, act)
            self.down5 = Downscale(8 * e_dims, 8 * e_dims, act)
            self.res5 = ResidualBlock(8 * e_dims, act)
        else:
            self.down1 = DownscaleStack([3, *(e_dims * m for m in (1, 2, 4, 8))], act)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for stage in self._stages():
            x = recomputed(stage, x, when=self.checkpointing)
        x = x.flatten(1)
        return pixel_norm(x) if self.archi.u else x

    def _stages(self) -> list[Callable[[Tensor], Tensor]]:
        if not self.archi.t:
            return list(self.get_submodule("down1.downs").children())
        return [
            lambda x: self.res1(self.down1(x)),
            self.down2,
            self.down3,
            self.down4,
            lambda x: self.res5(self.down5(x)),
        ]


class Inter(nn.Module):
    """`b flat` → `b ae_out i i`: two dense layers without activation, then (not T) an upscale."""

    def __init__(self, archi: Archi, resolution: int, e_dims: int, ae: int, ae_out: int) -> None:
        super().__init__()
        sizes = ledger(archi, resolution, e_dims)
        self.side = sizes.dense_side
        self.out_channels = ae_out
        self.dense1 = nn.Linear(sizes.flat, ae)
        self.dense2 = nn.Linear(ae, self.side**2 * ae_out)
        self.upscale1 = None if archi.t else Upscale(ae_out, ae_out, archi.activation)

    def forward(self, vector: Tensor) -> Tensor:
        x = dense(dense(vector, self.dense1), self.dense2)
        x = x.reshape(-1, self.out_channels, self.side, self.side)
        return x if self.upscale1 is None else self.upscale1(x)


class Decoder(nn.Module):
    """`b in i i` → image `b 3 r r` and mask `b 1 r r`, both float32 in [0, 1]."""

    def __init__(self, archi: Archi, in_channels: int, d_dims: int, d_mask_dims: int) -> None:
        super().__init__()
        act = archi.activation
        multiples = (8, 8, 4, 2) if archi.t else (8, 4, 2)
        self.sub_pixel = archi.d
        self.checkpointing = False
        """Compute each stage's activations anew in the backward pass."""
        self.stages = len(multiples)
        before = in_channels
        for i, multiple in enumerate(multiples):
            self.add_module(f"upscale{i}", Upscale(before, multiple * d_dims, act))
            self.add_module(f"res{i}", ResidualBlock(multiple * d_dims, act))
            before = multiple * d_dims
        self.out_conv = conv(before, 3, 1)
        if archi.d:
            self.out_conv1 = conv(before, 3, 3)
            self.out_conv2 = conv(before, 3, 3)
            self.out_conv3 = conv(before, 3, 3)

        mask_multiples = (*multiples, 1) if archi.d else multiples
        self.mask_stages = len(mask_multiples)
        before = in_channels
        for i, multiple in enumerate(mask_multiples):
            self.add_module(f"upscalem{i}", Upscale(before, multiple * d_mask_dims, act))
            before = multiple * d_mask_dims
        self.out_convm = conv(before, 1, 1)

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        return self.image(code), self.mask(code)

    def image(self, code: Tensor) -> Tensor:
        """The image alone."""
        x = code
        for i in range(self.stages):
            x = recomputed(partial(self._image_stage, i), x, when=self.checkpointing)
        x = depth_to_space(self._sub_pixels(x)) if self.sub_pixel else self.out_conv(x)
        return torch.sigmoid(x.float())

    def mask(self, code: Tensor) -> Tensor:
        """The mask alone."""
        x = code
        for i in range(self.mask_stages):
            x = recomputed(self.get_submodule(f"upscalem{i}"), x, when=self.checkpointing)
        return torch.sigmoid(self.out_convm(x).float())

    def _image_stage(self, index: int, x: Tensor) -> Tensor:
        return self.get_submodule(f"res{index}")(self.get_submodule(f"upscale{index}")(x))

    def _sub_pixels(self, x: Tensor) -> Tensor:
        """The four head convolutions as one: the 1×1 is a 3×3 with zeros around its middle."""
        first = self.out_conv
        others = (self.out_conv1, self.out_conv2, self.out_conv3)
        weight = torch.cat([F.pad(first.weight, (1, 1, 1, 1)), *(c.weight for c in others)])
        bias = torch.cat([c.bias for c in (first, *others) if c.bias is not None])
        return F.conv2d(x, weight, bias, padding=1)


def recomputing_parts(graph: nn.Module) -> list[Encoder | Decoder]:
    """The networks of `graph` that have a switch `checkpointing`."""
    return [part for part in graph.modules() if isinstance(part, Encoder | Decoder)]


@dataclass(frozen=True)
class Dims:
    """Resolution and widths that shape a model's networks."""

    resolution: int
    ae: int
    e: int
    d: int
    d_mask: int


@dataclass(frozen=True)
class Decoded:
    """A decoder's output for src and dst together: src's samples first."""

    image: Tensor
    mask: Tensor

    def of(self, samples: slice) -> Decoded:
        """Some of the samples."""
        return Decoded(self.image[samples], self.mask[samples])


@dataclass(frozen=True)
class Codes:
    """What the decoders take, `b c i i` each."""

    src: Tensor
    """For src-src."""
    dst: Tensor
    """For dst-dst."""
    swap: Tensor
    """For src-dst; see `Graph.decode_swap`."""


class Graph(nn.Module):
    """Networks and their wiring; children carry DFL's network names."""

    @property
    def checkpointing(self) -> bool:
        """Whether encoder and decoders compute their stages' activations anew in the backward pass
        instead of keeping them; settable."""
        return any(part.checkpointing for part in recomputing_parts(self))

    @checkpointing.setter
    def checkpointing(self, value: bool) -> None:
        for part in recomputing_parts(self):
            part.checkpointing = value

    def encode(self, src: Tensor, dst: Tensor) -> Codes:
        """The codes of `s 3 r r` and `d 3 r r`."""
        raise NotImplementedError

    def decode(self, codes: Codes) -> Decoded:
        """src-src and dst-dst, stacked to `s+d …`."""
        raise NotImplementedError

    def decode_swap(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """src-dst image and mask of `Codes.swap`."""
        raise NotImplementedError

    def rebuild(self, src: Tensor, dst: Tensor) -> Decoded:
        """src-src and dst-dst of `s 3 r r` and `d 3 r r`, stacked to `s+d …`."""
        return self.decode(self.encode(src, dst))

    def swap(self, dst: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """src-dst image, its mask, and the mask of dst-dst, of `b 3 r r`."""
        raise NotImplementedError


class DfGraph(Graph):
    """One shared encoder and inter, a decoder for each face."""

    def __init__(self, archi: Archi, dims: Dims) -> None:
        super().__init__()
        self.encoder = Encoder(archi, dims.e)
        self.inter = Inter(archi, dims.resolution, dims.e, dims.ae, dims.ae)
        self.decoder_src = Decoder(archi, dims.ae, dims.d, dims.d_mask)
        self.decoder_dst = Decoder(archi, dims.ae, dims.d, dims.d_mask)

    def encode(self, src: Tensor, dst: Tensor) -> Codes:
        codes = self.inter(self.encoder(torch.cat([src, dst])))
        code_src, code_dst = codes.split([len(src), len(dst)])
        return Codes(src=code_src, dst=code_dst, swap=code_dst)

    def decode(self, codes: Codes) -> Decoded:
        image_src, mask_src = self.decoder_src(codes.src)
        image_dst, mask_dst = self.decoder_dst(codes.dst)
        return Decoded(torch.cat([image_src, image_dst]), torch.cat([mask_src, mask_dst]))

    def decode_swap(self, code: Tensor) -> tuple[Tensor, Tensor]:
        return self.decoder_src(code)

    def swap(self, dst: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.inter(self.encoder(dst))
        image, mask = self.decoder_src(code)
        return image, mask, self.decoder_dst.mask(code)


class LiaeGraph(Graph):
    """Two inters, AB for what both faces share and B for dst, and one decoder for their pair."""

    def __init__(self, archi: Archi, dims: Dims) -> None:
        super().__init__()
        self.encoder = Encoder(archi, dims.e)
        self.inter_AB = Inter(archi, dims.resolution, dims.e, dims.ae, 2 * dims.ae)
        self.inter_B = Inter(archi, dims.resolution, dims.e, dims.ae, 2 * dims.ae)
        self.decoder = Decoder(archi, 4 * dims.ae, dims.d, dims.d_mask)

    def encode(self, src: Tensor, dst: Tensor) -> Codes:
        vectors = self.encoder(torch.cat([src, dst]))
        shared = self.inter_AB(vectors)
        shared_src, shared_dst = shared.split([len(src), len(dst)])
        own_dst = self.inter_B(vectors[len(src) :])
        return Codes(
            src=torch.cat([shared_src, shared_src], 1),
            dst=torch.cat([own_dst, shared_dst], 1),
            swap=torch.cat([shared_dst, shared_dst], 1),
        )

    def decode(self, codes: Codes) -> Decoded:
        return Decoded(*self.decoder(torch.cat([codes.src, codes.dst])))

    def decode_swap(self, code: Tensor) -> tuple[Tensor, Tensor]:
        return self.decoder(code)

    def swap(self, dst: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors = self.encoder(dst)
        shared = self.inter_AB(vectors)
        image, mask = self.decoder(torch.cat([shared, shared], 1))
        return image, mask, self.decoder.mask(torch.cat([self.inter_B(vectors), shared], 1))


def make_graph(archi: Archi, dims: Dims) -> Graph:
    """The networks of `archi`, on the default device, not yet initialised by us."""
    return DfGraph(archi, dims) if archi.kind == "df" else LiaeGraph(archi, dims)
