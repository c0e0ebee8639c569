"""Losses and previews for TensorBoard, an optional dependency that is imported when used."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from faceloom.checkpoints.folder import ModelFolder
from faceloom.core import InputError

if TYPE_CHECKING:
    from faceloom.training.previews.preview import Preview

_LOG = logging.getLogger(__name__)


class Board:
    """An open TensorBoard log. An error in its files never stops the training: it is logged, and
    nothing more is written."""

    def __init__(self, writer: Any) -> None:
        self._writer: Any | None = writer

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve; names are grouped by what is before a slash."""
        with self._careful() as writer:
            if writer is not None:
                for name, value in values.items():
                    writer.add_scalar(name, value, iteration)

    def images(self, iteration: int, preview: Preview) -> None:
        """Write every picture of a preview."""
        with self._careful() as writer:
            if writer is not None:
                for name, image in preview.pictures.items():
                    writer.add_image(f"preview/{name}", image, iteration, dataformats="HWC")
                writer.flush()

    def close(self) -> None:
        """Write what is still buffered."""
        with self._careful() as writer:
            if writer is not None:
                writer.close()
        self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _careful(self) -> Any:
        try:
            yield self._writer
        except OSError as error:
            _LOG.warning("cannot write the TensorBoard log: %s", error)
            self._writer = None


def board_folder(folder: ModelFolder) -> Path:
    """The folder of a model's log, for `tensorboard --logdir`."""
    return folder.path / "tensorboard"


def open_board(folder: ModelFolder, *, iteration: int | None = None) -> Board:
    """A log in the model's folder, next to those of earlier sessions.

    `iteration` is where this session starts: TensorBoard then hides what an earlier session logged
    after it, which was never saved or was rolled back. Raises `InputError` if TensorBoard is not
    installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed: pip install 'faceloom[tensorboard]'"
        ) from None
    purge = None if iteration is None else iteration + 1
    return Board(SummaryWriter(str(board_folder(folder)), purge_step=purge))
