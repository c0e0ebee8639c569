"""AMP's networks and how their channels are mixed (reference: training.md 3.1, 3.2).

Images are RGB `b 3 r r` in [0, 1], r a multiple of 32. Attribute names are DFL's tensor names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceloom.models.networks import Decoded, Decoder, Encoder
from faceloom.nn import dense
from faceloom.settings.models import Archi, ledger

ARCHI = Archi("df", u=True, d=True, t=True)
"""AMP's parts are always in the manner of these flags."""


@dataclass(frozen=True)
class AmpDims:
    """Resolution and widths that shape an AMP model."""

    resolution: int
    ae: int
    inter: int
    e: int
    d: int
    d_mask: int


class AmpEncoder(Encoder):
    """`b 3 r r` → `b ae`: the encoder of flags U and T, then `dense1`."""

    def __init__(self, dims: AmpDims) -> None:
        super().__init__(ARCHI, dims.e)
        self.dense1 = nn.Linear(ledger(ARCHI, dims.resolution, dims.e).flat, dims.ae)

    def forward(self, image: Tensor) -> Tensor:
        return dense(super().forward(image), self.dense1)


class AmpInter(nn.Module):
    """`b ae` → `b inter s s`, s = r/32: one dense layer without activation."""

    def __init__(self, dims: AmpDims) -> None:
        super().__init__()
        self.side = ledger(ARCHI, dims.resolution, dims.e).dense_side
        self.out_channels = dims.inter
        self.dense2 = nn.Linear(dims.ae, self.side**2 * dims.inter)

    def forward(self, vector: Tensor) -> Tensor:
        return dense(vector, self.dense2).reshape(-1, self.out_channels, self.side, self.side)


class AmpGraph(nn.Module):
    """One encoder and decoder; each channel of the code between them comes from one of two inters.

    dst's code comes from `inter_dst` alone. src's comes from both, a random choice of channels
    from `inter_src`; so the decoder learns to draw from any mixture, and a swap may choose one.
    """

    def __init__(self, dims: AmpDims) -> None:
        super().__init__()
        self.encoder = AmpEncoder(dims)
        self.inter_src = AmpInter(dims)
        self.inter_dst = AmpInter(dims)
        self.decoder = Decoder(ARCHI, dims.inter, dims.d, dims.d_mask)

    def rebuild(self, src: Tensor, dst: Tensor, from_src: Tensor) -> Decoded:
        """src-src and dst-dst of `s 3 r r` and `d 3 r r`, stacked to `s+d …`.

        `from_src`, `s inter` bool, tells which channels of src's code come from `inter_src`.
        """
        vectors = self.encoder(torch.cat([src, dst]))
        of_dst = self.inter_dst(vectors)
        of_src = self.inter_src(vectors[: len(src)])
        code_src = torch.where(from_src[..., None, None], of_src, of_dst[: len(src)])
        return Decoded(*self.decoder(torch.cat([code_src, of_dst[len(src) :]])))

    def swap(self, dst: Tensor, morph: float) -> tuple[Tensor, Tensor, Tensor]:
        """src-dst image, its mask, and the mask of dst-dst, of `b 3 r r`.

        The first ⌊inter · morph⌋ channels come from `inter_src`, the others from `inter_dst`.
        """
        vectors = self.encoder(dst)
        code_dst = self.inter_dst(vectors)
        count = int(self.inter_src.out_channels * morph)
        code = torch.cat([self.inter_src(vectors)[:, :count], code_dst[:, count:]], 1)
        image, mask = self.decoder(code)
        return image, mask, self.decoder.mask(code_dst)
