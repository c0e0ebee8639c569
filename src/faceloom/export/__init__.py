"""Models for other programs: DeepFaceLab's files in and out, DFM for DeepFaceLive."""

from faceloom.export.dfl_folder import DflFiles, dfl_file_name, find_dfl_model, list_dfl_models
from faceloom.export.dfl_model import DflModel, Loaded, build_dfl_model, read_dfl_model
from faceloom.export.dfl_options import lost_settings
from faceloom.export.dfl_write import write_dfl_model
from faceloom.export.dfm import DFM_CLASSES, check_dfm, make_dfm
from faceloom.export.xseg_onnx import check_xseg_onnx, make_xseg_onnx

__all__ = [
    "DFM_CLASSES",
    "DflFiles",
    "DflModel",
    "Loaded",
    "build_dfl_model",
    "check_dfm",
    "check_xseg_onnx",
    "dfl_file_name",
    "find_dfl_model",
    "list_dfl_models",
    "lost_settings",
    "make_dfm",
    "make_xseg_onnx",
    "read_dfl_model",
    "write_dfl_model",
]
