"""What a merge is told, and what all its parts share while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Self

from pydantic import Field, model_validator

from faceloom.checkpoints import ModelState, PrecisionChoice, Weights
from faceloom.checkpoints.tensors import EMA_FILE
from faceloom.compositing import MergeSettings
from faceloom.core import Cancel, Progress
from faceloom.faces import FaceRecord
from faceloom.media import Footage, Frame, VideoCodec
from faceloom.stages.merge.pipeline import Merger
from faceloom.workspace.layout import Workspace
from faceloom.workspace.result_video import refuse_misfits


class MergeConfig(MergeSettings):
    """What to merge, how, and where to."""

    workspace: Path = Path()
    """The workspace, whose dst footage and faceset are used."""
    model: str | None = None
    """Class of the model: SAEHD, AMP or Quick96; unset: the only one there is."""
    name: str | None = None
    """Name of the model; unset: the only one there is."""
    weights: Weights = "auto"
    """The weights of the last step (trained), their running mean that training with `ema_decay`
    keeps (mean), or the mean where there is one (auto)."""
    to_video: bool = False
    """Write a signed video at once, instead of pictures that `encode` makes one of."""
    output: Path | None = None
    """The video of `to_video`; unset: `result.mp4` (or `.mkv`, `.mov`) in the workspace."""
    codec: VideoCodec | None = None
    """The video's codec; unset: h264, or h265 for footage of more than 8 bits."""
    crf: float | None = Field(default=None, ge=0, le=51)
    """The video's constant quality for h264 and h265, lower is better; unset: 16 and 18."""
    bitrate: int | None = Field(default=None, ge=1000)
    """The video's bits a second for h264 and h265, instead of `crf`."""
    device: str = "auto"
    """Where the model runs: auto, cpu, cuda, cuda:1 … or mps."""
    precision: PrecisionChoice = "fp32"
    """fp32, or bf16: faster where the hardware has it, with steps of up to one level of 256."""
    batch_size: int = Field(default=0, ge=0, le=1024)
    """Faces that the model sees at once; 0 chooses by device."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 is one for each core."""
    redo: bool = False
    """Make finished frames again, too."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.to_video:
            refuse_misfits(self.codec, self.output, self.crf, self.bitrate)
        return self


@dataclass
class MergeCounts:
    """What was done so far."""

    frames: int = 0
    faces: int = 0
    untouched: int = 0
    reused: int = 0

    def add(self, faces: int, *, reused: bool = False) -> None:
        """One more frame."""
        self.frames += 1
        self.faces += faces
        self.untouched += not faces
        self.reused += reused


@dataclass
class MergeJob:
    """One merge: its settings, its footage and faces, its model, and who is listening."""

    config: MergeConfig
    workspace: Workspace
    rights_digest: str
    footage: Footage
    faces: Mapping[str, Sequence[FaceRecord]]
    """By the stem of their frame."""
    model_name: str
    state: ModelState
    """The model's saved state; that of the loaded one, once it is loaded."""
    load: Callable[[], tuple[Merger, ModelState]]
    """Load the model. Asked for only when there is something to do."""
    progress: Progress
    cancel: Cancel
    counts: MergeCounts = field(default_factory=MergeCounts)

    @property
    def weights(self) -> str:
        """A name for the weights that merge: other weights, other name."""
        means = self.config.weights != "trained" and EMA_FILE in self.state.files
        return f"{self.state.folder}/mean" if means else self.state.folder

    def load_merger(self) -> Merger:
        """The merger with the model as last saved, which may be newer than `state` was."""
        merger, self.state = self.load()
        return merger

    def faces_of(self, name: str) -> Sequence[FaceRecord]:
        """The faces of the frame called `name`."""
        return self.faces.get(PurePath(name).stem, ())

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """The footage's frames; they end early when the merge is cancelled.

        What is in work is then finished. Whoever iterates calls `cancel.check()` at the end.
        """
        for frame in self.footage.frames(start, stop, native=True):
            if self.cancel.is_set:
                return
            yield frame

    def done(self, faces: int) -> None:
        """Count and report a frame that was made."""
        self.counts.add(faces)
        self.progress.advance()
        self.progress.metric(faces=str(self.counts.faces))
