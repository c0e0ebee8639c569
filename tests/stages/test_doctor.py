"""doctor: every check is run, and one that fails makes the command fail after it is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, InputError, NullProgress
from faceloom.stages import doctor
from faceloom.stages.config import DoctorConfig


def test_this_machine_has_what_is_needed(tmp_path: Path) -> None:
    config = DoctorConfig(workspace=tmp_path)
    result = doctor.run(config, progress=NullProgress(), cancel=Cancel())
    verdicts = {check.name: check.verdict for check in result.checks}
    assert {"python", "torch", "video", "credentials", "disk"} <= set(verdicts)
    assert verdicts["credentials"] == "ok" and result.failure() is None
    with pytest.raises(InputError, match="no such folder"):
        doctor.run(
            DoctorConfig(workspace=tmp_path / "no"), progress=NullProgress(), cancel=Cancel()
        )


def test_a_failed_check_is_shown_and_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def _torch() -> doctor.Check:
        raise ImportError("no\ntorch")

    monkeypatch.setattr(doctor, "_torch", _torch)
    assert run_command(["doctor", "-w", str(tmp_path), "--json"]) == 1
    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    failed = [check for check in shown["checks"] if check["verdict"] == "failed"]
    assert not shown["ok"]
    assert failed == [{"name": "torch", "verdict": "failed", "detail": "ImportError: no torch"}]
    assert captured.err == "faceloom: checks failed: torch\n"
