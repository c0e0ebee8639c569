"""Building a model by the name of its class."""

from __future__ import annotations

import pytest

from faceloom.core import InputError
from faceloom.models import Quick96Settings, SaehdSettings, build_model


def test_build_model_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="SAEHD"):
        build_model("SAEHQ", SaehdSettings())
    with pytest.raises(InputError, match="SaehdSettings"):
        build_model("SAEHD", Quick96Settings())
