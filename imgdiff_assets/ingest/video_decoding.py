"""A film to still pictures, in a process of its own: `python -m imgdiff_assets.ingest.video_decoding FILE SECONDS`.

Each frame is written as its time (a float of 8 bytes), its width and height (4 bytes each) and its RGB pixels. What is
wrong with the film ends the process with a message on stderr.
"""

import struct
import sys
from typing import BinaryIO

from imgdiff_assets.ingest.own_process import limit_memory

HEAD = ">dII"


def write_frames(file: str, seconds: float, out: BinaryIO) -> None:
    """The first frame, and then the first after each so many seconds."""
    import av

    with av.open(file) as container:
        if not container.streams.video:
            raise ValueError("has no video in it")
        due = None
        for frame in container.decode(container.streams.video[0]):
            time = float(frame.time or 0.0)
            if due is not None and time < due:
                continue
            due = time + seconds if due is None else due + seconds * max(1, int((time - due) / seconds) + 1)
            pixels = frame.to_ndarray(format="rgb24")
            out.write(struct.pack(HEAD, time, pixels.shape[1], pixels.shape[0]))
            out.write(pixels.tobytes())


if __name__ == "__main__":
    limit_memory()
    try:
        write_frames(sys.argv[1], float(sys.argv[2]), sys.stdout.buffer)
    except Exception as error:  # whatever a decoder raises, the film is at fault
        sys.stderr.write(" ".join(str(error).split()) or type(error).__name__)
        sys.exit(1)
