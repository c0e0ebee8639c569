"""What we write for DeepFaceLab: it must come back bit for bit, and CPython must read it."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.core import InputError
from faceloom.export import dfl_files
from faceloom.export.dfl_model import build_dfl_model, load_dfl_weights, read_dfl_model
from faceloom.export.dfl_write import write_dfl_model
from faceloom.models import MODELS, build_model
from faceloom.models.networks import Dims
from faceloom.models.xseg.model import XsegModel

NAN = float("nan")
HISTORY = np.float32([[NAN, NAN], [1 / 3, 0.1], [0.3, 0.7], [1e-9, 2]])
SMALL = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16}

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SAEHD", {**SMALL, "archi": "df-ud", "lr_dropout": "y", "learning_rate": 3e-5}),
    ("SAEHD", {**SMALL, "archi": "df", "optimizer": "rmsprop", "face_type": "h"}),
    ("SAEHD", {**SMALL, "archi": "liae-udt", "d_mask_dims": 18, "random_warp": False}),
    ("SAEHD", {**SMALL, "archi": "df-d", "gan_power": 0.1, "gan_dims": 4, "true_face_power": 0.1}),
    ("AMP", {**SMALL, "inter_dims": 32, "gan_power": 0.1, "gan_dims": 4, "ct_mode": "rct"}),
    ("Quick96", {"batch_size": 3}),
    ("XSeg", {"face_type": "head", "batch_size": 5}),
]
IDS = [f"{name}-{settings.get('archi', '')}-{i}" for i, (name, settings) in enumerate(CASES)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two models of fixed size, smaller."""
    monkeypatch.setattr("faceloom.models.quick96.DIMS", Dims(96, ae=8, e=4, d=4, d_mask=2))
    monkeypatch.setitem(XsegModel.__init__.__kwdefaults__, "base", 2)


def trained(class_name: str, values: dict[str, Any], seed: int = 4) -> Any:
    """A model whose every number is something else than at a start."""
    settings = MODELS[class_name].settings(**values)
    model = build_model(class_name, settings, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for network in model.networks().values():
            for param in network.parameters():
                param.add_(torch.rand(param.shape, generator=generator), alpha=0.1)
    for count, optimizer in enumerate(model.optimizers().values(), 40):
        optimizer.param_groups[0]["step"] = count
        for state in optimizer.state.values():
            for slot in state.values():
                slot.normal_(generator=generator)
    return model


def losses(class_name: str) -> np.ndarray:
    return HISTORY[:, : len(MODELS[class_name].losses)]


@pytest.mark.parametrize(("class_name", "values"), CASES, ids=IDS)
def test_what_is_written_comes_back_bit_for_bit(
    class_name: str, values: dict[str, Any], tmp_path: Path
) -> None:
    model = trained(class_name, values)
    write_dfl_model(tmp_path, "my_face", model, history=losses(class_name), seed=9)
    source = read_dfl_model(tmp_path)
    assert source.files.name == ("" if class_name == "XSeg" else "my face")
    assert (source.iteration, source.seed, source.notes) == (4, 9, ())
    assert source.settings == model.settings
    np.testing.assert_array_equal(source.history, losses(class_name))
    again, how = build_dfl_model(source, seed=1)
    assert (how.fresh, how.notes) == ([], [])
    assert again.networks().keys() == model.networks().keys()
    for name, network in model.networks().items():
        other = again.networks()[name].state_dict()
        assert network.state_dict().keys() == other.keys()
        for key, value in network.state_dict().items():
            assert torch.equal(value, other[key]), (name, key)
    for name, optimizer in model.optimizers().items():
        theirs = again.optimizers()[name]
        assert theirs.param_groups[0]["step"] == optimizer.param_groups[0]["step"]
        pairs = zip(optimizer.state.values(), theirs.state.values(), strict=True)
        assert all(torch.equal(a[slot], b[slot]) for a, b in pairs for slot in a)


def test_options_that_dfl_changed_win_over_ours(tmp_path: Path) -> None:
    model = trained("SAEHD", {**SMALL, "archi": "df", "learning_rate": 3e-5})
    write_dfl_model(tmp_path, "m", model, history=HISTORY)
    file = tmp_path / "m_SAEHD_data.dat"
    data = pickle.loads(file.read_bytes())
    assert {"iter", "options", "loss_history"} < data.keys()
    data["options"]["random_warp"] = False
    file.write_bytes(pickle.dumps(data))
    settings = read_dfl_model(tmp_path).settings.model_dump()
    assert settings["random_warp"] is False
    assert settings["learning_rate"] == 5e-5  # DFL's, which has no such option


class Strict(pickle.Unpickler):
    """CPython's reader, that knows the globals of NumPy 1.19 only."""

    known = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        assert (module, name) in self.known, (module, name)
        return super().find_class(module, name)


def read_as_dfl(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    assert content[0] == 0x80 and content[1] <= 4
    return Strict(io.BytesIO(content)).load()


def test_cpython_reads_names_and_layouts_of_dfl(tmp_path: Path) -> None:
    model = trained("SAEHD", {**SMALL, "archi": "df-ud"})
    files = write_dfl_model(tmp_path, "m", model, history=HISTORY)
    assert {path.name for path in files} == {
        f"m_SAEHD_{name}"
        for name in (
            *("encoder.npy", "inter.npy", "decoder_src.npy", "decoder_dst.npy"),
            *("src_dst_opt.npy", "data.dat", "summary.txt"),
        )
    }
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files}

    encoder = read_as_dfl(tmp_path / "m_SAEHD_encoder.npy")
    ours = model.networks()["encoder"].down1.downs[0].conv1.weight.detach().numpy()
    first = encoder["down1/downs_0/conv1/weight:0"]
    assert first.shape == (5, 5, 3, 16) and first.dtype == np.float32
    np.testing.assert_array_equal(first[1, 3, 0], ours[:, 2, 1, 3])  # DFL's blue is our third
    second = encoder["down1/downs_1/conv1/weight:0"]
    np.testing.assert_array_equal(
        second[1, 3, 0],
        model.networks()["encoder"].down1.downs[1].conv1.weight[:, 0, 1, 3].detach(),
    )
    decoder, net = (
        read_as_dfl(tmp_path / "m_SAEHD_decoder_dst.npy"),
        model.networks()["decoder_dst"],
    )
    for head in ("out_conv", "out_conv1", "out_conv2", "out_conv3"):
        np.testing.assert_array_equal(
            decoder[f"{head}/bias:0"], net.get_parameter(f"{head}.bias").detach()[[2, 1, 0]]
        )
    inter = read_as_dfl(tmp_path / "m_SAEHD_inter.npy")
    np.testing.assert_array_equal(
        inter["dense1/weight:0"], model.networks()["inter"].dense1.weight.detach().T
    )
    moments = read_as_dfl(tmp_path / "m_SAEHD_src_dst_opt.npy")
    assert moments["iters:0"] == 40 and moments["iters:0"].dtype == np.int64
    assert "ms_decoder_src/res0/conv2/weight_0:0" in moments
    assert "vs_encoder/down1/downs_0/conv1/bias_0:0" in moments
    assert len(moments) == 1 + 2 * sum(
        len(read_as_dfl(tmp_path / f"m_SAEHD_{name}.npy")) for name in model.networks()
    )


def test_data_and_summary_for_dfl(tmp_path: Path) -> None:
    values = {**SMALL, "archi": "liae-ud", "face_type": "mf"}
    write_dfl_model(tmp_path, "m", trained("SAEHD", values), history=HISTORY)
    data = read_as_dfl(tmp_path / "m_SAEHD_data.dat")
    assert (data["iter"], data["sample_for_preview"], data["choosed_gpu_indexes"]) == (
        4,
        None,
        None,
    )
    assert data["loss_history"] == HISTORY[1:].astype(float).tolist()
    options = data["options"]
    expected = {"face_type": "mf", "archi": "liae-ud", "d_mask_dims": 16, "adabelief": True}
    assert {key: options[key] for key in expected} == expected
    lines = (tmp_path / "m_SAEHD_summary.txt").read_text().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert all(line[:2] == line[-2:] == "==" for line in lines)
    text = "\n".join(lines)
    for pattern in (r"Model name: m_SAEHD ", r"Current iteration: 4 ", r" face_type: mf "):
        assert re.search(pattern, text)


def test_xseg_has_the_tensors_of_dfl(tmp_path: Path) -> None:
    write_dfl_model(tmp_path, "", trained("XSeg", {}), history=losses("XSeg"))
    assert {path.name for path in tmp_path.iterdir()} == {
        *("XSeg_256.npy", "XSeg_256_opt.npy", "XSeg_data.dat", "XSeg_summary.txt")
    }
    tensors = read_as_dfl(tmp_path / "XSeg_256.npy")
    assert len(tensors) == 222  # training.md 1.12
    assert tensors["up5/conv/weight:0"].shape == (3, 3, 8, 16)  # HWOI
    assert {"conv01/frn/eps:0", "uconv53/tlu/tau:0", "dense2/bias:0"} < tensors.keys()
    moments = read_as_dfl(tmp_path / "XSeg_256_opt.npy")
    assert len(moments) == 223 and any(key.endswith("conv01/frn/eps_0:0") for key in moments)


@pytest.mark.parametrize("name", ["_", "../x", "a:b", ".x"])
def test_a_name_that_files_cannot_have(tmp_path: Path, name: str) -> None:
    model = build_model("SAEHD", MODELS["SAEHD"].settings(**SMALL))
    with pytest.raises(InputError, match="model name"):
        write_dfl_model(tmp_path / "out", name, model, history=HISTORY)
    assert not (tmp_path / "out").exists()


def test_a_model_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    with_gan = trained("SAEHD", {**SMALL, "archi": "df", "gan_power": 0.1, "gan_dims": 4})
    write_dfl_model(tmp_path, "m", with_gan, history=HISTORY)
    (tmp_path / "m2_SAEHD_GAN.npy").touch()
    plain = trained("SAEHD", {**SMALL, "archi": "df"}, seed=5)
    with pytest.raises(InputError, match="--overwrite"):
        write_dfl_model(tmp_path, "m", plain, history=HISTORY)
    write_dfl_model(tmp_path, "m", plain, history=HISTORY, overwrite=True)
    assert not list(tmp_path.glob("m_SAEHD_GAN*")) and (tmp_path / "m2_SAEHD_GAN.npy").exists()
    again, _ = build_dfl_model(read_dfl_model(tmp_path, name="m"))
    assert torch.equal(
        again.networks()["inter"].dense1.weight, plain.networks()["inter"].dense1.weight
    )


def test_a_failed_export_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained("SAEHD", {**SMALL, "archi": "df"})
    write_dfl_model(tmp_path, "m", model, history=HISTORY)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls: list[int] = []

    def full(items: Any, file: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        file.write(b"x")

    monkeypatch.setattr(dfl_files, "dump_arrays", full)
    with pytest.raises(OSError, match="space"):
        write_dfl_model(tmp_path, "m", model, history=HISTORY, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_dfls_own_scope_of_a_discriminator_does_not_matter(tmp_path: Path) -> None:
    values = {**SMALL, "archi": "df", "gan_power": 0.1, "gan_dims": 4}
    model = trained("SAEHD", values)
    write_dfl_model(tmp_path, "m", model, history=HISTORY)
    file = tmp_path / "m_SAEHD_GAN_opt.npy"
    moments = {key.replace("D_src/", "other/"): value for key, value in read_as_dfl(file).items()}
    assert any("other/" in key for key in moments)
    file.write_bytes(pickle.dumps(moments, 4))
    fresh = build_model("SAEHD", model.settings, seed=2)
    assert not load_dfl_weights(read_dfl_model(tmp_path).files, fresh).notes
    theirs, ours = fresh.optimizers()["GAN_opt"], model.optimizers()["GAN_opt"]
    pairs = zip(theirs.state.values(), ours.state.values(), strict=True)
    assert all(torch.equal(a["m"], b["m"]) for a, b in pairs)
