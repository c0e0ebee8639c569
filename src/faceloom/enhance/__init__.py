"""Super-resolution of face pictures."""

from faceloom.enhance.network import CompactSR, load_realesr
from faceloom.enhance.tiles import SCALE, Enhancer

__all__ = ["SCALE", "CompactSR", "Enhancer", "load_realesr"]
