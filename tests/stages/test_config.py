"""Configurations of merging and of the stages that are one module each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from faceloom.core import InputError, UsageError
from faceloom.core.vocabulary import Ground, SwapClass
from faceloom.stages.config import (
    EncodeConfig,
    FramesConfig,
    InspectConfig,
    WeightsAddConfig,
    changes_by_stage,
)
from faceloom.stages.merge.config import MergeConfig


@pytest.mark.parametrize("module", ["config", "merge.config", "demo.config"])
def test_they_load_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, faceloom.stages.{module}\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode()


def test_their_words_are_those_of_the_engine() -> None:
    from faceloom.color import TRANSFERS
    from faceloom.media.codecs import CONTAINERS
    from faceloom.models import MODELS
    from faceloom.provenance import GROUNDS

    assert set(get_args(SwapClass)) == set(MODELS) - {"XSeg"}
    assert set(get_args(Ground)) == set(GROUNDS)
    words = {name: MergeConfig.model_fields[name].annotation for name in ("color_transfer",)}
    assert set(get_args(words["color_transfer"])) == {"none", *TRANSFERS}
    assert set(CONTAINERS) == {"h264", "h265", "prores", "ffv1", "h264-lossless"}


def test_words_in_any_case() -> None:
    assert FramesConfig(side="DST", format="JPG").side == "dst"
    assert MergeConfig(model="saehd", mask_mode="FULL").model == "SAEHD"


def test_an_encoding_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="fixed quality"):
        EncodeConfig(codec="ffv1", crf=3)
    with pytest.raises(ValueError, match="does not go into"):
        EncodeConfig(codec="prores", output=Path("a.mp4"))
    # Without --to-video, faceloom.toml may hold values for the next video.
    assert MergeConfig(codec="ffv1", crf=3).crf == 3
    with pytest.raises(ValueError, match="fixed quality"):
        MergeConfig(codec="ffv1", crf=3, to_video=True)


def test_the_old_name_of_the_inspected_file() -> None:
    assert InspectConfig.model_validate({"path": "a.mp4"}).file == Path("a.mp4")


def test_a_hash_is_for_own_files() -> None:
    with pytest.raises(ValueError, match="--as"):
        WeightsAddConfig(file="a.npy", sha256="00")
    assert WeightsAddConfig(file="a.npy", network="s3fd", sha256="AB").sha256 == "ab"


def test_changes_are_grouped_by_stage() -> None:
    grouped = changes_by_stage(["train.a=1", "merge.blur=3", "train.b=x=y"])
    assert grouped["train"] == ["a=1", "b=x=y"] and grouped["merge"] == ["blur=3"]
    assert grouped["extract"] == grouped["encode"] == []
    for wrong in ("blur=3", "tain.a=1", "train.a"):
        with pytest.raises(UsageError, match=r"stage\.key=value"):
            changes_by_stage([wrong])
    assert issubclass(UsageError, InputError)
