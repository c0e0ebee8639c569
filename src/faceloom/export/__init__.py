"""Models for other programs: DeepFaceLab's files in and out, DFM for DeepFaceLive."""

from faceloom.export.dfl import (
    DflFiles,
    DflModel,
    Loaded,
    build_dfl_model,
    dfl_file_name,
    find_dfl_model,
    list_dfl_models,
    lost_settings,
    read_dfl_model,
    write_dfl_model,
)
from faceloom.export.onnx import (
    DFM_CLASSES,
    check_dfm,
    check_xseg_onnx,
    make_dfm,
    make_xseg_onnx,
)

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
