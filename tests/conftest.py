"""What tests share: the real media beside the checkout, and the face networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

_SMALL_TENSORS = ("checkpoints", "export", "models", "training")


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread where tensors are small: two would mostly wait for each other."""
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if folder not in _SMALL_TENSORS:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
