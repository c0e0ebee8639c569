"""Sharper pictures: super-resolution of faces."""

from faceloom.enhance.network import CompactSR, load_realesr
from faceloom.enhance.tiles import SCALE, Enhancer

__all__ = ["SCALE", "CompactSR", "Enhancer", "load_realesr"]
