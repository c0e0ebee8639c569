"""Where a single file is written: a path, or a folder and the usual name."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceloom.core.paths import output_file


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.onnx", "a.onnx"),
        ("a", "a.dfm"),
        ("v1.2/anna", "v1.2/anna.dfm"),
        ("new/", "new/usual.dfm"),
        ("there", "there/usual.dfm"),
        (Path("a.dfm"), "a.dfm"),
    ],
)
def test_output_file(
    given: str | Path, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert output_file(given, "usual.dfm") == Path(expected)
