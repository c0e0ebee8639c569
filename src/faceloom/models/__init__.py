"""Models: SAEHD, AMP and Quick96 for faces, XSeg for masks; settings, networks, training step."""

from faceloom.models.base import (
    FaceModel,
    MaskBatch,
    MaskModel,
    Precision,
    Prediction,
    Reconstruction,
    SampleBatch,
    SampleNeeds,
    TrainableModel,
)
from faceloom.models.build import MODELS, ModelClass, build_model, preferred_precision
from faceloom.settings.models import (
    AmpSettings,
    Archi,
    Ledger,
    ModelFaceType,
    ModelSettings,
    Quick96Settings,
    SaehdSettings,
    XsegSettings,
    ledger,
    parse_archi,
)

__all__ = [
    "MODELS",
    "AmpSettings",
    "Archi",
    "FaceModel",
    "Ledger",
    "MaskBatch",
    "MaskModel",
    "ModelClass",
    "ModelFaceType",
    "ModelSettings",
    "Precision",
    "Prediction",
    "Quick96Settings",
    "Reconstruction",
    "SaehdSettings",
    "SampleBatch",
    "SampleNeeds",
    "TrainableModel",
    "XsegSettings",
    "build_model",
    "ledger",
    "parse_archi",
    "preferred_precision",
]
