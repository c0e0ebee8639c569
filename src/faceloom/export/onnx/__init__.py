"""Models as ONNX: DFM for DeepFaceLive, and XSeg."""

from faceloom.export.onnx.dfm import DFM_CLASSES, check_dfm, make_dfm
from faceloom.export.onnx.xseg import check_xseg_onnx, make_xseg_onnx

__all__ = ["DFM_CLASSES", "check_dfm", "check_xseg_onnx", "make_dfm", "make_xseg_onnx"]
