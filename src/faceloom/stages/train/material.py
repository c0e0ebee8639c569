"""The facesets of a training, read once per session."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from faceloom.core import Cancel, InputError, Progress
from faceloom.models import ModelSettings, XsegSettings
from faceloom.samples import SampleStore, load_samples
from faceloom.stages.train.config import MaterialConfig
from faceloom.training import Material, PairMaterial
from faceloom.training.material.xseg import load_xseg_material
from faceloom.weights import fetch
from faceloom.workspace import Workspace

# The network that a loss needs, by its setting.
_NETWORKS: Final = {"perceptual_power": "lpips-vgg", "identity_power": "sface"}


class Materials:
    """Loads the material for a model's settings, and keeps it while it fits the next models."""

    def __init__(
        self,
        workspace: Workspace,
        config: MaterialConfig,
        device: torch.device,
        threads: int,
        progress: Progress,
        cancel: Cancel,
    ) -> None:
        self._workspace = workspace
        self._config = config
        self._device = device
        self._threads = threads
        self._progress = progress
        self._cancel = cancel
        self._kept: tuple[tuple[object, ...], Material] | None = None

    def __call__(self, settings: ModelSettings) -> Material:
        """Raises `InputError` for missing or unsuitable facesets, or a pretraining without one."""
        for setting, weight in _NETWORKS.items():
            if getattr(settings, setting, 0):
                fetch(weight, progress=self._progress)  # now, not in the first step
        key = type(settings), settings.resolution, settings.face_type, settings.pretrain
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # two materials may not fit into memory
            self._kept = key, self._load(settings)
        return self._kept[1]

    def _load(self, settings: ModelSettings) -> Material:
        src, dst = self.folders(settings)
        if isinstance(settings, XsegSettings):
            return load_xseg_material(
                src,
                dst,
                settings,
                device=self._device,
                threads=self._threads,
                progress=self._progress,
                cancel=self._cancel,
            )
        loaded = self._faces(src, settings)
        other = loaded if dst == src else self._faces(dst, settings)
        return PairMaterial(loaded, other, self._config.preview_src, self._config.preview_dst)

    def folders(self, settings: ModelSettings) -> tuple[Path, Path]:
        """The folders with the faces of src and dst."""
        if settings.pretrain:
            faces = self._config.pretrain_faces
            if faces is None and isinstance(settings, XsegSettings):
                return self._workspace.aligned_src, self._workspace.aligned_dst
            if faces is None:
                raise InputError(
                    "pretrain is on: give a faceset of many people with --pretrain-faces, or switch"
                    " pretraining off with --set pretrain=false"
                )
            return faces, faces
        src, dst = self._workspace.aligned_src, self._workspace.aligned_dst
        return (src, src) if self._config.src_src else (src, dst)

    def _faces(self, folder: Path, settings: ModelSettings) -> SampleStore:
        return load_samples(
            folder,
            size_px=settings.resolution,
            face_type=settings.face_type,
            device=self._device,
            threads=self._threads,
            progress=self._progress,
            cancel=self._cancel,
        )
