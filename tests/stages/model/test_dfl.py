"""DeepFaceLab's models into a workspace and out of it, and what that leaves in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from faceloom.checkpoints import LossHistory, model_folder, read_events, read_state, save_state
from faceloom.cli.main import run_command
from faceloom.core import Cancel, CancelledError, InputError, NullProgress, RightsError
from faceloom.models import SaehdSettings, build_model
from faceloom.models.xseg.model import XsegModel
from faceloom.provenance import Statement, file_sha256, make_record, read_ledger, write_rights
from faceloom.settings.models import XsegSettings
from faceloom.stages.config import InspectConfig
from faceloom.stages.inspect import run as inspect
from faceloom.stages.model.config import (
    ExportDfmConfig,
    ExportXsegConfig,
    ModelExportConfig,
    ModelImportConfig,
)
from faceloom.stages.model.dfl import export_model, import_model
from faceloom.stages.model.export import export_dfm, export_xseg
from faceloom.training.ema import Ema
from faceloom.workspace.layout import Workspace, create_workspace
from small_models import SMALL, content, save_small


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The tensors are small, and threads that wait for each other slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def told() -> dict[str, Any]:
    return {"progress": NullProgress(), "cancel": Cancel()}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = create_workspace(tmp_path / "w")
    side = Statement(ground="own", files=())
    write_rights(made.folder, make_record(side, side))
    return made


def test_out_and_in_again_is_the_same_model(workspace: Workspace) -> None:
    folder = save_small(model_folder(workspace.model, "main", "SAEHD").path, 3)
    exported = export_model(ModelExportConfig(workspace=workspace.folder), **told())
    assert exported.output == workspace.model and "main_SAEHD_data.dat" in exported.files
    imported = import_model(
        ModelImportConfig(workspace=workspace.folder, new_name="again"), **told()
    )
    assert (imported.model, imported.iteration, imported.fresh) == ("again_SAEHD", 3, [])
    again = model_folder(workspace.model, "again", "SAEHD")
    before, after = read_state(folder), read_state(again)
    assert content(folder, before.folder) == content(again, after.folder)
    assert (before.settings, before.iteration, before.seed) == (
        *(after.settings, after.iteration, after.seed),
    )
    assert before.optimizers == after.optimizers
    assert folder.history_file.read_bytes() == again.history_file.read_bytes()
    assert [event.kind for event in read_events(again.events_file)] == ["imported"]
    entries = read_ledger(workspace.folder)
    assert [entry.event for entry in entries] == ["model-export", "model-import"]
    assert entries[0].data["model"] == "main_SAEHD" and entries[0].data["rights_sha256"]
    assert entries[1].data["from"] == "main_SAEHD"


def test_names_that_are_taken_or_unknown(workspace: Workspace, tmp_path: Path) -> None:
    save_small(model_folder(workspace.model, "main", "SAEHD").path)
    export_model(ModelExportConfig(workspace=workspace.folder, output=tmp_path / "dfl"), **told())
    source = ModelImportConfig(workspace=workspace.folder, folder=tmp_path / "dfl")
    with pytest.raises(InputError, match="--as"):
        import_model(source, **told())
    with pytest.raises(InputError, match="--overwrite"):
        export_model(
            ModelExportConfig(workspace=workspace.folder, output=tmp_path / "dfl"), **told()
        )
    with pytest.raises(InputError, match="no such model"):
        import_model(source.model_copy(update={"name": "other"}), **told())
    with pytest.raises(InputError, match="no DeepFaceLab 2 model"):
        import_model(ModelImportConfig(workspace=workspace.folder), **told())


def test_a_stopped_or_failed_import_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    save_small(model_folder(workspace.model, "main", "SAEHD").path)
    folder = tmp_path / "dfl"
    export_model(ModelExportConfig(workspace=workspace.folder, output=folder), **told())
    (folder / "main_SAEHD_inter.npy").write_bytes(b"\x80\x04N.")
    before = sorted(workspace.folder.rglob("*"))
    config = ModelImportConfig(workspace=workspace.folder, folder=folder, new_name="b")
    with pytest.raises(Exception, match=r"main_SAEHD_inter\.npy"):
        import_model(config, **told())
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        import_model(config, progress=NullProgress(), cancel=cancel)
    assert sorted(workspace.folder.rglob("*")) == before


def test_exports_need_rights(tmp_path: Path) -> None:
    bare = create_workspace(tmp_path / "w")
    save_small(model_folder(bare.model, "main", "SAEHD").path)
    before = sorted(bare.model.rglob("*"))
    with pytest.raises(RightsError, match="no rights record"):
        export_model(ModelExportConfig(workspace=bare.folder), **told())
    with pytest.raises(RightsError, match="no rights record"):
        export_dfm(ExportDfmConfig(workspace=bare.folder), **told())
    assert sorted(bare.model.rglob("*")) == before and not read_ledger(bare.folder)


def test_dfm_tells_where_it_comes_from(workspace: Workspace) -> None:
    save_small(model_folder(workspace.model, "main", "SAEHD").path, face_type="head")
    result = export_dfm(ExportDfmConfig(workspace=workspace.folder), **told())
    assert result.output == workspace.model / "main_SAEHD_model.dfm"
    assert result.difference < 1e-5
    assert [p.name for p in workspace.model.iterdir() if p.is_file() and p.suffix != ".lock"] == [
        "main_SAEHD_model.dfm"
    ]
    kept = {prop.key: prop.value for prop in onnx.load(result.output).metadata_props}
    (entry,) = read_ledger(workspace.folder)
    assert kept["rights_sha256"] == entry.data["rights_sha256"]
    assert (kept["model"], kept["class"], kept["face_type"]) == ("main", "SAEHD", "head")
    assert (kept["iteration"], kept["src_rights"]) == ("2", "own")
    assert kept["generator"].startswith("Faceloom ")
    assert entry.data["sha256"] == file_sha256(result.output) == result.sha256
    told_of_it = inspect(InspectConfig(path=result.output, workspace=workspace.folder), **told())
    assert told_of_it.ledger["known"] and told_of_it.ledger["event"] == "model-export"


def test_dfm_takes_the_mean_weights_where_there_are_some(workspace: Workspace) -> None:
    folder = model_folder(workspace.model, "main", "SAEHD")
    model = build_model("SAEHD", SaehdSettings(**SMALL))
    means = {key: value * 0 for key, value in Ema(model, 0.99).tensors().items()}
    save_state(folder, model, LossHistory([(1, 1)]), seed=0, ema=means)
    sides = {}
    for weights in ("auto", "mean", "trained"):
        config = ExportDfmConfig(workspace=workspace.folder, weights=weights)
        made = onnx.load(export_dfm(config, **told()).output)
        sides[weights] = max(
            float(np.abs(onnx.numpy_helper.to_array(w)).max())
            for w in made.graph.initializer
            if "conv" in w.name
        )
    assert sides["auto"] == sides["mean"] == 0 < sides["trained"]


def test_a_model_of_the_right_kind_is_chosen(workspace: Workspace, tmp_path: Path) -> None:
    quick = model_folder(workspace.model, "q", "Quick96")
    save_state(quick, build_model("SAEHD", SaehdSettings(**SMALL)), LossHistory([(1, 1)]), seed=0)
    with pytest.raises(InputError, match="dfm is for SAEHD and AMP, not for Quick96"):
        export_dfm(ExportDfmConfig(workspace=workspace.folder), **told())
    save_small(model_folder(workspace.model, "main", "SAEHD").path)
    config = ExportDfmConfig(workspace=workspace.folder, output=f"{tmp_path}", quantized=True)
    result = export_dfm(config, **told())
    assert result.output == tmp_path / "main_SAEHD_model.dfm"
    with pytest.raises(InputError, match="onnx is for XSeg"):
        export_xseg(ExportXsegConfig(workspace=workspace.folder), **told())


def test_the_commands(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(XsegModel.__init__.__kwdefaults__, "base", 2)
    model = build_model("XSeg", XsegSettings())
    save_state(
        model_folder(workspace.model, "masks", "XSeg"),
        model,
        LossHistory([1, 2, 3], columns=1),
        seed=0,
    )
    save_small(model_folder(workspace.model, "main", "SAEHD").path)

    def printed(*words: str) -> dict[str, Any]:
        assert run_command([*words, "-w", str(workspace.folder), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    made = printed("export", "xseg")
    assert made["output"] == str(workspace.model / "XSeg_model.onnx")
    assert printed("export", "dfm", "main")["model"] == "main_SAEHD"
    assert printed("export", "dfm", "--name", "main_saehd")["model"] == "main_SAEHD"
    assert "XSeg_256.npy" in printed("model", "export", "--class", "xseg")["files"]
    assert printed("model", "import", "--class", "XSEG")["model"] == "main_XSeg"
    dfl = str(workspace.folder / "model")
    assert printed("model", "import", dfl, "--class", "XSeg", "--as", "b")["model"] == "b_XSeg"
    again = ["model", "import", "--folder", dfl, "--class", "XSeg", "--as", "c"]
    assert run_command([*again, "-w", str(workspace.folder)]) == 0
    text = capsys.readouterr().out
    assert "XSeg at iteration 3" in text and "faceloom train" in text
    out = str(workspace.folder / "there")
    assert (
        "anna_SAEHD_data.dat"
        in (
            printed("model", "export", "main", "--class", "SAEHD", "-o", out, "--as", "anna")[
                "files"
            ]
        )
    )
    assert printed("model", "import", "anna", out)["model"] == "anna_SAEHD"


def test_where_a_file_goes(workspace: Workspace, tmp_path: Path) -> None:
    """A folder when it ends in / or is one; a name without suffix gets the usual one."""
    save_small(model_folder(workspace.model, "main", "SAEHD").path)
    (tmp_path / "is").mkdir()
    for output, expected in {
        "dfm": "dfm.dfm",
        "anna.onnx": "anna.onnx",
        "new/": "new/main_SAEHD_model.dfm",
        "is": "is/main_SAEHD_model.dfm",
    }.items():
        config = ExportDfmConfig(workspace=workspace.folder, output=f"{tmp_path}/{output}")
        assert export_dfm(config, **told()).output == tmp_path / expected
        assert (tmp_path / expected).is_file()
