"""Facesets as training samples: decoded once, augmented in batches on the training device."""

from faceloom.samples.augment import AugmentSettings, Geometry, draw_geometry
from faceloom.samples.faces.draw import References, apply_geometry, draw_batch, plain_batch
from faceloom.samples.faces.prepare import Sample, prepare_sample
from faceloom.samples.faces.store import SampleStore, load_samples
from faceloom.samples.order import Order, ShuffledOrder, UniformYawOrder, yaw_bins
from faceloom.samples.xseg.draw import draw_mask_batch
from faceloom.samples.xseg.store import MaskStore, load_labelled, load_spread

__all__ = [
    "AugmentSettings",
    "Geometry",
    "MaskStore",
    "Order",
    "References",
    "Sample",
    "SampleStore",
    "ShuffledOrder",
    "UniformYawOrder",
    "apply_geometry",
    "draw_batch",
    "draw_geometry",
    "draw_mask_batch",
    "load_labelled",
    "load_samples",
    "load_spread",
    "plain_batch",
    "prepare_sample",
    "yaw_bins",
]
