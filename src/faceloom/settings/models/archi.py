"""Architecture names such as `liae-udt`, and the layer sizes that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from faceloom.core.errors import InputError

_NAME = re.compile(r"(df|liae)(?:-([udtc]+))?")


@dataclass(frozen=True)
class Archi:
    """A parsed architecture name.

    `u`: pixel norm of the encoder's vector. `d`: half-size decoder with a sub-pixel head.
    `t`: deeper encoder and decoder. `c`: x·cos(x) in place of leaky ReLU.
    """

    kind: Literal["df", "liae"]
    u: bool = False
    d: bool = False
    t: bool = False
    c: bool = False

    @property
    def name(self) -> str:
        """The canonical spelling: lower case, flags in the order u d t c."""
        flags = "".join(flag for flag in "udtc" if getattr(self, flag))
        return f"{self.kind}-{flags}" if flags else self.kind

    @property
    def activation(self) -> Literal["leaky", "xcosx"]:
        """The activation of every block except the sigmoid heads."""
        return "xcosx" if self.c else "leaky"

    @property
    def resolution_step(self) -> int:
        """What the resolution must be a multiple of: 32 with D or T, else 16."""
        return 32 if self.d or self.t else 16


def parse_archi(name: str) -> Archi:
    """Parse `df` or `liae`, optionally `-` and letters of `udtc` in any order and case.

    Raises `InputError` naming what does not fit.
    """
    match = _NAME.fullmatch(name.strip().lower())
    if match is None:
        raise InputError(
            f"archi {name!r}: expected df or liae, optionally with flags of u, d, t, c,"
            " as in liae-ud"
        )
    flags = match[2] or ""
    if len(set(flags)) != len(flags):
        raise InputError(f"archi {name!r}: a flag appears twice")
    kind: Literal["df", "liae"] = "df" if match[1] == "df" else "liae"
    return Archi(kind, **dict.fromkeys(flags, True))


@dataclass(frozen=True)
class Ledger:
    """Sides in pixels and lengths of one model, from encoder to output."""

    encoder_side: int
    """Side of the encoder's output map."""
    flat: int
    """Length of the encoder's flattened vector."""
    dense_side: int
    """Side of the map that the inter's second dense layer makes."""
    inter_side: int
    """Side of the inter's output, the decoder's input."""


def ledger(archi: Archi, resolution: int, e_dims: int) -> Ledger:
    """The sizes of a model; `resolution` must be a multiple of `archi.resolution_step`."""
    encoder_side = resolution // (32 if archi.t else 16)
    dense_side = resolution // (32 if archi.d else 16)
    return Ledger(
        encoder_side=encoder_side,
        flat=8 * e_dims * encoder_side**2,
        dense_side=dense_side,
        inter_side=dense_side if archi.t else 2 * dense_side,
    )
