"""Copying audio as it is: the packets of the footage's tracks, unchanged, at their own times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet

from faceloom.core import MediaError
from faceloom.media.codecs import audio_problem
from faceloom.media.index import demux_safely
from faceloom.media.probe import open_container

LEAD = Fraction(1, 2)
"""Audio runs this many seconds ahead of the picture, so that players find both together."""


class AudioCopy:
    """Feeds a file's audio packets into an output, in step with its video.

    `zero` (seconds) is subtracted from every time stamp, as from the video's.
    Raises `MediaError` when the output's container cannot hold the audio.
    """

    def __init__(self, source: Path, output: OutputContainer, target: Path, zero: Fraction) -> None:
        self.problems: list[str] = []
        self._input = open_container(source)
        self._output = output
        self._zero = zero
        try:
            self._tracks = self._add_tracks(target)
        except BaseException:
            self._input.close()
            raise
        inputs = [track for track in self._input.streams.audio if track.index in self._tracks]
        self._packets: Iterator[Packet[Any]] = (
            demux_safely(self._input, inputs, self.problems) if inputs else iter(())
        )
        self._waiting: Packet[Any] | None = None

    def _add_tracks(self, target: Path) -> dict[int, Any]:
        tracks: dict[int, Any] = {}
        for track in self._input.streams.audio:
            context: Any = track.codec_context
            if context is None:
                self.problems.append(f"audio track {track.index} is of an unknown kind: left out")
                continue
            problem = audio_problem(target.suffix.lower(), [context.codec.canonical_name])
            if problem:
                raise MediaError(f"{target}: {problem}")
            try:
                copy = self._output.add_stream_from_template(track)
            except ValueError as error:
                raise MediaError(f"{target}: {error}; name the result .mkv") from None
            copy.metadata.update(track.metadata)
            copy.disposition = track.disposition
            tracks[track.index] = copy
        return tracks

    def feed(self, until: Fraction | None) -> None:
        """Pass on the packets up to `until` seconds of the output's clock; None: all the rest."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.dts is None or not packet.size:
                continue
            time = packet.dts * packet.time_base - self._zero
            if until is not None and time > until + LEAD:
                self._waiting = packet
                return
            self._pass_on(packet)

    def _pass_on(self, packet: Packet[Any]) -> None:
        shift = round(self._zero / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.stream = self._tracks[packet.stream_index]
        try:
            self._output.mux(packet)
        except av.error.InvalidDataError:
            self.problems.append("a damaged audio packet was left out")

    def close(self) -> None:
        """Close the source."""
        self._input.close()
