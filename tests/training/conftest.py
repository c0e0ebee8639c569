"""A pair of small facesets, loaded once."""

from __future__ import annotations

import pytest
import torch

from faceloom.samples import SampleStore, load_samples
from synthetic_faces import write_faceset


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleStore, SampleStore]:
    """src and dst, 64 px."""
    root = tmp_path_factory.mktemp("facesets")
    made = [write_faceset(root / side, 6, size=64, hue=hue) for side, hue in (("s", 12), ("d", 99))]
    src, dst = (
        load_samples(folder, size_px=64, face_type="full_face", device=torch.device("cpu"))
        for folder in made
    )
    return src, dst
