"""Model folders on disk: state, tensors, history, snapshots, and the device they are loaded on."""

from faceloom.checkpoints.device import PrecisionChoice, choose_device, choose_precision, computing
from faceloom.checkpoints.events import Event, EventLog, read_events
from faceloom.checkpoints.folder import (
    ModelFolder,
    find_model,
    list_models,
    locked,
    model_folder,
    split_name,
)
from faceloom.checkpoints.history import LossHistory, read_history
from faceloom.checkpoints.snapshots import backup
from faceloom.checkpoints.state import (
    ModelState,
    Weights,
    load_history,
    load_model,
    read_state,
    save_state,
    sweep,
    update_state,
)

__all__ = [
    "Event",
    "EventLog",
    "LossHistory",
    "ModelFolder",
    "ModelState",
    "PrecisionChoice",
    "Weights",
    "backup",
    "choose_device",
    "choose_precision",
    "computing",
    "find_model",
    "list_models",
    "load_history",
    "load_model",
    "locked",
    "model_folder",
    "read_events",
    "read_history",
    "read_state",
    "save_state",
    "split_name",
    "sweep",
    "update_state",
]
