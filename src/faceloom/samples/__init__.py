"""Facesets as training samples: decoded once, augmented in batches on the training device."""

from faceloom.samples.augment import AugmentSettings, Geometry, draw_geometry
from faceloom.samples.draw import References, SampleBatch, apply_geometry, draw_batch, plain_batch
from faceloom.samples.order import Order, ShuffledOrder, UniformYawOrder, yaw_bins
from faceloom.samples.prepare import Sample, prepare_sample
from faceloom.samples.store import SampleStore, load_samples

__all__ = [
    "AugmentSettings",
    "Geometry",
    "Order",
    "References",
    "Sample",
    "SampleBatch",
    "SampleStore",
    "ShuffledOrder",
    "UniformYawOrder",
    "apply_geometry",
    "draw_batch",
    "draw_geometry",
    "load_samples",
    "plain_batch",
    "prepare_sample",
    "yaw_bins",
]
