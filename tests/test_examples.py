"""Every Python example in README and docs runs.

Blocks of one page share a namespace and a folder with two small clips, `anna.mp4` and `ben.mp4`.
A comment directly before a block changes how it is run:

    <!-- run with: 20_000 -> 2; "resolution": 128 -> "resolution": 64 -->
    <!-- no-run: needs a GPU -->

The first replaces text that would take hours; the second skips the block.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from portrait_clips import WEIGHTS, portrait_frames, write_frames

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 4
_BLOCK = re.compile(r"(?:^<!--(?P<mark>[^\n]*?)-->\n+)?^```python\n(?P<code>.*?)^```", re.S | re.M)


def examples(page: Path) -> list[CodeType]:
    """The compiled blocks of a page, with line numbers of the page."""
    text = page.read_text("utf-8")
    blocks = []
    for match in _BLOCK.finditer(text):
        kind, _, words = (match["mark"] or "").strip().partition(":")
        if kind == "no-run":
            assert words.strip(), f"{page.name}: say why a block is not run"
            continue
        code = match["code"]
        if kind == "run with":
            for change in words.split(";"):
                old, new = (part.strip() for part in change.split("->"))
                assert old in code, f"{page.name}: {old!r} is not in the block"
                code = code.replace(old, new)
        blank = "\n" * text.count("\n", 0, match.start("code"))
        blocks.append(compile(blank + code, str(page), "exec", dont_inherit=True))
    return blocks


PAGES = {
    str(page.relative_to(ROOT)): blocks
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if (blocks := examples(page))
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, need_weights: Any) -> dict[str, bytes]:
    need_weights(*WEIGHTS)
    folder = tmp_path_factory.mktemp("examples")
    return {
        name: write_frames(folder / name, portrait_frames(side, FRAMES)).read_bytes()
        for name, side in (("anna.mp4", "src"), ("ben.mp4", "dst"))
    }


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run(
    page: str, clips: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in clips.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "example"}
    for block in PAGES[page]:
        exec(block, namespace)


def test_there_are_examples() -> None:
    assert "docs/api.md" in PAGES
