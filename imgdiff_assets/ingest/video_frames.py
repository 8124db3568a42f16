"""The frames of a film at an interval, as rows of pictures. Needs PyAV: the extra `video`."""

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from imgdiff_assets.common.plain_text import shortened
from imgdiff_assets.ingest.given_rows import GivenRow, GivenSource, UnusableField
from imgdiff_assets.ingest.ingest_report import IngestError
from imgdiff_assets.ingest.own_process import started
from imgdiff_assets.ingest.picture_sources import IMAGE
from imgdiff_assets.ingest.video_decoding import HEAD
from imgdiff_assets.ledger.images import encode_png

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")
FAST = 1
"""Effort of compression: a frame is decoded again at once."""


def open_frames(film: Path, seconds: float) -> GivenSource:
    """A frame each so many seconds; its line is its number, its file's name says at which second it stands.

    Raises IngestError without PyAV, or for what is no file.
    """
    if find_spec("av") is None:
        raise IngestError(f"{film}: frames of a film need PyAV: pip install 'imgdiff-assets[video]'.")
    if not film.is_file():
        raise IngestError(f"{film}: there is no such file.")
    return GivenSource(_frames(film, seconds))


def _frames(film: Path, seconds: float) -> Iterator[GivenRow]:
    with tempfile.TemporaryFile() as said:
        process = started(
            "imgdiff_assets.ingest.video_decoding",
            str(film.resolve()),
            str(seconds),
            stdin=subprocess.DEVNULL,
            stderr=said.fileno(),
            bufsize=-1,
        )
        line = 0
        try:
            assert process.stdout is not None
            while head := process.stdout.read(struct.calcsize(HEAD)):
                if len(head) < struct.calcsize(HEAD):
                    break
                time, width, height = struct.unpack(HEAD, head)
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                line += 1
                pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
                yield GivenRow(f"{film}@{time:.3f}s", line, {IMAGE: encode_png(pixels, FAST)})
        finally:
            process.kill()
            code = process.wait()
            process.communicate()
        said.seek(0)
        told = said.read().decode("utf-8", "replace")
        if told:
            yield GivenRow(str(film), line + 1, problem=UnusableField(IMAGE, f"cannot be decoded: {shortened(told)}"))
        elif code not in (0, -9):
            yield GivenRow(str(film), line + 1, problem=UnusableField(IMAGE, f"its decoder died of it ({code})"))
