"""Models: SAEHD, AMP and Quick96 for faces, XSeg for masks; settings, networks, training step."""

from faceloom.models.amp.settings import AmpSettings
from faceloom.models.archi import Archi, Ledger, ledger, parse_archi
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
from faceloom.models.settings import (
    ModelFaceType,
    ModelSettings,
    Quick96Settings,
    SaehdSettings,
)
from faceloom.models.xseg.settings import XsegSettings

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
