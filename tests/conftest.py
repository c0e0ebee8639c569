"""What tests share: the real media beside the checkout, and the face networks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real footage and photos; the test is skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip("the shared test media are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def need_weights():
    """A function that fetches networks by name, or skips the test where they cannot be had."""
    from faceloom.core import WeightsError
    from faceloom.weights import fetch

    def need(*names: str) -> list[Path]:
        try:
            return [fetch(name) for name in names]
        except WeightsError as error:
            pytest.skip(str(error))

    return need
