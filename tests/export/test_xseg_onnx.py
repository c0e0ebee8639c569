"""XSeg's ONNX file in onnxruntime against the torch model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from faceloom.core import ModelError
from faceloom.export import check_xseg_onnx, make_xseg_onnx
from faceloom.models.xseg.model import XsegModel
from faceloom.settings.models import XsegSettings


def small() -> XsegModel:
    """XSeg of 128 px and width 4, its norms' weights and thresholds not at their start."""
    device = torch.device("cpu")
    model = XsegModel(
        XsegSettings(), device=device, seed=2, precision="fp32", resolution=128, base=4
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, param in model.networks()["xseg"].named_parameters():
            if param.ndim == 1:
                low, high = (-0.3, -0.1) if name.endswith("eps") else (-0.4, 0.9)
                param.uniform_(low, high, generator=generator)
    return model


def test_masks_are_the_models(tmp_path: Path) -> None:
    model = small()
    make_xseg_onnx(model, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"))
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("in_face:0", ["N", 128, 128, 3])
    assert (made.name, made.shape) == ("out_mask:0", ["N", 128, 128, 1])
    for count in (1, 3):
        rgb = torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(count))
        bgr = np.stack([face.numpy()[::-1].transpose(1, 2, 0) for face in rgb])
        (mask,) = session.run(None, {"in_face:0": bgr})
        expected = model.predict_mask(rgb)[:, 0].numpy()
        assert expected.std() > 0.01
        assert np.abs(mask[..., 0] - expected).max() < 1e-5
    file = onnx.load(tmp_path / "x.onnx")
    assert file.opset_import[0].version == 13 and file.graph.name == "XSeg"
    onnx.checker.check_model(file)


def test_check_finds_a_file_of_another_model(tmp_path: Path) -> None:
    model = small()
    make_xseg_onnx(model, tmp_path / "x.onnx", metadata={"a": "b"})
    assert check_xseg_onnx(model, tmp_path / "x.onnx") < 1e-5
    with torch.no_grad():
        model.networks()["xseg"].get_parameter("out_conv.bias").add_(0.5)
    with pytest.raises(ModelError, match="differ from the model's"):
        check_xseg_onnx(model, tmp_path / "x.onnx")
