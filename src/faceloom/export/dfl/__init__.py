"""DeepFaceLab's model files, in and out."""

from faceloom.export.dfl.folder import DflFiles, dfl_file_name, find_dfl_model, list_dfl_models
from faceloom.export.dfl.model import DflModel, Loaded, build_dfl_model, read_dfl_model
from faceloom.export.dfl.options import lost_settings
from faceloom.export.dfl.write import write_dfl_model

__all__ = [
    "DflFiles",
    "DflModel",
    "Loaded",
    "build_dfl_model",
    "dfl_file_name",
    "find_dfl_model",
    "list_dfl_models",
    "lost_settings",
    "read_dfl_model",
    "write_dfl_model",
]
