"""Pretrained face networks: registry, fetch by hash, cache."""

from faceloom.weights.owned import OwnedStatus, add_owned, have_owned, owned_path, owned_status
from faceloom.weights.registry import OWNED, WEIGHTS, OwnedWeight, Source, Url, Weight, Wheel
from faceloom.weights.store import (
    State,
    WeightStatus,
    add,
    fetch,
    needed_weights,
    status,
    weight_path,
)

__all__ = [
    "OWNED",
    "WEIGHTS",
    "OwnedStatus",
    "OwnedWeight",
    "Source",
    "State",
    "Url",
    "Weight",
    "WeightStatus",
    "Wheel",
    "add",
    "add_owned",
    "fetch",
    "have_owned",
    "needed_weights",
    "owned_path",
    "owned_status",
    "status",
    "weight_path",
]
