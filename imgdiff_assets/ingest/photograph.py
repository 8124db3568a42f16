"""Images as people have them, read as they are meant to be seen, and two of them made one size."""

import json
import os
import select
import struct
import subprocess
import time
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.plain_text import bytes_text
from imgdiff_assets.ingest.decoding import MOST_PIXELS, UnusableImage
from imgdiff_assets.ingest.own_process import started

FITS = ("refuse", "resize", "pad")
MOST_BYTES = 256_000_000
"""Of an encoded picture: as many as 64 million pixels have that are not compressed, and some more."""

MOST_SECONDS = 60.0
"""For one picture; the largest that are read take some 20."""

CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture as it is meant to be seen, (H, W, 3) uint8 RGB.

    `colours` says what became of its colour profile, None where there was nothing to do; `former` is the picture as it
    was read when profiles were not looked at, where that is another one.
    """

    pixels: Pixels
    colours: str | None = None
    former: Pixels | None = None


class PictureReader:
    """Decodes pictures, one at a time, in a process that is started for the first and lives as long as the block.

    A context manager; not for several threads at once.
    """

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most_seconds = most_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PictureReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def read(self, data: bytes) -> Photograph:
        """Encoded bytes to pixels. Raises UnusableImage for anything that is not one still image of a usable size.

        No picture harms another: one that takes too long, or that its decoder dies of, costs the process alone.
        """
        if len(data) > MOST_BYTES:
            raise UnusableImage(f"has {bytes_text(len(data))}; at most {bytes_text(MOST_BYTES)} are read")
        try:
            return self._ask(data)
        except UnusableImage:
            raise
        except TimeoutError:
            self._end()
            raise UnusableImage(f"takes more than {self._most_seconds:g} seconds to decode") from None
        except (BrokenPipeError, EOFError):
            code = self._end()
            raise UnusableImage(f"is damaged: its decoder died of it (exit status {code})") from None
        except BaseException:
            self._end()  # an answer may be under way, and would be taken for that to the next question
            raise

    def _ask(self, data: bytes) -> Photograph:
        if self._process is None:
            self._process = started(
                "imgdiff_assets.ingest.decoding", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        assert self._process.stdin is not None
        self._process.stdin.write(struct.pack(">Q", len(data)))
        self._process.stdin.write(data)
        self._process.stdin.flush()
        until = time.monotonic() + self._most_seconds
        (length,) = struct.unpack(">Q", self._received(8, until))
        answer = json.loads(self._received(length, until))
        if "problem" in answer:
            raise UnusableImage(answer["problem"])
        shape = answer["height"], answer["width"], 3
        pictures = [
            np.frombuffer(self._received(shape[0] * shape[1] * 3, until), np.uint8).reshape(shape)
            for _ in range(answer["pictures"])
        ]
        return Photograph(pictures[0], answer["colours"], pictures[1] if len(pictures) > 1 else None)

    def _received(self, size: int, until: float) -> bytearray:
        """So many bytes of the answer. Raises EOFError, TimeoutError."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        received = bytearray()
        while len(received) < size:
            if not select.select([descriptor], [], [], max(until - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(descriptor, min(size - len(received), CHUNK))
            if not part:
                raise EOFError
            received += part
        return received

    def _end(self) -> int | None:
        """End the process; returns its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        code = process.poll()
        process.kill()
        process.communicate()
        return process.returncode if code is None else code


def align(source: Pixels, target: Pixels, fit: str) -> tuple[Pixels, Pixels]:
    """Two images of one size: as they are, or made so by `fit`.

    `resize` brings the target to the source's size; `pad` adds black on the right and at the bottom, so that boxes
    keep their corners. Raises UnusableImage when sizes differ and `fit` is `refuse`.
    """
    if source.shape == target.shape:
        return source, target
    if fit == "refuse":
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (source, target))
        raise UnusableImage(f"sizes differ: {sizes} pixels (see --fit)")
    if fit == "resize":
        size = (source.shape[1], source.shape[0])
        return source, np.array(Image.fromarray(target).resize(size, Image.Resampling.LANCZOS))
    height, width = (max(sides) for sides in zip(source.shape[:2], target.shape[:2], strict=True))
    if height * width > MOST_PIXELS:
        raise UnusableImage(f"has {width} x {height} pixels when padded; at most {MOST_PIXELS:,} are kept")
    padded = []
    for image in (source, target):
        canvas = np.zeros((height, width, 3), dtype=np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        padded.append(canvas)
    return padded[0], padded[1]
