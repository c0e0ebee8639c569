"""Every stage by name: its configuration, its `run`, and the line that describes it.

The command line, the Python API, `faceloom settings` and the reference pages of the docs all read
this list, so a new stage appears everywhere by being declared here. Importing it loads no stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, get_args, get_type_hints

if TYPE_CHECKING:
    from faceloom.core.config import Settings
    from faceloom.core.events import Cancel, Progress
    from faceloom.core.result import Result

_ROOT: Final = "faceloom.stages."


class Run(Protocol):
    """The contract of a stage's `run`."""

    def __call__(self, config: Any, *, progress: Progress, cancel: Cancel) -> Result: ...


@dataclass(frozen=True)
class Stage:
    """Where a stage is found, and what it is called."""

    name: str
    """The words of its command: `extract`, `faceset pack`."""
    config: str
    """`module:Class` below `faceloom.stages`; the module must be light."""
    run: str
    """`module:function` below `faceloom.stages`."""
    summary: str
    """One line for the list of commands; a command's own help is its configuration's docstring."""
    table: str | None = None
    """The table of `faceloom.toml` that holds its settings; None: none does."""

    def settings(self) -> type[Settings]:
        """The configuration's class; loads its module."""
        return cast("type[Settings]", _load(self.config))

    def function(self) -> Run:
        """The stage's `run`; loads all that the stage needs."""
        return cast("Run", _load(self.run))

    def results(self) -> tuple[type[Result], ...]:
        """The classes of what `run` may return; loads all that the stage needs."""
        result = get_type_hints(self.function())["return"]
        return get_args(result) or (result,)

    @property
    def python_name(self) -> str:
        """Its function in the Python API: `faceset pack` is `faceset_pack`."""
        # `faceloom.settings` is a package.
        return "list_settings" if self.name == "settings" else self.name.replace(" ", "_")


@dataclass(frozen=True)
class Group:
    """A group of stages whose commands share their first words."""

    summary: str
    """One line for the list of commands."""
    help: str
    """What `faceloom GROUP --help` says, in Markdown."""


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(_ROOT + module), name)


_START: Final = (
    Stage(
        "demo",
        "demo.config:DemoConfig",
        "demo.run:run",
        "Run the whole pipeline on two public-domain portraits.",
    ),
    Stage("new", "config:NewConfig", "new:run", "Create a workspace and its rights record."),
    Stage(
        "run",
        "config:RunConfig",
        "run:run",
        "Run every stage that is not done yet, in order.",
        table="run",
    ),
    Stage(
        "frames",
        "config:FramesConfig",
        "frames:run",
        "Write a video out as pictures.",
        table="frames",
    ),
)

_EXTRACT: Final = (
    Stage(
        "extract",
        "extract.config:ExtractConfig",
        "extract.run:run",
        "Find, align and store the faces of src or dst.",
        table="extract",
    ),
)

_FACESET: Final = (
    Stage(
        "faceset list",
        "faceset.config:FacesetListConfig",
        "faceset.list:run",
        "Show what is in a faceset.",
    ),
    Stage(
        "faceset rename",
        "faceset.config:FacesetRenameConfig",
        "faceset.rename:run",
        "Name faces after their source files again.",
    ),
    Stage(
        "faceset undo",
        "faceset.config:FacesetUndoConfig",
        "faceset.undo:run",
        "Undo the last operation that moved or renamed faces.",
    ),
    Stage(
        "faceset masks",
        "faceset.config:FacesetMasksConfig",
        "faceset.masks:run",
        "Write the mask of every face as a picture.",
    ),
    Stage(
        "faceset debug",
        "faceset.config:FacesetDebugConfig",
        "faceset.debug:run",
        "Draw landmarks and hull on a copy of every face.",
    ),
    Stage(
        "faceset pack",
        "faceset.config:FacesetPackConfig",
        "faceset.pack:run_pack",
        "Put a faceset into one file.",
    ),
    Stage(
        "faceset unpack",
        "faceset.config:FacesetUnpackConfig",
        "faceset.pack:run_unpack",
        "Turn a packed faceset into files again.",
    ),
    Stage(
        "faceset metadata save",
        "faceset.config:FacesetMetadataSaveConfig",
        "faceset.metadata:run_save",
        "Save the metadata of every face.",
    ),
    Stage(
        "faceset metadata restore",
        "faceset.config:FacesetMetadataRestoreConfig",
        "faceset.metadata:run_restore",
        "Put saved metadata back into edited pictures.",
    ),
    Stage(
        "faceset import",
        "faceset.config:FacesetImportConfig",
        "faceset.transfer:run_import",
        "Copy the faces of another faceset.",
    ),
    Stage(
        "faceset export",
        "faceset.config:FacesetExportConfig",
        "faceset.transfer:run_export",
        "Write a faceset for DeepFaceLab and others.",
    ),
    Stage(
        "faceset resize",
        "faceset.config:FacesetResizeConfig",
        "faceset.resize:run",
        "Change the size or face type of a faceset.",
        table="resize",
    ),
    Stage(
        "faceset tracks",
        "faceset.config:FacesetTracksConfig",
        "faceset.tracks:run",
        "List, keep or drop the tracks of a faceset.",
        table="tracks",
    ),
    Stage(
        "faceset enhance",
        "faceset.config:FacesetEnhanceConfig",
        "faceset.enhance:run",
        "Sharpen blurred or small faces.",
        table="enhance",
    ),
    Stage(
        "faceset people list",
        "faceset.config:FacesetPeopleListConfig",
        "faceset.people:run_list",
        "List the people a workspace knows.",
    ),
    Stage(
        "faceset people add",
        "faceset.config:FacesetPeopleAddConfig",
        "faceset.people:run_add",
        "Learn a person from pictures.",
    ),
    Stage(
        "faceset people forget",
        "faceset.config:FacesetPeopleForgetConfig",
        "faceset.people:run_forget",
        "Delete what is known about a person.",
    ),
)

_CURATE: Final = (
    Stage(
        "sort",
        "curate.config:SortConfig",
        "curate.sort:run",
        "Sort a faceset by pose, sharpness, identity …; keep the best faces.",
        table="sort",
    ),
    Stage(
        "dedupe",
        "curate.config:DedupeConfig",
        "curate.dedupe:run",
        "Move near-duplicates out of a faceset.",
        table="dedupe",
    ),
    Stage(
        "cluster",
        "curate.config:ClusterConfig",
        "curate.cluster:run",
        "Group faces by person; name, keep or move the groups.",
        table="cluster",
    ),
    Stage(
        "coverage",
        "curate.config:CoverageConfig",
        "curate.coverage:run",
        "Find what dst shows that src lacks, and what to film.",
        table="coverage",
    ),
)

_TRAIN: Final = (
    Stage(
        "train",
        "train.config:TrainConfig",
        "train.run:run",
        "Train a model on the two facesets.",
        table="train",
    ),
    Stage(
        "plan",
        "train.config:PlanConfig",
        "train.plan:run",
        "Estimate the memory and time of a training before it starts.",
        table="train",
    ),
)

_MERGE: Final = (
    Stage(
        "merge",
        "merge.config:MergeConfig",
        "merge.run:run",
        "Put the trained face on the footage of dst.",
        table="merge",
    ),
    Stage(
        "encode",
        "config:EncodeConfig",
        "encode:run",
        "Encode the merged frames as a signed video with audio.",
        table="encode",
    ),
)

_MODEL: Final = (
    Stage(
        "model list",
        "model.config:ModelListConfig",
        "model.manage:list_all",
        "List the models of a workspace.",
    ),
    Stage(
        "model summary",
        "model.config:ModelSummaryConfig",
        "model.summary:summary",
        "Show everything about a model.",
    ),
    Stage(
        "model rename",
        "model.config:ModelRenameConfig",
        "model.manage:rename",
        "Give a model another name.",
    ),
    Stage(
        "model copy",
        "model.config:ModelCopyConfig",
        "model.manage:copy",
        "Copy a model's saved state to a new model.",
    ),
    Stage(
        "model delete",
        "model.config:ModelDeleteConfig",
        "model.manage:delete",
        "Delete a model with its backups and snapshots.",
    ),
    Stage(
        "model snapshot",
        "model.config:ModelSnapshotConfig",
        "model.states:snapshot",
        "Keep a model's state under a label.",
    ),
    Stage(
        "model snapshots",
        "model.config:ModelSnapshotsConfig",
        "model.states:snapshots",
        "List a model's snapshots.",
    ),
    Stage(
        "model backup",
        "model.config:ModelBackupConfig",
        "model.states:backup",
        "Add a model's state to its backups.",
    ),
    Stage(
        "model backups",
        "model.config:ModelBackupsConfig",
        "model.states:backups",
        "List a model's backups.",
    ),
    Stage(
        "model restore",
        "model.config:ModelRestoreConfig",
        "model.states:restore",
        "Go back to a snapshot or backup.",
    ),
    Stage(
        "model forget",
        "model.config:ModelForgetConfig",
        "model.states:forget",
        "Delete a snapshot or backup.",
    ),
    Stage(
        "model reset",
        "model.config:ModelResetConfig",
        "model.states:reset",
        "Reinitialise networks of a model.",
    ),
    Stage(
        "model timelapse",
        "model.config:ModelTimelapseConfig",
        "model.timelapse:timelapse",
        "Make a video of a model's previews.",
    ),
    Stage(
        "model import",
        "model.config:ModelImportConfig",
        "model.dfl:import_model",
        "Import a DeepFaceLab model.",
    ),
    Stage(
        "model export",
        "model.config:ModelExportConfig",
        "model.dfl:export_model",
        "Export a model to DeepFaceLab.",
    ),
    Stage(
        "export dfm",
        "model.config:ExportDfmConfig",
        "model.export:export_dfm",
        "Write a model as a DFM file for DeepFaceLive.",
    ),
    Stage(
        "export xseg",
        "model.config:ExportXsegConfig",
        "model.export:export_xseg",
        "Write an XSeg mask model as ONNX.",
    ),
)

_OTHER: Final = (
    Stage(
        "inspect",
        "config:InspectConfig",
        "inspect:run",
        "Show what a file says about itself.",
    ),
    Stage(
        "doctor",
        "config:DoctorConfig",
        "doctor:run",
        "Check that this machine has what the stages need.",
    ),
    Stage(
        "weights list",
        "config:WeightsListConfig",
        "weights:run_list",
        "List the network files.",
    ),
    Stage(
        "weights fetch",
        "config:WeightsFetchConfig",
        "weights:run_fetch",
        "Download network files into the cache.",
    ),
    Stage(
        "weights add",
        "config:WeightsAddConfig",
        "weights:run_add",
        "Add a network file to the cache.",
    ),
    Stage(
        "settings",
        "settings:SettingsConfig",
        "settings:run",
        "List the settings of stages and models.",
    ),
)

STAGES: Final[tuple[Stage, ...]] = (
    *_START,
    *_EXTRACT,
    *_FACESET,
    *_CURATE,
    *_TRAIN,
    *_MERGE,
    *_MODEL,
    *_OTHER,
)


# Groups of commands by their words.
GROUPS: Final[Mapping[str, Group]] = MappingProxyType(
    {
        "faceset": Group(
            "List, pack, unpack, rename, resize, enhance, import and export facesets.",
            """Show what is in a faceset, and work on its files.

A faceset is `src`, `dst`, or the path of any folder of faces.

**Example**

    faceloom faceset list src

    faceloom faceset undo src
""",
        ),
        "faceset metadata": Group(
            "Save the faces' metadata before you edit the pictures, and restore it.",
            """Save the metadata of faces before you edit the pictures elsewhere, and restore it.

Most image editors drop metadata they do not know, and a face without it is only a picture.

**Example**

    faceloom faceset metadata save src
""",
        ),
        "faceset people": Group(
            "List, add and forget the people that a workspace knows by name.",
            """List, add and forget the people that a workspace knows by name.

`faceloom cluster --name` learns them from a faceset, `add` from pictures.

**Example**

    faceloom faceset people list
""",
        ),
        "model": Group(
            "List, copy, reset, import and export models; snapshots and backups.",
            """List, describe, rename, copy, delete, restore, reset, import and export models.

A model is given by its name, or by name and class as its folder is called (`main_SAEHD`). No name
is needed when the workspace has one model.

**Example**

    faceloom model list

    faceloom model summary main
""",
        ),
        "export": Group(
            "Write trained models as files: DFM for DeepFaceLive, XSeg as ONNX.",
            """Write trained models as files for other programs.

A model contains a face, so the workspace needs its rights record; the record's digest goes into
the file and the ledger. For DeepFaceLab itself use `faceloom model export`.

**Example**

    faceloom export dfm --name main --output DeepFaceLive/dfm_models/
""",
        ),
        "weights": Group(
            "List, download or add the face networks.",
            """List, download or add the pretrained face networks.

Stages download them when they first need them. `fetch` downloads them in advance, and `add` takes
a file on a machine without network access. A file is identified by its hash.

**Example**

    faceloom weights fetch
""",
        ),
    }
)


def find_stage(name: str) -> Stage | None:
    """The stage whose command is `name`, such as `extract` or `faceset pack`."""
    return next((one for one in STAGES if one.name == name), None)


def stages_of(group: str) -> tuple[Stage, ...]:
    """The stages of a group of commands, such as `faceset`."""
    return tuple(one for one in STAGES if one.name.startswith(f"{group} "))


def commands_of(group: str = "") -> dict[str, str]:
    """The commands and groups directly in a group, in order, with their summaries.

    With an empty name those of the whole program: `extract`, `faceset`; of `faceset` then `pack`,
    `metadata`.
    """
    found: dict[str, str] = {}
    for stage in STAGES:
        if group and not stage.name.startswith(f"{group} "):
            continue
        rest = stage.name.removeprefix(group).strip()
        word, deeper, _ = rest.partition(" ")
        summary = GROUPS[f"{group} {word}".strip()].summary if deeper else stage.summary
        found.setdefault(word, summary)
    return found
