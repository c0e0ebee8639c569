"""Colour: transfer between pictures."""

from faceloom.color.transfer import TRANSFERS, MaskStatistics, Transfer, rct

__all__ = ["TRANSFERS", "MaskStatistics", "Transfer", "rct"]
