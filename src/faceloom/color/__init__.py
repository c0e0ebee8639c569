"""Colour: transfer between pictures."""

from faceloom.color.transfer import TRANSFERS, MaskStatistics, Transfer, TransferName, rct

__all__ = ["TRANSFERS", "MaskStatistics", "Transfer", "TransferName", "rct"]
