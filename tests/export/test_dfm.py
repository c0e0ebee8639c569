"""DFM files in onnxruntime against the torch model, and the form that DeepFaceLive expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from faceloom.core import InputError, ModelError
from faceloom.export import check_dfm, make_dfm
from faceloom.models import MODELS, build_model

SMALL = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}


def model_of(class_name: str, **values: Any) -> Any:
    model = build_model(class_name, MODELS[class_name].settings(**{**SMALL, **values}), seed=6)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for network in model.networks().values():
            for param in network.parameters():
                if param.ndim == 1:  # biases that are not zero
                    param.uniform_(-0.3, 0.3, generator=generator)
    return model


def session_of(model: Any, path: Path, **choice: Any) -> onnxruntime.InferenceSession:
    """What DeepFaceLive would open."""
    make_dfm(model, path, **choice)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def faces(count: int, side: int = 64) -> tuple[torch.Tensor, np.ndarray]:
    rgb = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(count))
    return rgb, np.stack([face.numpy()[::-1].transpose(1, 2, 0) for face in rgb])


def difference(outputs: Any, prediction: Any) -> float:
    """The largest one, between DFM's three outputs by position and a prediction."""
    mask, face, face_mask = outputs
    pairs = [
        (mask[..., 0], prediction.mask_dst[:, 0]),
        (face_mask[..., 0], prediction.mask_prd[:, 0]),
        *((face[..., c], prediction.face[:, 2 - c]) for c in range(3)),
    ]
    return max(float(np.abs(a - b.numpy()).max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("archi", "quantized"),
    [
        *(("df-ud", False), ("df-utc", False), ("liae", False), ("liae-udt", False)),
        *(("df-ud", True), ("liae-dtc", True)),
    ],
)
def test_saehd(archi: str, quantized: bool, tmp_path: Path) -> None:
    model = model_of("SAEHD", archi=archi)
    session = session_of(model, tmp_path / "m.dfm", quantized=quantized)
    for count in (1, 3):
        rgb, bgr = faces(count)
        outputs = session.run(None, {"in_face:0": bgr})
        assert difference(outputs, model.predict(rgb)) < (2e-2 if quantized else 1e-5)


@pytest.mark.parametrize("quantized", [False, True])
def test_amp(quantized: bool, tmp_path: Path) -> None:
    model = model_of("AMP", inter_dims=32)
    session = session_of(model, tmp_path / "m.dfm", quantized=quantized)
    seen: list[Any] = []
    for morph in (0, 0.3, 1):
        for count in (1, 3):
            rgb, bgr = faces(count)
            outputs = session.run(None, {"in_face:0": bgr, "morph_value:0": np.float32([morph])})
            prediction = model.predict(rgb, morph=morph)
            assert difference(outputs, prediction) < (2e-2 if quantized else 1e-5)
            seen.append((outputs[0][0], outputs[1][0]))
    at_0, at_03, at_1 = seen[1::2]
    np.testing.assert_array_equal(at_0[0], at_1[0])  # dst's mask, at every morph value
    assert np.abs(at_0[1] - at_03[1]).max() > 1e-3 < np.abs(at_03[1] - at_1[1]).max()


def test_form(tmp_path: Path) -> None:
    for model, inputs in [
        (model_of("SAEHD"), {"in_face:0": ["N", 64, 64, 3]}),
        (model_of("AMP", inter_dims=32), {"in_face:0": ["N", 64, 64, 3], "morph_value:0": [1]}),
    ]:
        session = session_of(model, tmp_path / "m.dfm", quantized=True)
        assert {i.name: i.shape for i in session.get_inputs()} == inputs
        assert next(iter(inputs)) == session.get_inputs()[0].name
        assert [(o.name, o.shape) for o in session.get_outputs()] == [
            ("out_face_mask:0", ["N", 64, 64, 1]),
            ("out_celeb_face:0", ["N", 64, 64, 3]),
            ("out_celeb_face_mask:0", ["N", 64, 64, 1]),
        ]
        values = [*session.get_inputs(), *session.get_outputs()]
        assert {value.type for value in values} == {"tensor(float)"}
        made = onnx.load(tmp_path / "m.dfm")
        assert [(o.domain, o.version) for o in made.opset_import] == [("", 12)]
        assert made.ir_version == 7 and made.graph.name == model.class_name
        onnx.checker.check_model(made)


def test_quantized_is_smaller_and_survives_large_activations(tmp_path: Path) -> None:
    model = model_of("SAEHD", archi="df-ud")
    with torch.no_grad():
        # Squares of such a vector are beyond float16: the original's pixel norm would be zero.
        model.networks()["encoder"].down1.downs[3].conv1.weight.mul_(3000)
    session = session_of(model, tmp_path / "half.dfm", quantized=True)
    rgb, bgr = faces(1)
    assert model.networks()["encoder"].down1(rgb).abs().max() > 300
    outputs = session.run(None, {"in_face:0": bgr})
    assert difference(outputs, model.predict(rgb)) < 2e-2
    make_dfm(model, tmp_path / "full.dfm")
    half, full = ((tmp_path / f"{name}.dfm").stat().st_size for name in ("half", "full"))
    assert half < 0.7 * full


def test_metadata_is_kept(tmp_path: Path) -> None:
    metadata = {"rights_sha256": "ab", "face_type": "head"}
    make_dfm(model_of("SAEHD"), str(tmp_path / "m.dfm"), metadata=metadata)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.dfm"))
    kept = session.get_modelmeta().custom_metadata_map
    assert kept == {"rights_sha256": "ab", "face_type": "head"}
    assert session.get_modelmeta().producer_name == "Faceloom"


def test_check_finds_a_file_of_another_model(tmp_path: Path) -> None:
    model = model_of("SAEHD", archi="df-ud")
    make_dfm(model, tmp_path / "m.dfm")
    assert check_dfm(model, tmp_path / "m.dfm") < 1e-5
    with torch.no_grad():
        model.networks()["decoder_src"].out_conv.bias[0] += 0.1
    with pytest.raises(ModelError, match="differ from the model's"):
        check_dfm(model, tmp_path / "m.dfm")
    other = model_of("AMP", inter_dims=32)
    with pytest.raises(ModelError, match="not those of a DFM"):
        check_dfm(other, tmp_path / "m.dfm")


def test_models_without_dfm_and_too_large_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = build_model("Quick96", MODELS["Quick96"].settings())
    with pytest.raises(InputError, match="SAEHD and AMP"):
        make_dfm(quick, tmp_path / "m.dfm")
    monkeypatch.setattr("faceloom.export.onnx_parts.MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="--quantized"):
        make_dfm(model_of("SAEHD"), tmp_path / "m.dfm")
    assert not list(tmp_path.iterdir())
