"""The points in a pickle, many at once: most of a face's metadata are lists of two floats.

As CPython writes them, each with its place in the memo, they are recognized together, which takes
a tenth of the time; what is spelled otherwise goes operation by operation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from mmap import mmap
from typing import Final

import numpy as np

_PAIR = rb"\(G.{8}G.{8}e"
# Protocol 1 to 3 number each list in one or four bytes, protocol 4 counts them in silence.
_PAIRS: Final = re.compile(
    rb"(?:\]q.%b){2,}|(?:\]r.{4}%b){2,}|(?:\]\x94%b){2,}" % (_PAIR, _PAIR, _PAIR), re.DOTALL
)
_NUMBER_WIDTHS: Final = {ord("q"): 1, ord("r"): 4, 0x94: 0}


@dataclass(frozen=True)
class Pairs:
    """Lists of two floats that follow each other."""

    pairs: list[list[float]]
    numbers: list[int] | None
    """Their places in the memo; None: the next ones."""
    end: int
    """Where the pickle goes on."""


def read_pairs(data: bytes | mmap, start: int) -> Pairs | None:
    """The pairs from `start` on; None when there are not at least two."""
    match = _PAIRS.match(data, start)
    if match is None:
        return None
    raw = match[0]
    width = _NUMBER_WIDTHS[raw[1]]
    head = width + 4
    form = np.dtype([("head", f"V{head}"), ("x", ">f8"), ("g", "V1"), ("y", ">f8"), ("e", "V1")])
    pairs = [[x, y] for _, x, _, y, _ in np.frombuffer(raw, form).tolist()]
    numbers = None
    if width:
        place = np.dtype([("head", "V2"), ("number", f"<u{width}"), ("rest", "V20")])
        numbers = np.frombuffer(raw, place)["number"].tolist()
    return Pairs(pairs, numbers, match.end())
