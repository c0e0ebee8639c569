"""Training a face model: batches, the loop, exact checkpoints, losses, previews.

`faceloom.training.previews.timelapse` makes a video of the preview history.
"""

from faceloom.training.distributed.parallel import World, processes, world_from_environment
from faceloom.training.material.base import Material
from faceloom.training.material.pair import BatchSource, PairMaterial, PairSource
from faceloom.training.previews.files import write_curve, write_page, write_preview
from faceloom.training.previews.loss_curve import draw_curve, draw_strip
from faceloom.training.previews.pair import PreviewFaces, choose_faces, make_preview
from faceloom.training.previews.preview import Preview
from faceloom.training.recipes import Recipe, RecipeRun, load_recipe, recipe_names
from faceloom.training.session import Session, SessionSpec, device_name
from faceloom.training.settings import changed_settings, first_settings, foreign_settings
from faceloom.training.trainer import Outcome, Trainer

__all__ = [
    "BatchSource",
    "Material",
    "Outcome",
    "PairMaterial",
    "PairSource",
    "Preview",
    "PreviewFaces",
    "Recipe",
    "RecipeRun",
    "Session",
    "SessionSpec",
    "Trainer",
    "World",
    "changed_settings",
    "choose_faces",
    "device_name",
    "draw_curve",
    "draw_strip",
    "first_settings",
    "foreign_settings",
    "load_recipe",
    "make_preview",
    "processes",
    "recipe_names",
    "world_from_environment",
    "write_curve",
    "write_page",
    "write_preview",
]
