"""Training a face model: batches, the loop, exact checkpoints, losses, previews.

`faceloom.training.timelapse` makes a video of the preview history.
"""

from faceloom.training.batches import BatchSource, PairSource
from faceloom.training.checkpoint import (
    ModelState,
    Weights,
    load_history,
    load_model,
    read_state,
    save_state,
    sweep,
    update_state,
)
from faceloom.training.device import PrecisionChoice, choose_device, choose_precision, computing
from faceloom.training.events import Event, EventLog, read_events
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
from faceloom.training.parallel import World, processes, world_from_environment
from faceloom.training.preview import Preview, PreviewFaces, choose_faces, make_preview
from faceloom.training.recipes import Course, Recipe, load_course, recipe_names
from faceloom.training.schedule import Schedule
from faceloom.training.session import Session
from faceloom.training.session_plan import Plan, device_name
from faceloom.training.settings import changed_settings, first_settings, foreign_settings
from faceloom.training.sides import Material, PairMaterial
from faceloom.training.snapshots import backup
from faceloom.training.trainer import Outcome, Trainer

__all__ = [
    "BatchSource",
    "Course",
    "Event",
    "EventLog",
    "LossHistory",
    "Material",
    "ModelFolder",
    "ModelState",
    "Outcome",
    "PairMaterial",
    "PairSource",
    "Plan",
    "PrecisionChoice",
    "Preview",
    "PreviewFaces",
    "Recipe",
    "Schedule",
    "Session",
    "Trainer",
    "Weights",
    "World",
    "backup",
    "changed_settings",
    "choose_device",
    "choose_faces",
    "choose_precision",
    "computing",
    "device_name",
    "draw_curve",
    "draw_strip",
    "find_model",
    "first_settings",
    "foreign_settings",
    "list_models",
    "load_course",
    "load_history",
    "load_model",
    "locked",
    "make_preview",
    "model_folder",
    "processes",
    "read_events",
    "read_history",
    "read_state",
    "recipe_names",
    "save_state",
    "split_name",
    "sweep",
    "update_state",
    "world_from_environment",
    "write_curve",
    "write_page",
    "write_preview",
]
