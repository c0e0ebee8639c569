"""A workspace: one folder with the footage, facesets, models and results of one pair.

The layout is DeepFaceLab's, so its workspaces open unchanged. `faceloom.toml` adds settings, and
where the footage is if it was not copied into the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import tomlkit
import tomlkit.exceptions

from faceloom.core.config import Settings, Source, combine, override_source
from faceloom.core.errors import InputError
from faceloom.core.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, atomic_write
from faceloom.core.vocabulary import SIDES, Side

S = TypeVar("S", bound=Settings)

# Files that may share the stem of `data_src.mp4` without being footage.
_NOT_FOOTAGE = frozenset({".c2pa", ".ini", ".json", ".log", ".md", ".srt", ".toml", ".txt"})

FILE_NAME = "faceloom.toml"
VERSION = 1
_HEADER = """\
# A Faceloom workspace. Footage paths are relative to this file, or absolute.
# Tables such as [extract], [train], [merge] and [encode] hold settings of those commands,
# [extract.src] and [extract.dst] those of one side, [train.settings] those of the model.
# Options on the command line override them.
"""


@dataclass(frozen=True)
class Workspace:
    """The paths of one workspace. The constructor does not touch the disk; see `open`."""

    folder: Path

    @classmethod
    def open(cls, folder: Path | str) -> Workspace:
        """The workspace in `folder`: one with a `faceloom.toml`, or a DFL workspace as it is.

        Raises `InputError` if the folder is missing or is neither, or the file is broken.
        """
        workspace = cls(Path(folder).expanduser())
        if not workspace.folder.is_dir():
            raise InputError(
                f"{workspace.folder}: no such folder; `faceloom new` creates a workspace"
            )
        if not workspace.file.is_file() and not _looks_like_dfl(workspace.folder):
            raise InputError(
                f"{workspace.folder}: not a workspace (no {FILE_NAME}, data_src or data_dst); "
                "`faceloom new` creates one"
            )
        workspace.read()
        return workspace

    @property
    def file(self) -> Path:
        """`faceloom.toml`, whether it exists or not."""
        return self.folder / FILE_NAME

    @property
    def data_src(self) -> Path:
        """The folder of src: frames and `aligned`."""
        return self.folder / "data_src"

    @property
    def data_dst(self) -> Path:
        """The folder of dst: frames, `aligned` and `merged`."""
        return self.folder / "data_dst"

    @property
    def aligned_src(self) -> Path:
        """src's faceset."""
        return self.data_src / "aligned"

    @property
    def aligned_dst(self) -> Path:
        """dst's faceset."""
        return self.data_dst / "aligned"

    @property
    def merged(self) -> Path:
        """The merged frames."""
        return self.data_dst / "merged"

    @property
    def merged_mask(self) -> Path:
        """The masks of the merged frames."""
        return self.data_dst / "merged_mask"

    @property
    def model(self) -> Path:
        """The folder of the models."""
        return self.folder / "model"

    def data(self, side: Side) -> Path:
        """`data_src` or `data_dst`."""
        return self.folder / f"data_{side}"

    def aligned(self, side: Side) -> Path:
        """The faceset folder of a side."""
        return self.data(side) / "aligned"

    def aligned_debug(self, side: Side) -> Path:
        """The folder of frames with their landmarks."""
        return self.data(side) / "aligned_debug"

    def result(self, suffix: str = ".mp4") -> Path:
        """The result video."""
        return self.folder / f"result{suffix}"

    def read(self) -> dict[str, Any]:
        """The content of `faceloom.toml` as plain data; empty if there is none.

        Raises `InputError` if it is not TOML or was written by a newer Faceloom.
        """
        return _document(self.file).unwrap()

    def settings(self, stage: str) -> dict[str, Any]:
        """The table `[stage]` of `faceloom.toml`."""
        table = self.read().get(stage, {})
        if not isinstance(table, dict):
            raise InputError(f"{self.file}: [{stage}] must be a table")
        return cast("dict[str, Any]", table)

    def update(self, table: str, values: Mapping[str, Any]) -> None:
        """Set `values` in a table of `faceloom.toml`, keeping comments and the rest."""
        document = _document(self.file)
        if "version" not in document:
            fresh = tomlkit.parse(_HEADER)
            fresh["version"] = VERSION
            for key, value in document.items():
                fresh[key] = value
            document = fresh
        if table not in document:
            document[table] = tomlkit.table()
        part = cast("dict[str, Any]", document[table])
        for key, value in values.items():
            part[key] = value
        atomic_write(self.file, tomlkit.dumps(document))

    def footage(self, side: Side) -> Path | list[Path]:
        """A side's footage for `media.open_footage`: a file, a folder of pictures, or a list.

        The path in `faceloom.toml` comes first; then, as in DFL, frames in `data_src/`
        (`data_dst/`); then the file `data_src.*`. Raises `InputError` if there is none, or the
        path in `faceloom.toml` does not exist.
        """
        referenced = self.footage_reference(side)
        if referenced is not None:
            if not referenced.exists():
                raise InputError(
                    f"{referenced}: the {side} footage is gone; put it back, or correct the path "
                    f"in {self.file}"
                )
            return footage_in(referenced)
        folder = self.data(side)
        if folder.is_dir() and media_files(folder):
            return footage_in(folder)
        video = self.video(side)
        if video is None:
            raise InputError(
                f"{self.folder}: no {side} footage; expected data_{side}.mp4 (any video or "
                f"picture), frames in data_{side}/, or `faceloom new --{side} PATH`"
            )
        return video

    def footage_reference(self, side: Side) -> Path | None:
        """The path of a side's footage in `faceloom.toml`, even if it is gone; None if unset."""
        value = self.settings("footage").get(side)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.file}: [footage] {side} must be a path")
        return self.folder / Path(value).expanduser()

    def has_footage(self, side: Side) -> bool:
        """Whether `footage` finds any."""
        try:
            self.footage(side)
        except InputError:
            return False
        return True

    def video(self, side: Side) -> Path | None:
        """The video with a side's frame rate and sound: from `faceloom.toml`, or `data_src.*`.

        None if the side has only pictures.
        """
        referenced = self.footage_reference(side)
        if referenced is not None and referenced.is_file():
            return referenced
        return _by_stem(self.folder, f"data_{side}")


def stage_config(
    kind: type[S], stage: str, overrides: Iterable[str] = (), *, workspace: Path, **values: Any
) -> S:
    """A stage's configuration from, weakest first: defaults, `faceloom.toml`, values, overrides.

    For a stage that works on one side, the tables `[stage.src]` and `[stage.dst]` refine `[stage]`.
    Values that are None are ignored. `overrides` are `key=value` texts. Raises `InputError` naming
    the first value that does not fit, and its table.
    """
    given = {key: value for key, value in values.items() if value is not None}
    given["workspace"] = workspace
    tables = table_sources(kind, stage, workspace, given)
    return combine(
        kind, [*tables, Source(given, f"{stage} settings"), override_source(kind, overrides)]
    )


def table_sources(
    kind: type[Settings], stage: str, workspace: Path, given: Mapping[str, Any]
) -> list[Source]:
    """The settings of `stage` in the workspace's `faceloom.toml`, the weakest first.

    These are the table `[stage]` and, for a stage that works on one side, `[stage.src]` or
    `[stage.dst]`; `given` and the defaults of `kind` decide which.
    """
    home = Workspace(workspace.expanduser())
    table = home.settings(stage)
    chosen = next((key for key in ("side", "faceset") if key in kind.model_fields), None)
    if chosen is None:
        return [Source(table, f"{home.file}, [{stage}]", joint=" ")]
    parts = {side: table.pop(side, {}) for side in SIDES}
    for side, part in parts.items():
        if not isinstance(part, dict):
            raise InputError(f"{home.file}: [{stage}.{side}] must be a table")
    side = str(given.get(chosen, kind.model_fields[chosen].default)).lower()
    tables = {stage: table, f"{stage}.{side}": parts.get(side, {})}
    return [Source(values, f"{home.file}, [{name}]", joint=" ") for name, values in tables.items()]


def create_workspace(folder: Path) -> Workspace:
    """Create `folder` with the layout and an empty `faceloom.toml`; existing media stay.

    Raises `InputError` if `folder` is a file or cannot be created.
    """
    workspace = Workspace(folder.expanduser())
    try:
        for side in SIDES:
            workspace.data(side).mkdir(parents=True, exist_ok=True)
        workspace.model.mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{error.filename}: is a file, but a folder is needed") from None
    except PermissionError as error:
        raise InputError(f"{error.filename}: no permission to write here") from None
    if not workspace.file.exists():
        workspace.update("footage", {})
    return workspace


def set_footage(workspace: Workspace, side: Side, path: Path) -> None:
    """Write the path of a side's footage: relative inside the workspace, absolute elsewhere."""
    absolute = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - symbolic links stay
    root = Path(os.path.abspath(workspace.folder))  # noqa: PTH100
    inside = absolute.is_relative_to(root)
    text = (absolute.relative_to(root) if inside else absolute).as_posix()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path}: the name is not valid Unicode; rename it, or use --copy"
        ) from None
    workspace.update("footage", {side: text})


def footage_in(path: Path) -> Path | list[Path]:
    """`path` itself for a file or a folder of pictures; its files if videos are among them.

    Raises `InputError` if `path` is missing, or a folder without pictures and videos.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return path
    files = media_files(path)
    if not files:
        raise InputError(f"{path}: contains neither videos nor pictures")
    return files if any(not _is_image(file) for file in files) else path


def media_files(folder: Path) -> list[Path]:
    """The videos and pictures directly in `folder`, in name order."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".")
        and (_is_image(entry) or entry.suffix.lower() in VIDEO_SUFFIXES)
        and entry.is_file()
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _by_stem(folder: Path, stem: str) -> Path | None:
    """The first file with `stem`, in any case, in name order."""
    if not folder.is_dir():
        return None
    found = sorted(
        entry
        for entry in folder.iterdir()
        if entry.stem.lower() == stem
        and entry.suffix
        and entry.suffix.lower() not in _NOT_FOOTAGE
        and entry.is_file()
    )
    return found[0] if found else None


def _looks_like_dfl(folder: Path) -> bool:
    return any(
        (folder / f"data_{side}").is_dir() or _by_stem(folder, f"data_{side}") for side in SIDES
    )


def _document(file: Path) -> tomlkit.TOMLDocument:
    try:
        document = tomlkit.parse(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return tomlkit.document()
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not valid TOML: {error}") from None
    version = document.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise InputError(f"{file}: version {version} was written by a newer Faceloom")
    return document
