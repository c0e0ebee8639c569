"""Colour transfer between pictures. `faceloom.color.batched` does it for batches, in torch."""

from faceloom.color.transfer import TRANSFERS, Transfer, idt, lct, mkl, rct, sot
from faceloom.core.vocabulary import MaskStatistics, TransferName, TransferStatistics

__all__ = [
    "TRANSFERS",
    "MaskStatistics",
    "Transfer",
    "TransferName",
    "TransferStatistics",
    "idt",
    "lct",
    "mkl",
    "rct",
    "sot",
]
