"""Graphics cards and their data sheets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from faceloom.core import InputError

GIB = 1 << 30


@dataclass(frozen=True)
class Card:
    """A GPU according to its data sheet; rates are peaks that no program reaches."""

    name: str
    memory: int
    """Bytes."""
    bf16_tflops: float | None
    """Dense bfloat16 on the matrix units with float32 sums; None if it has no bfloat16."""
    fp32_tflops: float | None
    """float32 outside the matrix units; None if only the memory is known."""
    gb_per_s: float
    """Memory bandwidth; 0 if unknown."""


def _card(name: str, gib: float, bf16: float | None, fp32: float, bandwidth: float) -> Card:
    return Card(name, int(gib * GIB), bf16, fp32, bandwidth)


CARDS = (
    _card("GTX 1080 Ti", 11, None, 11.3, 484),
    _card("RTX 2060", 6, None, 6.5, 336),
    _card("RTX 2080 Ti", 11, None, 13.4, 616),
    _card("RTX 3050", 8, 18.2, 9.1, 224),
    _card("RTX 3060", 12, 25.5, 12.7, 360),
    _card("RTX 3060 Ti", 8, 32.4, 16.2, 448),
    _card("RTX 3070", 8, 40.6, 20.3, 448),
    _card("RTX 3080", 10, 59.5, 29.8, 760),
    _card("RTX 3090", 24, 71.0, 35.6, 936),
    _card("RTX 4060", 8, 30.2, 15.1, 272),
    _card("RTX 4060 Ti", 16, 44.1, 22.1, 288),
    _card("RTX 4070", 12, 58.3, 29.1, 504),
    _card("RTX 4070 Ti Super", 16, 88.2, 44.1, 672),
    _card("RTX 4080", 16, 97.5, 48.7, 717),
    _card("RTX 4090", 24, 165.2, 82.6, 1008),
    _card("RTX 5070", 12, 61.7, 30.9, 672),
    _card("RTX 5070 Ti", 16, 87.9, 43.9, 896),
    _card("RTX 5080", 16, 112.6, 56.3, 960),
    _card("RTX 5090", 32, 209.5, 104.8, 1792),
    _card("RTX A6000", 48, 154.8, 38.7, 768),
    _card("T4", 16, None, 8.1, 320),
    _card("V100", 16, None, 15.7, 900),
    _card("A10", 24, 125.0, 31.2, 600),
    _card("L4", 24, 121.0, 30.3, 300),
    _card("L40S", 48, 362.0, 91.6, 864),
    _card("A100 40GB", 40, 312.0, 19.5, 1555),
    _card("A100 80GB", 80, 312.0, 19.5, 2039),
    _card("H100 PCIe", 80, 756.0, 51.0, 2000),
    _card("H100", 80, 989.0, 67.0, 3350),
    _card("H200", 141, 989.0, 67.0, 4800),
)
"""Memory in GiB, TFLOP/s, GB/s; the SXM board if a name has several."""


def find_card(text: str) -> Card:
    """The card called `text`, or for `24 GB` one of which only the memory is known.

    Case, spaces and brand prefixes do not matter. Raises `InputError` for an unknown card.
    """
    if size := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*gi?b?\s*", text.lower()):
        return Card(f"a {size[1]} GB card", int(float(size[1]) * GIB), None, None, 0.0)
    wanted = _plain(text)
    for card in CARDS:
        if wanted and wanted in (_plain(card.name), _plain(card.name) + f"{card.memory // GIB}gb"):
            return card
    names = ", ".join(card.name for card in CARDS)
    raise InputError(f"unknown card {text!r}; give its memory (such as '24 GB') or one of: {names}")


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|rtx|gtx|[^a-z0-9]", "", name.lower())
