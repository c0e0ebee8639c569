"""Configurations of sort, dedupe, cluster and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from faceloom.core.config import Option, ThreadSettings, WorkspaceSettings
from faceloom.core.errors import UsageError
from faceloom.settings.curate import SAME_GROUP, CoverageSettings

_ALIASES = {"workers": "threads"}


class SortConfig(WorkspaceSettings, ThreadSettings):
    """Sort a faceset: rename its faces 00000, 00001 … in the order you choose.

    Faces that a method drops move to `aligned_trash`; nothing is deleted. `faceloom faceset undo`
    undoes a sort. Faces are measured once, and the measures are kept in the faceset's index.

    **Example**

        faceloom sort src --by yaw

        faceloom sort src --by identity --reference anna.jpg --sheet anna.png

        faceloom sort src --by best --count 1500 --towards dst
    """

    ALIASES: ClassVar = _ALIASES

    faceset: Annotated[str | None, Option(positional=True)] = None
    """Which faces: src, dst or a folder of faces."""
    by: str = "hist"
    """Sort method, or several separated by commas: `yaw,blur` groups the faces by yaw and sorts
    each group by blur. --list shows all methods."""
    list: bool = False
    """List the sort methods and exit."""
    reverse: bool = False
    """Reverse the order. Faces that could not be measured stay at the end."""
    count: int | None = Field(default=None, ge=1)
    """How many faces `best` and the `final` methods keep; unset: 2000."""
    towards: str | None = None
    """For `best`: cover the looks of this faceset (dst) instead of the faceset's own."""
    reference: str | None = None
    """For `identity`, `outliers` and `best`: the name of a person of the workspace, a picture of
    them, or a folder of pictures."""
    trash: bool = True
    """Move dropped faces to `aligned_trash`. With --no-trash they are placed last instead."""
    keep_names: bool = False
    """Rename nothing; only drop faces and write `--sheet` or `--list-file`."""
    sheet: Path | None = None
    """Write a picture of the first and last 20 faces and 20 of the dropped ones."""
    list_file: Path | None = None
    """Write a tab-separated table: position, file, value and group of every face."""
    dry_run: bool = False
    """Show what would happen, without moving or renaming anything."""

    @field_validator("by")
    @classmethod
    def _known_methods(cls, by: str) -> str:
        from faceloom.curate.orders import parse_keys

        try:
            parse_keys(by)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return by

    @model_validator(mode="after")
    def _something_to_do(self) -> SortConfig:
        if self.faceset is None and not self.list:
            raise ValueError("name a faceset: src, dst or a folder (--list shows the sort methods)")
        return self


class DedupeConfig(WorkspaceSettings, ThreadSettings):
    """Move near-duplicates to `aligned_duplicates/<strength>`; the best face of each set stays.

    Two faces are duplicates when picture, identity, pose and expression are all similar; a higher
    strength accepts larger differences. Nothing is deleted, and `faceloom faceset undo` brings the
    faces back.

    **Example**

        faceloom dedupe src --strength 3 --dry-run --sheet pairs.png

        faceloom dedupe src --strength 3
    """

    ALIASES: ClassVar = _ALIASES

    faceset: Annotated[str, Option(positional=True)]
    """Which faces: src, dst or a folder of faces."""
    strength: int = Field(default=2, ge=0, le=5)
    """From 0 (the same picture encoded again) to 5 (a similar pose and expression). Differences
    removed by 1 and 2 are invisible; docs/people.md has the limits."""
    per_track: bool = False
    """Compare only faces of the same track, so that every shot keeps faces of its own."""
    sheet: Path | None = None
    """Write a picture of up to 200 pairs: the face that is kept and its duplicate."""
    dry_run: bool = False
    """Show what would happen, without moving anything."""


class ClusterConfig(WorkspaceSettings, ThreadSettings):
    """Group faces by person; list, name, keep or move the groups.

    Groups are numbered from the largest. A person you named once is recognised from then on, also
    in the workspace's other facesets, and `extract --who anna` keeps only their faces. Faces are
    moved, never deleted, and `faceloom faceset undo` brings them back.

    **Example**

        faceloom cluster src --sheet people.png

        faceloom cluster src --name 0=anna --keep anna
    """

    ALIASES: ClassVar = _ALIASES

    faceset: Annotated[str, Option(positional=True)]
    """Which faces: src, dst or a folder of faces."""
    name: tuple[str, ...] = ()
    """Name a group, `2=anna`; repeat it for several groups. The person is stored in the
    workspace's `people` folder and recognised from then on."""
    keep: tuple[str, ...] = ()
    """Groups to keep, by number or name, separated by commas: `0,anna`. All other faces move to
    `aligned_trash`. `unsure` keeps the faces that could not be assigned to anyone."""
    move: bool = False
    """Move each group to a folder next to the faceset: `aligned_anna`, `aligned_group_3`."""
    outliers: bool = False
    """Rename the faces so that those least like the main person come first."""
    threshold: float = Field(default=SAME_GROUP, gt=-1, lt=1)
    """Similarity (cosine of mean identity vectors) from which two groups are one person. Lower it
    when a person is split into two groups, raise it when two people end up in one."""
    sheet: Path | None = None
    """Write a picture with a row of faces for each group, most typical first."""
    dry_run: bool = False
    """Show what would happen, without moving or naming anything."""

    @field_validator("keep", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple):
            return value
        words = [word.strip() for text in texts for word in str(text).split(",")]
        return tuple(word for word in words if word)

    @model_validator(mode="after")
    def _one_action(self) -> ClusterConfig:
        if sum((bool(self.keep), self.move, self.outliers)) > 1:
            raise ValueError("use only one of keep, move and outliers")
        return self


class CoverageConfig(WorkspaceSettings, ThreadSettings, CoverageSettings):
    """Compare src's faces with dst's: head pose, expression, light, size and brightness.

    Lists which dst faces have no similar src face and what footage would fill the gap, and writes
    a report with charts: coverage.html and coverage.png.

    **Example**

        faceloom coverage -w cast

        faceloom coverage --src takes/anna --dst data_dst/aligned --json
    """

    ALIASES: ClassVar = _ALIASES

    src: str = "src"
    """The faces to train on: src, or a folder of faces."""
    dst: str = "dst"
    """The faces to replace: dst, or a folder of faces."""
    html: Path | None = None
    """Where to write the report; unset: coverage.html in the workspace."""
    png: Path | None = None
    """Where to write the charts as a picture; unset: coverage.png in the workspace."""
    trash_unused: bool = False
    """Move src faces whose head pose no dst face has to `aligned_trash`."""
