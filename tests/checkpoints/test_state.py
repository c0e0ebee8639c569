"""Model folders: nothing lost at any instant, nothing silently re-initialised."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from faceloom.checkpoints import (
    LossHistory,
    ModelFolder,
    backup,
    find_model,
    list_models,
    load_history,
    load_model,
    locked,
    model_folder,
    read_state,
    save_state,
)
from faceloom.checkpoints import state as checkpoint
from faceloom.checkpoints import tensors as tensors_module
from faceloom.core import InputError, ModelError, UsageError
from faceloom.models import AmpSettings, FaceModel, SaehdSettings, build_model
from faceloom.training import changed_settings, first_settings, foreign_settings

CPU = torch.device("cpu")


def new_model(seed: int = 3, **changes: Any) -> FaceModel:
    values: dict[str, Any] = {
        "resolution": 64,
        "archi": "df-ud",
        "ae_dims": 32,
        "e_dims": 16,
        "d_dims": 16,
        "batch_size": 1,
        **changes,
    }
    return build_model("SAEHD", SaehdSettings(**values), device=CPU, seed=seed)


def history(length: int) -> LossHistory:
    return LossHistory([(1 / (i + 1), 2 / (i + 1)) for i in range(length)])


def weights(model: FaceModel) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in model.networks().items()
        for key, value in network.state_dict().items()
    }


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_round_trip(tmp_path: Path) -> None:
    folder, model = ModelFolder(tmp_path / "x_SAEHD"), new_model(seed=3)
    optimizer = model.optimizers()["src_dst_opt"]
    for slots in optimizer.state.values():
        for slot in slots.values():
            slot.normal_(generator=torch.Generator().manual_seed(1))
    optimizer.param_groups[0]["step"] = 17
    save_state(folder, model, history(17), seed=3, facesets={"src": "5 abc"})
    again, state = load_model(folder, device=CPU, training=True)
    assert_same(weights(model), weights(again))
    assert (state.iteration, state.seed, state.facesets) == (17, 3, {"src": "5 abc"})
    other = again.optimizers()["src_dst_opt"]
    assert other.param_groups[0]["step"] == 17
    for mine, theirs in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert_same(mine, theirs)
    assert len(load_history(folder, state)) == 17
    with pytest.raises(InputError, match="no running mean"):
        load_model(folder, device=CPU, weights="mean")


def test_a_model_saved_channels_last_is_the_same_model(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    settings = new_model().settings
    model = build_model("SAEHD", settings, device=CPU, seed=3, precision="bf16")
    save_state(folder, model, history(1), seed=3)
    assert_same(weights(new_model(seed=3)), weights(load_model(folder, device=CPU)[0]))


@pytest.mark.parametrize("moment", ["tensors", "rename", "history", "pointer", "sweep"])
def test_a_stop_at_any_step_of_a_save_leaves_a_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    old, new = new_model(seed=3), new_model(seed=4)
    save_state(folder, old, history(5), seed=3)

    class Stop(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Stop

    def half_written(tensors: Any, file: Path) -> None:
        file.write_bytes(b"half")
        stop()

    targets = {
        "tensors": (tensors_module, "save_file", half_written),
        "rename": (Path, "rename", stop),
        "history": (LossHistory, "write", stop),
        "pointer": (checkpoint, "atomic_write", stop),
        "sweep": (checkpoint, "sweep", stop),
    }
    with monkeypatch.context() as patch:
        # A kill runs no clean-up either.
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(*targets[moment])
        with pytest.raises(Stop):
            save_state(folder, new, history(9), seed=3)
    model, state = load_model(folder, device=CPU, training=True)
    expected, count = (new, 9) if moment == "sweep" else (old, 5)
    assert_same(weights(model), weights(expected))
    assert state.iteration == count
    assert load_history(folder, state).values.tolist() == history(count).values.tolist()
    save_state(folder, model, history(count + 1), seed=3)
    entries = {entry.name for entry in folder.path.iterdir()}
    assert len(entries) == 3, "what the stop left behind is swept by the next save"


def test_damage_is_told_not_trained_over(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    with pytest.raises(ModelError, match="no trained model"):
        read_state(folder)
    save_state(folder, new_model(), history(2), seed=3)
    state = read_state(folder)
    file = folder.path / state.folder / "inter.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"inter\.safetensors is missing or does not have"):
        load_model(folder, device=CPU)
    file.write_bytes(b"\0" * len(whole))
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder, device=CPU)
    tensors = load_file(file.with_name("encoder.safetensors"))
    save_file(tensors, file)
    _resize_entry(folder, file)
    with pytest.raises(ModelError, match="not this network's"):
        load_model(folder, device=CPU)
    file.unlink()
    with pytest.raises(ModelError, match="missing"):
        load_model(folder, device=CPU)


def _resize_entry(folder: ModelFolder, file: Path) -> None:
    content = json.loads(folder.state_file.read_text())
    content["files"][file.name] = file.stat().st_size
    folder.state_file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 2), ("iteration", -1), ("files", {"../../x": 1}), ("extra", 1), ("seed", "x")],
)
def test_state_file_is_checked(tmp_path: Path, key: str, value: Any) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    save_state(folder, new_model(), history(2), seed=3)
    content = json.loads(folder.state_file.read_text())
    folder.state_file.write_text(json.dumps({**content, key: value}))
    with pytest.raises(ModelError):
        read_state(folder)
    folder.state_file.write_text("{")
    with pytest.raises(ModelError):
        read_state(folder)


def test_another_optimizer_starts_afresh(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    model = new_model()
    model.optimizers()["src_dst_opt"].param_groups[0]["step"] = 5
    save_state(folder, model, history(5), seed=3)
    state = read_state(folder)
    changed = changed_settings(
        state, {}, ["optimizer=rmsprop", "learning_rate=1e-4"], where=folder.state_file
    )
    again, _ = load_model(folder, device=CPU, settings=changed, training=True)
    group = again.optimizers()["src_dst_opt"].param_groups[0]
    assert group["step"] == 0
    assert group["lr"] == 1e-4
    assert_same(weights(model), weights(again))


def test_what_shapes_the_networks_is_fixed(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    save_state(folder, new_model(), history(1), seed=3)
    state = read_state(folder)
    changes = ("resolution=96", "archi=liae-ud", "ae_dims=64", "face_type=wf", "d_mask_dims=32")
    for change in changes:
        with pytest.raises(InputError, match=rf"{change.split('=')[0]} is .* cannot change"):
            changed_settings(state, {}, [change], where=folder.state_file)
    dims = checkpoint.saved_settings(state, where=folder.state_file)
    assert isinstance(dims, SaehdSettings) and dims.d_mask_dims is None
    texts = ["resolution=64", "random_warp=n", f"d_mask_dims={dims.mask_dims}"]
    same = changed_settings(state, {"batch_size": 3}, texts, where=folder.state_file)
    assert isinstance(same, SaehdSettings)
    assert (same.batch_size, same.random_warp, same.resolution) == (3, False, 64)
    with pytest.raises(InputError, match="unknown setting"):
        first_settings("SAEHD", {}, ["resolutoin=128"])
    with pytest.raises(InputError, match="unknown model class"):
        first_settings("H64", {})


def test_settings_of_another_class_are_left_out(tmp_path: Path) -> None:
    of_saehd = {"resolution": 128, "archi": "liae-ud", "ae_dims": 512, "batch_size": 2}
    settings = first_settings("Quick96", of_saehd)
    assert (settings.resolution, settings.batch_size) == (96, 2)
    assert foreign_settings("Quick96", of_saehd) == ["resolution", "archi", "ae_dims"]
    assert foreign_settings("SAEHD", of_saehd) == []
    with pytest.raises(InputError, match="unknown setting 'ae_dim'"):
        first_settings("Quick96", {"ae_dim": 512})
    for change in ("ae_dims=512", "resolution=128"):
        with pytest.raises(UsageError):
            first_settings("Quick96", {}, [change])


def test_names_and_finding(tmp_path: Path) -> None:
    for name in ("", "a/b", "..", " a", ".hidden", "a:b"):
        with pytest.raises(InputError):
            model_folder(tmp_path, name, "SAEHD")
    assert list_models(tmp_path / "none") == []
    with pytest.raises(InputError, match="no trained"):
        find_model(tmp_path)
    for name in ("first", "with_underscore"):
        save_state(model_folder(tmp_path, name, "SAEHD"), new_model(), history(1), seed=3)
    (tmp_path / "stray").mkdir()
    assert {f.path.name for f in list_models(tmp_path)} == {"first_SAEHD", "with_underscore_SAEHD"}
    with pytest.raises(InputError, match="several models"):
        find_model(tmp_path)
    found = find_model(tmp_path, name="with_underscore")
    assert found.path.name == "with_underscore_SAEHD"
    with pytest.raises(InputError, match="no trained Quick96"):
        find_model(tmp_path, class_name="Quick96")


def test_backups_stay_as_they_were(tmp_path: Path) -> None:
    folder, model = ModelFolder(tmp_path / "x_SAEHD"), new_model(seed=3)
    for count in (1, 2, 3):
        save_state(folder, model, history(count), seed=3)
        backup(folder, keep=2)
        backup(folder, keep=2)
        with torch.no_grad():
            next(iter(model.networks()["inter"].parameters())).add_(1)
    save_state(folder, model, history(4), seed=3)
    kept = sorted(entry.name for entry in folder.backups.iterdir())
    assert kept == ["00000002", "00000003"]
    old, state = load_model(ModelFolder(folder.backups / "00000002"), device=CPU, training=True)
    assert state.iteration == 2
    now, then = weights(model), weights(old)
    largest = max(float((now[key] - then[key]).abs().max()) for key in now)
    assert largest == pytest.approx(2, abs=1e-5)


def test_one_trainer_at_a_time(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    code = (
        "import sys; from pathlib import Path; from faceloom.checkpoints import *\n"
        "try:\n with locked(ModelFolder(Path(sys.argv[1]))): pass\n"
        "except Exception as error: print(type(error).__name__)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(folder.path)]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ).stdout

    with locked(folder):
        assert other().strip() == "ModelError"
    assert not folder.path.exists(), "nothing was saved, so nothing is left"


def test_a_file_that_the_command_mends_is_no_error(tmp_path: Path) -> None:
    """`true_face_power` in the file needs the `archi` of the command: together they fit."""
    settings = first_settings("SAEHD", {"true_face_power": 0.01}, ("archi=df-ud",))
    assert (settings.archi, settings.true_face_power) == ("df-ud", 0.01)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="true_face_power"):
        first_settings("SAEHD", {"true_face_power": 0.01})
    with pytest.raises(UsageError, match="ae_dims"):
        first_settings("SAEHD", {}, ("ae_dims=1",))


def test_inters_that_rested_have_no_slots_and_get_new_ones_when_they_learn(tmp_path: Path) -> None:
    values = {"resolution": 64, "ae_dims": 32, "inter_dims": 32, "e_dims": 16, "d_dims": 16}
    resting = AmpSettings(train_inters=False, **values)  # type: ignore[arg-type]
    folder = ModelFolder(tmp_path / "x_AMP")
    model = build_model("AMP", resting, device=CPU, seed=3)
    save_state(folder, model, history(2), seed=3)
    slots = load_file(folder.path / read_state(folder).folder / "src_dst_opt.safetensors")
    assert {key.partition(".")[0] for key in slots} == {"encoder", "decoder"}
    learning = resting.model_copy(update={"train_inters": True})
    again, _ = load_model(folder, device=CPU, settings=learning, training=True)
    optimizer = again.optimizers()["src_dst_opt"]
    assert len(optimizer.state) > len(model.optimizers()["src_dst_opt"].state)
