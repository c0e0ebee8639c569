"""Messages about settings that do not fit: the user's own key, and no words of pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from faceloom.core import InputError, Settings
from faceloom.core.config import validate


class _Part(Settings):
    width: int = 1


class _Whole(Settings):
    size: Annotated[int, Field(ge=64)] | Literal["estimated"] | None = None
    part: _Part = _Part()


def test_the_key_is_the_users_own() -> None:
    with pytest.raises(InputError, match=r"x: size: must be at least 64 \(got 10\)"):
        validate(_Whole, {"size": 10}, where="x")
    with pytest.raises(InputError, match=r"x: unknown setting 'sise'; did you mean 'size'"):
        validate(_Whole, {"sise": 10}, where="x")
    # The outer keys would be no help.
    with pytest.raises(InputError, match=r"x: unknown setting 'part\.widht'$"):
        validate(_Whole, {"part": {"widht": 10}}, where="x")
