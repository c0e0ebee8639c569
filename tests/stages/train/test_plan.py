"""`faceloom train --plan`: a workspace's model on a card and on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faceloom.core import Cancel, InputError, NullProgress
from faceloom.stages.train.config import PlanConfig
from faceloom.stages.train.plan import PlanResult, run
from synthetic_faces import write_faceset

SMALL = {"resolution": 64, "archi": "df-ud", "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def plan(workspace: Path, **values: Any) -> PlanResult:
    config = PlanConfig(workspace=workspace, settings=SMALL, threads=1, **values)
    return run(config, progress=NullProgress(), cancel=Cancel())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for side, hue in (("src", 12), ("dst", 99)):
        write_faceset(tmp_path / f"data_{side}" / "aligned", 3, size=64, hue=hue)
    return tmp_path


def test_on_a_card(workspace: Path) -> None:
    found = plan(workspace, card="rtx 3060", changes=("batch_size=2",))
    assert found.class_name == "SAEHD"
    assert found.precision == "bf16"
    assert found.settings.batch_size == 2
    assert found.fit.fits
    assert found.fit.largest_batch == 128
    assert found.fit.estimate.samples == 6 * 5 * 64 * 64
    assert found.fit.available < 12 << 30
    text = "\n".join(found.lines())
    assert "fits RTX 3060 (12.00 GB)" in text
    assert "steps per second" in text
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["estimate"]["total"] == found.fit.estimate.total
    assert plain["settings"]["ae_dims"] == 32
    assert not (workspace / "model").exists()


def test_on_this_machine(workspace: Path) -> None:
    found = plan(workspace, device="cpu", precision="fp32")
    assert (found.device, found.precision) == ("cpu", "fp32")
    assert found.fit.estimate.seconds is not None
    assert found.fit.estimate.host == 0


def test_an_unknown_card_is_an_error(workspace: Path) -> None:
    with pytest.raises(InputError, match="unknown card"):
        plan(workspace, card="abacus")
