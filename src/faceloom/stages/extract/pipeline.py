"""The steps of extraction: decode → detect → track → smooth → write.

Decoding and detecting run in a thread each, a few frames ahead. Tracking, which finds the landmarks
and needs the frame before, and smoothing run in the caller's thread, in order. Writing runs in a
pool of threads. Every queue is bounded. Each step takes frames, adds to them and yields them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import PurePath
from typing import Any

from faceloom.core import FormatError, MediaError
from faceloom.core.pool import one_opencv_thread, ordered_map, worker_count
from faceloom.detect import SceneCuts, Tracker
from faceloom.media import Frame, prefetch
from faceloom.stages.extract.extraction import Extraction
from faceloom.stages.extract.frame import ExtractedFrame
from faceloom.stages.extract.journal import JOURNAL_NAME
from faceloom.stages.extract.reidentify import Reidentifier
from faceloom.stages.extract.smoothing import Window, span_of

_AHEAD = 4
_MOST_WRITERS = 8

Frames = Generator[ExtractedFrame]


def extract(extraction: Extraction) -> None:
    """Run all steps over the frames that are not done, and keep the journal.

    Raises `CancelledError` when cancelled, `MediaError` when no frame can be decoded, `FormatError`
    for a damaged journal.
    """
    journal, progress = extraction.journal, extraction.progress
    done, footage, config = journal.done, extraction.footage, extraction.config
    span = span_of(footage.info, tracking=extraction.tracking, smooth=config.smooth)
    # The frames of a window before the first one are found again, exactly as they were the first
    # time, because the faces of the frames after them depend on theirs.
    context, state = done.before(span.total)
    tracker, cuts = _restore(state) if extraction.tracking else (None, None)
    window = Window(extraction.tools.finder, span, config.smooth, footage.info.pixel_aspect)

    decoded = decode(extraction, _frames_to_do(extraction, context))
    tracked = track(extraction, detect(extraction, decoded, cuts), tracker)
    written = write(extraction, smooth(extraction, tracked, window))
    progress.start(f"extract {config.side}", len(footage), "frames", done=done.next_index)
    with one_opencv_thread(), journal, closing(written):
        for item in written:
            journal.add(item.journal_line(damaged=bool(footage.losses)))
            progress.advance()
            progress.metric(faces=str(done.faces))
        extraction.cancel.check()
        if not done.frames:
            (extraction.folder / JOURNAL_NAME).unlink()
            reason = f": {extraction.losses[0]}" if extraction.losses else ""
            raise MediaError(f"{footage.info.path}: no frame could be decoded{reason}")
        journal.finish()
    progress.finish()


def _restore(state: dict[str, Any]) -> tuple[Tracker, SceneCuts]:
    """Tracker and cut detection as they were after a frame; new ones for an empty state."""
    if not state:
        return Tracker(), SceneCuts()
    try:
        return Tracker.restore(state["tracker"]), SceneCuts(state["thumbnail"])
    except (KeyError, TypeError, ValueError):
        raise FormatError(
            "the journal of this extraction is damaged; start over with --restart"
        ) from None


def _frames_to_do(extraction: Extraction, context: Sequence[int]) -> Generator[Frame]:
    """The frames after the last one done, and the `context` frames before them.

    A frame is left out if one with the same stem came before, because faces are named by it.
    """
    footage, done = extraction.footage, extraction.journal.done
    first = done.next_index
    start = min([first, *context])
    stems = done.stems - {PurePath(footage.name_of(index)).stem for index in context}
    # In a damaged stream, what a frame looks like depends on where decoding began.
    whole = footage.info.kind == "video" and done.damaged
    for frame in footage.frames(0 if whole else start):
        stem = PurePath(frame.name).stem
        if frame.index < start:
            continue
        if stem in stems:
            extraction.skipped.append(f"{frame.name}: left out, another frame has the same stem")
            continue
        stems.add(stem)
        if frame.index >= first or frame.index in context:
            yield frame


def decode(extraction: Extraction, frames: Iterable[Frame]) -> Frames:
    """Decode frames in a thread of its own."""
    with closing(prefetch(extraction.times.iterate("decode", frames), depth=_AHEAD)) as decoded:
        for frame in decoded:
            yield ExtractedFrame(frame)


def detect(extraction: Extraction, items: Frames, cuts: SceneCuts | None = None) -> Frames:
    """Find faces in a thread of its own, and with `cuts` where shots begin."""
    finder, pixel_aspect = extraction.tools.finder, extraction.footage.info.pixel_aspect

    def detected() -> Frames:
        with closing(items):
            for item in items:
                with extraction.times.measure("detect"):
                    item.detections = finder.detect(
                        item.frame.image,
                        pixel_aspect=pixel_aspect,
                        frame_name=item.frame.name,
                        frame_index=item.frame.index,
                    )
                    if cuts is not None:
                        item.cut = cuts.update(item.frame.image)
                        item.thumbnail = cuts.state()
                yield item

    with closing(prefetch(detected(), depth=_AHEAD)) as ahead:
        yield from ahead


def track(extraction: Extraction, items: Frames, tracker: Tracker | None = None) -> Frames:
    """Find the landmarks of the faces, and with a `tracker` follow and number them in a shot."""
    finder, pixel_aspect = extraction.tools.finder, extraction.footage.info.pixel_aspect
    with closing(items):
        for item in items:
            with extraction.times.measure("track"):
                if tracker is not None and item.cut:
                    tracker.cut()
                item.found = finder.find(
                    item.frame.image,
                    tracker.seeds() if tracker is not None else (),
                    pixel_aspect=pixel_aspect,
                    detections=item.detections,
                    frame_name=item.frame.name,
                    frame_index=item.frame.index,
                )
                if tracker is not None:
                    item.found = tracker.update(item.frame.time, item.found)
                    item.state = {"tracker": tracker.state(), "thumbnail": item.thumbnail}
            yield item


def smooth(extraction: Extraction, items: Frames, window: Window) -> Frames:
    """Fill gaps, smooth landmarks, recognise people again and leave out who is not wanted."""
    done, tools = extraction.journal.done, extraction.tools
    first = done.next_index
    reidentifier = Reidentifier(
        tools.identifier,
        wanted=tools.wanted,
        max_faces=extraction.config.max_faces,
        pixel_aspect=extraction.footage.info.pixel_aspect,
        learned=done.learned,
    )
    with closing(items), closing(window.finish_frames(items, extraction.times)) as finished:
        for item in finished:
            if item.frame.index >= first:
                with extraction.times.measure("smooth"):
                    reidentifier.number(item, window.ahead)
                yield item


def write(extraction: Extraction, items: Frames) -> Frames:
    """Write the faces in threads. Once cancelled, frames that wait for a thread are finished."""

    def written(item: ExtractedFrame) -> ExtractedFrame:
        with extraction.times.measure("write"):
            item.written = len(extraction.writer.write(item.frame, item.faces))
        return item

    threads = extraction.config.threads or worker_count(most=_MOST_WRITERS)
    with closing(items):
        yield from ordered_map(written, items, workers=threads, cancel=extraction.cancel)
