"""XSeg: the model that learns a face's mask."""

from faceloom.models.xseg.blocks import BlurPool
from faceloom.models.xseg.model import XsegModel, build_xseg
from faceloom.models.xseg.network import DEPTHS, HALVINGS, XsegNetwork

__all__ = ["DEPTHS", "HALVINGS", "BlurPool", "XsegModel", "XsegNetwork", "build_xseg"]
