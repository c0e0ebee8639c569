"""A portrait without a download: the astronaut's mesh over a smooth random picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.animate import ASTRONAUT, Portrait, Rig, build_rig, make_portrait


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    mesh = np.load(Path(__file__).parents[1] / "helpers" / "mesh_astronaut.npy").astype(np.float32)
    noise = np.random.default_rng(5).integers(40, 200, (64, 64, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(noise, (512, 640), interpolation=cv2.INTER_CUBIC), np.uint8)
    return make_portrait(picture, mesh, ASTRONAUT)


@pytest.fixture(scope="session")
def rig(portrait: Portrait) -> Rig:
    return build_rig(portrait)
