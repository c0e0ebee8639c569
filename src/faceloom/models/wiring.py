"""How encoder, inters and decoders are wired in DF and LIAE (reference: training.md 1.7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceloom.models.networks import Decoder, Encoder, Inter, recomputing_parts
from faceloom.settings.models import Archi


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
