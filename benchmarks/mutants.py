"""Pictures damaged in every way, among good ones: is each ingested, or rejected with a reason?

    python -m benchmarks.mutants [--count 100000] [--seconds 280] [--seed 0] [--json FILE]

Small pictures of every format that is read, with EXIF, colour profiles, text, palettes, transparency and every kind of
compression, are mutated: bits, bytes and numbers overwritten, parts removed, repeated, exchanged for parts of other
pictures, cut off; of PNG also with checksums mended, so that what is in a chunk is reached. Each mutant is the first
image of a pair in a Parquet file, with a good pair after every 24, and the file goes through `ingest_pairs` like any
other. It must be taken without an exception; every row must be ingested or rejected, and every good pair be there.
"""

import argparse
import io
import json
import random
import re
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageCms, PngImagePlugin
from tqdm import tqdm

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.pair_sources import IMAGE_FIELDS

WIDTH, HEIGHT = 24, 20
ROWS = 1_000
GOOD_EVERY = 25
"""Rows of a file, and which of them are good."""

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(slots=True)
class Count:
    """What became of the mutants of one kind of picture."""

    mutants: int = 0
    ingested: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def seeds() -> dict[str, bytes]:
    """Good pictures, by format and what is special in them."""
    chance = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(HEIGHT) * 5, np.arange(WIDTH) * 5)[..., None] + np.array([0, 20, 40])
    picture = Image.fromarray((smooth + chance.integers(0, 9, smooth.shape)).astype(np.uint8))
    layer = picture.convert("RGBA")
    layer.putalpha(picture.convert("L"))
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.5
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    said: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile}
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words " * 20)
    text.add_text("Packed", "words " * 200, zip=True)
    text.add_itxt("International", "wörter " * 20, zip=True)
    made: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        ("plain", "PNG", picture, {}),
        ("said", "PNG", picture, said),
        ("text", "PNG", picture, {"pnginfo": text}),
        ("transparent", "PNG", layer, {}),
        ("palette", "PNG", palette, {"transparency": 3}),
        ("grey 16", "PNG", deep, {}),
        ("bits", "PNG", picture.convert("1"), {}),
        ("plain", "JPEG", picture, {}),
        ("said", "JPEG", picture, said),
        ("progressive", "JPEG", picture, {"progressive": True}),
        ("grey", "JPEG", picture.convert("L"), {}),
        ("cmyk", "JPEG", picture.convert("CMYK"), {}),
        ("preview", "MPO", picture, {"save_all": True, "append_images": [picture]}),
        ("lossy", "WEBP", picture, {}),
        ("lossless", "WEBP", layer, {"lossless": True}),
        ("said", "WEBP", picture, said),
        ("plain", "AVIF", picture, {}),
        ("said", "AVIF", layer, said),
        ("plain", "JPEG2000", picture, {}),
        ("lossy", "JPEG2000", picture, {"irreversible": True, "quality_layers": [20, 5]}),
        ("stream", "JPEG2000", layer, {"no_jp2": True}),
        ("grey 16", "JPEG2000", deep, {}),
        *(
            ("packed " + kind, "TIFF", picture, {"compression": kind})
            for kind in ("raw", "tiff_lzw", "packbits", "jpeg")
        ),
        ("said", "TIFF", picture, said),
        ("packed", "TIFF", picture, {"icc_profile": profile, "compression": "tiff_adobe_deflate"}),
        ("fax", "TIFF", picture.convert("1"), {"compression": "group4"}),
        ("grey 16", "TIFF", deep, {}),
        ("plain", "BMP", picture, {}),
        ("palette", "BMP", palette, {}),
        ("plain", "GIF", palette, {}),
        ("transparent", "GIF", palette, {"transparency": 3, "comment": b"words"}),
        ("plain", "PPM", picture, {}),
        ("grey 16", "PPM", deep, {}),
    ]
    found = {}
    for name, kind, image, options in made:
        buffer = io.BytesIO()
        image.save(buffer, format=kind, **options)
        found[f"{kind} {name}"] = buffer.getvalue()
    found["PPM in letters"] = f"P3 {WIDTH} {HEIGHT} 255 ".encode() + b" ".join(b"%d" % v for v in picture.tobytes())
    return found


def _bits(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    data[place] ^= 1 << chance.randrange(8)


def _byte(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    data[place] = chance.randrange(256)


def _number(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    size, order = chance.choice([(2, "H"), (4, "I")])
    number = chance.choice([*EXTREMES, chance.randrange(2**16)]) % 2 ** (8 * size)
    data[place : place + size] = struct.pack(chance.choice("<>") + order, number)


def _removed(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    del data[place : place + 1 + int(chance.expovariate(1 / 16))]


def _repeated(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    part = data[place : place + 1 + int(chance.expovariate(1 / 16))]
    data[place:place] = part * chance.choice([1, 2, 50])


def _of_another(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    other = chance.choice(others)
    start, size = chance.randrange(len(other)), 1 + int(chance.expovariate(1 / 32))
    data[place : place + chance.choice([0, size])] = other[start : start + size]


def _cut(data: bytearray, place: int, chance: random.Random, others: Sequence[bytes]) -> None:
    del data[place:]


MUTATIONS: tuple[Callable[[bytearray, int, random.Random, Sequence[bytes]], None], ...] = (
    *(_bits, _byte, _number) * 3,
    *(_removed, _repeated, _of_another),
    _cut,
)


def mutant(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """The picture with one to four damages, half of them near its beginning."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        if changed:
            end = len(changed) if chance.random() < 0.5 else min(len(changed), 256)
            chance.choice(MUTATIONS)(changed, chance.randrange(end), chance, others)
    return _mended(changed) if data.startswith(b"\x89PNG") and chance.random() < 0.7 else bytes(changed)


def _mended(data: bytearray) -> bytes:
    """A PNG with the checksum of every chunk made right."""
    place = 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(data)


def good_picture(number: int, turned: bool = False) -> bytes:
    """A picture that no other number has, of the size of the seeds, or of those that are turned by their EXIF."""
    buffer = io.BytesIO()
    shape = (WIDTH, HEIGHT, 3) if turned else (HEIGHT, WIDTH, 3)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, shape, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def try_mutants(count: int, seconds: float, seed: int) -> tuple[dict[str, Count], int, list[str]]:
    """Counts by kind of picture, how many good pairs stood among them, and what went wrong."""
    chance, pictures = random.Random(seed), seeds()
    counts = {kind: Count() for kind in pictures}
    wrong: list[str] = []
    done = good = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, tqdm(total=count, unit="mutant") as bar:
        while done < count and time.monotonic() - started < seconds and not wrong:
            # A home of its own for each, which is known at once.
            home = Home(Path(folder) / f"home-{done}")
            rows = []
            for line in range(1, ROWS + 1):
                if line % GOOD_EVERY == 0:
                    good += 1
                    rows.append(("", good_picture(good)))
                    continue
                if done == count:
                    break
                kind = chance.choice(list(pictures))
                rows.append((kind, mutant(pictures[kind], chance, list(pictures.values()))))
                done += 1
            wrong += _ingest(rows, home, Path(folder) / "mutants.parquet", counts)
            bar.update(done - bar.n)
    return counts, good, wrong


def _ingest(rows: Sequence[tuple[str, bytes]], home: Home, file: Path, counts: Mapping[str, Count]) -> list[str]:
    """Take a file of pairs; returns what of it is wrong."""
    targets = {turned: good_picture(0, turned) for turned in (False, True)}
    pairs = [(data, targets[kind.endswith("said")]) for kind, data in rows]
    pq.write_table(pa.table(dict(zip(IMAGE_FIELDS, zip(*pairs, strict=True), strict=True))), file)
    report = ingest_pairs([file], home)
    reasons = {rejection.line: rejection.reason for rejection in report.rejected}
    wrong = list(report.files_failed)
    if report.accepted + report.duplicates + report.rejected_count != len(rows):
        wrong.append(f"{report} does not account for {len(rows)} rows")
    for rejection in report.rejected:
        if rejection.field not in IMAGE_FIELDS or not rejection.reason or rejection.file != str(file):
            wrong.append(f"{rejection} does not tell file, row, field and reason")
    for line, (kind, _) in enumerate(rows, 1):
        if not kind:
            if line in reasons:
                wrong.append(f"a good pair was rejected: {reasons[line]}")
            continue
        counts[kind].mutants += 1
        if line in reasons:
            counts[kind].rejected += 1
            counts[kind].reasons[re.sub(r"\d[\d,]*\b", "N", reasons[line].partition(" (")[0])] += 1
        else:
            counts[kind].ingested += 1
    return wrong


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Damaged pictures: each is ingested or rejected with a reason.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no file of mutants after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the counts here")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    counts, good, wrong = try_mutants(options.count, options.seconds, options.seed)
    result = {
        "command": " ".join(["python -m benchmarks.mutants", *arguments]),
        "mutants": sum(count.mutants for count in counts.values()),
        "ingested": sum(count.ingested for count in counts.values()),
        "rejected": sum(count.rejected for count in counts.values()),
        "good_pairs_among_them": good,
        "seconds": round(time.monotonic() - started, 1),
        "wrong": wrong,
        "reasons": dict(sum((count.reasons for count in counts.values()), Counter[str]()).most_common()),
        "by_picture": {
            kind: {name: value for name, value in asdict(count).items() if name != "reasons"}
            for kind, count in counts.items()
        },
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
