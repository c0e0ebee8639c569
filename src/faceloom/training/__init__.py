"""Training a face model: batches, the loop, exact checkpoints, losses, previews.

`faceloom.training.previews.timelapse` makes a video of the preview history.
"""

from faceloom.training.distributed.parallel import World, processes, world_from_environment
from faceloom.training.material.batches import BatchSource, PairSource
from faceloom.training.material.sides import Material, PairMaterial
from faceloom.training.previews.live import write_curve, write_page, write_preview
from faceloom.training.previews.loss_curve import draw_curve, draw_strip
from faceloom.training.previews.preview import Preview, PreviewFaces, choose_faces, make_preview
from faceloom.training.recipes import Course, Recipe, load_course, recipe_names
from faceloom.training.schedule import Schedule
from faceloom.training.session import Session
from faceloom.training.session_plan import Plan, device_name
from faceloom.training.settings import changed_settings, first_settings, foreign_settings
from faceloom.training.trainer import Outcome, Trainer

__all__ = [
    "BatchSource",
    "Course",
    "Material",
    "Outcome",
    "PairMaterial",
    "PairSource",
    "Plan",
    "Preview",
    "PreviewFaces",
    "Recipe",
    "Schedule",
    "Session",
    "Trainer",
    "World",
    "changed_settings",
    "choose_faces",
    "device_name",
    "draw_curve",
    "draw_strip",
    "first_settings",
    "foreign_settings",
    "load_course",
    "make_preview",
    "processes",
    "recipe_names",
    "world_from_environment",
    "write_curve",
    "write_page",
    "write_preview",
]
