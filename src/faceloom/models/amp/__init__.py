"""AMP: a face that morphs gradually into another."""

from faceloom.models.amp.model import AmpModel, build_amp
from faceloom.models.amp.network import ARCHI, AmpDims, AmpEncoder, AmpGraph, AmpInter

__all__ = ["ARCHI", "AmpDims", "AmpEncoder", "AmpGraph", "AmpInter", "AmpModel", "build_amp"]
