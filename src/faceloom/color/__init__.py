"""Colour: transfer between pictures. `faceloom.color.batched` has it for batches, in torch."""

from faceloom.color.linear import lct, mkl
from faceloom.color.pixels import MaskStatistics
from faceloom.color.transfer import TRANSFERS, Transfer, rct
from faceloom.color.transport import idt, sot
from faceloom.core.vocabulary import TransferName, TransferStatistics

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
