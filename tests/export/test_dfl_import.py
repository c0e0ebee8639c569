"""Models of DeepFaceLab's, made with plain pickle in its layout, against a NumPy restatement."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dfl_folders
from dfl_numpy import Oracle, dense
from faceloom.core import FormatError, InputError, ModelError
from faceloom.export.dfl_files import read_tensors
from faceloom.export.dfl_folder import find_dfl_model, list_dfl_models
from faceloom.export.dfl_model import (
    DflModel,
    Loaded,
    build_dfl_model,
    load_dfl_weights,
    read_dfl_model,
)
from faceloom.export.dfl_options import lost_settings

Nets = dict[str, dict[str, np.ndarray]]

DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}


def made(folder: Path, archi: str = "df-ud", **changes: Any) -> Nets:
    """A folder with the SAEHD model `m`, trained for three iterations."""
    rng = np.random.default_rng(7)
    nets = {
        name: dfl_folders.drawn(shapes, rng)
        for name, shapes in dfl_folders.networks(archi, 64, 32, 16, 16, 16).items()
    }
    options = {**DIMS, "archi": archi, "face_type": "wf", "batch_size": np.int64(6), **changes}
    data = {
        "iter": 3,
        "options": options,
        "loss_history": [[np.float32(0.5), np.float32(0.25)], [0.4, 0.2], [0.3, 0.1]],
        "sample_for_preview": [np.zeros((2, 64, 64, 3), np.float32)],
        "choosed_gpu_indexes": None,
    }
    dfl_folders.write_folder(folder, "m_SAEHD", nets, data)
    return nets


def loaded(folder: Path, **choice: Any) -> tuple[Any, DflModel, Loaded]:
    source = read_dfl_model(folder, **choice)
    model, how = build_dfl_model(source)
    return model, source, how


def faces() -> tuple[torch.Tensor, np.ndarray]:
    """Pictures in RGB for us, and in DFL's order."""
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return rgb, rgb.double().permute(0, 2, 3, 1).numpy()[..., ::-1]


def close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - theirs).max() < 1e-5


@pytest.mark.parametrize("archi", ["df-ud", "liae-t"])
def test_saehd_predicts_what_dfl_does(archi: str, tmp_path: Path) -> None:
    nets = made(tmp_path, archi)
    model, source, _ = loaded(tmp_path)
    assert (source.iteration, source.settings.face_type) == (3, "whole_face")
    assert source.settings.batch_size == 6
    np.testing.assert_array_equal(source.history, np.float32([[0.5, 0.25], [0.4, 0.2], [0.3, 0.1]]))
    rgb, bgr = faces()
    kind, _, flags = archi.partition("-")
    oracle = Oracle(set(flags))
    flat = oracle.encoder(nets["encoder"], bgr)
    if kind == "df":
        code = code_dst = oracle.inter(nets["inter"], flat, 64)
        ours, of_dst = nets["decoder_src"], nets["decoder_dst"]
    else:
        shared = oracle.inter(nets["inter_AB"], flat, 64)
        code = np.concatenate([shared, shared], -1)
        code_dst = np.concatenate([oracle.inter(nets["inter_B"], flat, 64), shared], -1)
        ours = of_dst = nets["decoder"]
    image, mask = oracle.decoder(ours, code)
    predicted = model.predict(rgb)
    close(predicted.face, image[..., ::-1])
    close(predicted.mask_prd, mask)
    close(predicted.mask_dst, oracle.decoder(of_dst, code_dst)[1])


def test_amp_predicts_what_dfl_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    nets = {
        name: dfl_folders.drawn(shapes, rng)
        for name, shapes in dfl_folders.networks("amp", 64, 32, 16, 16, 16).items()
    }
    options = {**DIMS, "inter_dims": 32, "face_type": "f", "morph_factor": 0.3}
    dfl_folders.write_folder(tmp_path, "a_AMP", nets, {"iter": 0, "options": options})
    model, source, _ = loaded(tmp_path)
    assert source.settings.face_type == "full_face"
    rgb, bgr = faces()
    oracle = Oracle({"u", "t", "d"})
    vector = dense(nets["encoder"], "dense1", oracle.encoder(nets["encoder"], bgr))
    of_src, of_dst = (
        dense(nets[name], "dense2", vector).reshape(1, 32, 2, 2).transpose(0, 2, 3, 1)
        for name in ("inter_src", "inter_dst")
    )
    code = np.concatenate([of_src[..., :9], of_dst[..., 9:]], -1)  # floor(32 x 0.3)
    image, mask = oracle.decoder(nets["decoder"], code)
    predicted = model.predict(rgb, morph=0.3)
    close(predicted.face, image[..., ::-1])
    close(predicted.mask_prd, mask)
    close(predicted.mask_dst, oracle.decoder(nets["decoder"], of_dst)[1])


def test_optimizer_moments_follow_their_tensors(tmp_path: Path) -> None:
    nets = made(tmp_path, adabelief=True)
    moments: dict[str, Any] = {"iters:0": np.int64(77)}
    for name, tensors in nets.items():
        for key, value in tensors.items():
            # Moments that are the tensor itself must land where the tensor does.
            moments[f"ms_{name}/{key[:-2]}_0:0"] = value
            moments[f"vs_{name}/{key[:-2]}_0:0"] = value**2
    (tmp_path / "m_SAEHD_src_dst_opt.npy").write_bytes(pickle.dumps(moments, 4))
    model, _, how = loaded(tmp_path)
    assert not how.notes
    optimizer = model.optimizers()["src_dst_opt"]
    assert optimizer.param_groups[0]["step"] == 77
    for network in model.networks().values():
        for param in network.parameters():
            assert torch.equal(optimizer.state[param]["m"], param)
            assert torch.equal(optimizer.state[param]["s"], param**2)


def test_the_optimizer_is_told_by_its_file_where_options_are_silent(tmp_path: Path) -> None:
    nets = made(tmp_path)
    squares = {
        f"acc_{name}/{key[:-2]}_0:0": value
        for name, tensors in nets.items()
        for key, value in tensors.items()
    }
    (tmp_path / "m_SAEHD_src_dst_opt.npy").write_bytes(pickle.dumps(squares, 4))
    model, source, how = loaded(tmp_path)
    assert (source.settings.optimizer, how.notes) == ("rmsprop", [])
    made(tmp_path, adabelief=True)  # as if it had been changed since
    model, source, how = loaded(tmp_path)
    assert source.settings.optimizer == "adabelief"
    assert [note for note in how.notes if "another kind" in note]
    optimizer = model.optimizers()["src_dst_opt"]
    assert all(not slot.any() for state in optimizer.state.values() for slot in state.values())


@pytest.mark.parametrize("trained", [False, True])
def test_amp_trains_its_inters_if_its_optimizer_did(trained: bool, tmp_path: Path) -> None:
    options = {**DIMS, "inter_dims": 32, "face_type": "f"}
    dfl_folders.write_folder(tmp_path, "a_AMP", {}, {"iter": 0, "options": options})
    moments = {"iters:0": np.int64(3), "ms_encoder/dense1/bias_0:0": np.zeros(32, np.float32)}
    if trained:
        moments["ms_inter_src/dense2/bias_0:0"] = np.zeros(128, np.float32)
    (tmp_path / "a_AMP_src_dst_opt.npy").write_bytes(pickle.dumps(moments, 4))
    assert read_dfl_model(tmp_path).settings.model_dump()["train_inters"] is trained


def test_a_missing_network_is_never_made_up(tmp_path: Path) -> None:
    made(tmp_path, "liae-ud")
    (tmp_path / "m_SAEHD_inter_AB.npy").unlink()
    source = read_dfl_model(tmp_path)
    with pytest.raises(ModelError, match=r"m_SAEHD_inter_AB\.npy: missing"):
        build_dfl_model(source)
    _, how = build_dfl_model(source, allow_missing=True)
    assert how.fresh == ["inter_AB"]
    assert any("inter_AB starts afresh" in note for note in how.notes)


def test_missing_discriminators_and_optimizers_start_afresh(tmp_path: Path) -> None:
    made(tmp_path, gan_power=0.1, gan_patch_size=16, gan_dims=4)
    _, source, how = loaded(tmp_path)
    assert source.settings.model_dump()["gan_power"] == 0.1
    assert any("GAN.npy" in note for note in how.notes)
    assert any("src_dst_opt.npy" in note for note in how.notes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"lr_dropout": True}, {"lr_dropout": "y"}),
        ({"lr_dropout": False}, {"lr_dropout": "n"}),
        ({"archi": "dfuhd"}, {"archi": "df-u"}),
        ({"archi": "LIAE-DU", "true_face_power": 0.01}, {"archi": "liae-ud"}),
        ({"random_flip": True}, {"random_src_flip": True, "random_dst_flip": True}),
        ({"face_type": "head", "masked_training": np.bool_(False)}, {"masked_training": False}),
        ({"batch_size": 0}, {"batch_size": 1}),
        ({"adabelief": False}, {"optimizer": "rmsprop"}),
    ],
)
def test_options_of_all_ages(
    options: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    made(tmp_path, **options)
    settings = read_dfl_model(tmp_path).settings.model_dump()
    assert {key: settings[key] for key in expected} == expected


def test_colours_go_on_as_dfl_takes_them(tmp_path: Path) -> None:
    made(tmp_path, ct_mode="rct")
    settings = read_dfl_model(tmp_path).settings
    assert settings.model_dump()["ct_statistics"] == "whole"
    assert lost_settings(settings, "SAEHD") == []
    ours = settings.model_copy(update={"ct_statistics": "inside"})
    assert lost_settings(ours, "SAEHD") == ["ct_statistics"]
    unused = ours.model_copy(update={"ct_mode": "none"})
    assert lost_settings(unused, "SAEHD") == []


def test_dead_architectures_and_foreign_options_are_told(tmp_path: Path) -> None:
    made(tmp_path, random_shadow="all", autobackup_hour=2)
    (note,) = read_dfl_model(tmp_path).notes
    assert note.endswith(": random_shadow")
    for options, why in [({"archi": "liaehd"}, "June 2020"), ({"resolution": 4096}, "resolution")]:
        made(tmp_path, **options)
        with pytest.raises((FormatError, InputError), match=why):
            read_dfl_model(tmp_path)


def test_models_of_a_folder(tmp_path: Path) -> None:
    made(tmp_path)
    for label in ("my face_SAEHD", "b_AMP", "XSeg", "old_H64", "b_SAEHD"):
        (tmp_path / f"{label}_data.dat").write_bytes(pickle.dumps({}))
    (tmp_path / "SAEHD_default_options.dat").write_bytes(b"")
    (tmp_path / "m_SAEHD_autobackups").mkdir()
    labels = {model.label for model in list_dfl_models(tmp_path)}
    assert labels == {"m_SAEHD", "my face_SAEHD", "b_AMP", "XSeg", "b_SAEHD"}
    assert find_dfl_model(tmp_path, name="b", class_name="AMP").data == "b_AMP_data.dat"
    assert find_dfl_model(tmp_path, class_name="XSeg").tensors("xseg") == "XSeg_256.npy"
    assert find_dfl_model(tmp_path, class_name="XSeg").tensors("opt") == "XSeg_256_opt.npy"
    with pytest.raises(InputError, match="several models"):
        find_dfl_model(tmp_path, name="b")
    with pytest.raises(InputError, match="no such model"):
        find_dfl_model(tmp_path, name="c")
    with pytest.raises(InputError, match="no DeepFaceLab 2 model"):
        find_dfl_model(tmp_path / "m_SAEHD_autobackups")


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


def hostile(good: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Encoder files that must end in one clear line."""
    key = "down1/downs_0/conv1/weight:0"
    nan = good[key].copy()
    nan[0, 0, 0, 0] = np.nan
    return {
        "code": pickle.dumps({key: Evil()}, 4),
        "empty": b"",
        "truncated": pickle.dumps(good, 4)[:-5000],
        "a list": pickle.dumps([good], 4),
        "text for an array": pickle.dumps({**good, key: "x"}, 4),
        "doubles": pickle.dumps({**good, key: good[key].astype(np.float64)}, 4),
        "objects": pickle.dumps({**good, key: np.array([None])}, 4),
        "other byte order": pickle.dumps({**good, key: good[key].astype(">f4")}, 4),
        "not finite": pickle.dumps({**good, key: nan}, 4),
        "another shape": pickle.dumps({**good, key: good[key][..., ::2]}, 4),
        "same size, another shape": pickle.dumps({**good, key: good[key].reshape(1, 25, 3, -1)}, 4),
        "one missing": pickle.dumps({k: v for k, v in good.items() if k != key}, 4),
        "one too many": pickle.dumps({**good, "res1/conv1/bias:0": good[key]}, 4),
        "lists without end": b"\x80\x04" + b"]" * 300_000 + b".",
    }


def test_hostile_and_damaged_files_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nets = made(tmp_path)
    model, source, _ = loaded(tmp_path)
    file = tmp_path / "m_SAEHD_encoder.npy"
    before = set(tmp_path.iterdir())
    for case, content in hostile(nets["encoder"]).items():
        file.write_bytes(content)
        with pytest.raises(FormatError, match=r"m_SAEHD_encoder\.npy: .{5,}") as caught:
            load_dfl_weights(source.files, model)
        assert "\n" not in str(caught.value), case
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "data",
    [
        {"iter": -1, "options": {}},
        {"iter": 1 << 60, "options": {}},
        {"iter": "5", "options": {}},
        {"iter": 5, "options": []},
        [],
        {"iter": 1, "options": {"archi": Evil()}},
    ],
)
def test_hostile_data(data: Any, tmp_path: Path) -> None:
    (tmp_path / "m_SAEHD_data.dat").write_bytes(pickle.dumps(data))
    with pytest.raises(FormatError, match=r"m_SAEHD_data\.dat: "):
        read_dfl_model(tmp_path)


def test_odd_losses_become_unknown_ones(tmp_path: Path) -> None:
    rows: Any = [[1, 2], "x", [1.0], [np.zeros(3), 1.0], [3.0, np.float32(4)]]
    data = {"iter": 6, "options": {**DIMS, "archi": "df"}, "loss_history": rows}
    (tmp_path / "m_SAEHD_data.dat").write_bytes(pickle.dumps(data))
    history = read_dfl_model(tmp_path).history
    nan = np.nan
    expected = [[nan, nan], [1, 2], [nan, nan], [nan, nan], [nan, nan], [3, 4]]
    np.testing.assert_array_equal(history, np.float32(expected))


def test_large_tensors_are_not_copied(tmp_path: Path) -> None:
    made(tmp_path)
    tensors = read_tensors(tmp_path / "m_SAEHD_inter.npy")
    large = tensors["dense1/weight:0"]
    assert large.nbytes > 4096 and not large.flags.owndata and not large.flags.writeable
