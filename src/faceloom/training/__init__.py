"""Training a face model: batches, the loop, exact checkpoints, losses, previews.

`faceloom.training.timelapse` makes a video of the preview history.
"""

from faceloom.training.batches import BatchSource, PairSource
from faceloom.training.checkpoint import (
    ModelState,
    load_history,
    load_model,
    read_state,
    save_state,
    sweep,
)
from faceloom.training.device import PrecisionChoice, choose_device, choose_precision, computing
from faceloom.training.folder import (
    ModelFolder,
    find_model,
    list_models,
    locked,
    model_folder,
    split_name,
)
from faceloom.training.graph import draw_curve, draw_strip
from faceloom.training.history import LossHistory, read_history
from faceloom.training.live import write_curve, write_page, write_preview
from faceloom.training.preview import Preview, PreviewFaces, choose_faces, make_preview
from faceloom.training.settings import changed_settings, first_settings, foreign_settings
from faceloom.training.snapshots import backup
from faceloom.training.trainer import Schedule, Trainer

__all__ = [
    "BatchSource",
    "LossHistory",
    "ModelFolder",
    "ModelState",
    "PairSource",
    "PrecisionChoice",
    "Preview",
    "PreviewFaces",
    "Schedule",
    "Trainer",
    "backup",
    "changed_settings",
    "choose_device",
    "choose_faces",
    "choose_precision",
    "computing",
    "draw_curve",
    "draw_strip",
    "find_model",
    "first_settings",
    "foreign_settings",
    "list_models",
    "load_history",
    "load_model",
    "locked",
    "make_preview",
    "model_folder",
    "read_history",
    "read_state",
    "save_state",
    "split_name",
    "sweep",
    "write_curve",
    "write_page",
    "write_preview",
]
