"""Whether a release holds what models are evaluated with: its pictures and captions beside other sets'.

Pictures are compared by perceptual hash and by the vectors of the encoder that the release was filtered with; texts by
their words: the same text, or the same run of words somewhere in it. Nothing is left out for it: it is told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imgdiff_assets.common.aliases import Floats, Pixels
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.ingest.decoding import UnusableImage
from imgdiff_assets.ingest.photograph import PictureReader
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.near_duplicates import perceptual_hash
from imgdiff_assets.release.evaluation_sets import Found, NothingToCompare, Unread, read_set

FEWEST_BITS = 6
HIGHEST_COSINE = 0.98
"""From these on pictures are told to be near-duplicates: as between the splits of a fine-tune set."""

RUN = 8
"""Words in a row that two texts share by chance seldom; of a shorter text all words, and four at the least."""

FEWEST_WORDS = 4
PICTURES_AT_ONCE = 64
LISTED = 1_000
"""Matches that are listed of each set; all are counted."""

EncodeImages = Callable[[Sequence[Pixels]], Floats]
"""Unit vectors (N, D) of images, as `resources.image_text_encoder.ImageTextEncoder.encode_images` gives them."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What a release holds: of each picture (or pair of them) and each text by what id it is known, and its signature.

    `hashes` are uint64 (N,), `vectors` float32 (N, D) of unit length, `picture_ids` their N ids; `texts` by id.
    """

    picture_ids: Sequence[str]
    hashes: Any
    vectors: Floats
    texts: Sequence[tuple[str, str]]


@dataclass(slots=True)
class Compared:
    """What was found of one set. `bits` and `cosine` of a match are None where the other decided alone."""

    name: str
    pictures: int = 0
    texts: int = 0
    unread: list[dict[str, str]] = field(default_factory=list)
    unread_count: int = 0
    picture_matches: int = 0
    text_matches: int = 0
    matches: list[dict[str, Any]] = field(default_factory=list)
    vectors_compared: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def compare(folder: Path, ours: Ours, encode: EncodeImages | None, progress: Progress) -> Compared:
    """Look for our pictures and texts in the set that a folder holds. Without `encode`, pictures by hashes alone.

    Raises NothingToCompare where the folder has neither pictures nor texts that can be read.
    """
    found, index = Compared(folder.name), _Texts(ours.texts)
    found.vectors_compared = encode is not None
    waiting: list[tuple[str, Pixels]] = []
    seen = 0
    with PictureReader() as reader:
        for each in read_set(folder):
            seen += 1
            if isinstance(each, Unread):
                _unread(found, each.where, each.why)
            elif isinstance(each.value, str):
                found.texts += 1
                _match(found, "text", each.where, index.found_in(each.value), {})
            else:
                _take_picture(found, reader, each, waiting)
            if len(waiting) == PICTURES_AT_ONCE:
                _compare_pictures(found, waiting, ours, encode)
                waiting = []
            if seen % PICTURES_AT_ONCE == 0:
                progress(f"compare with {found.name}", seen, seen + 1)
        _compare_pictures(found, waiting, ours, encode)
    progress(f"compare with {found.name}", seen, seen)
    if not found.pictures and not found.texts:
        raise NothingToCompare(f"{folder}: holds no pictures and no texts that can be read.")
    return found


def _take_picture(found: Compared, reader: PictureReader, each: Found, waiting: list[tuple[str, Pixels]]) -> None:
    try:
        waiting.append((each.where, reader.read(bytes(each.value)).pixels))  # type: ignore[arg-type]
        found.pictures += 1
    except UnusableImage as error:
        _unread(found, each.where, str(error))


def _unread(found: Compared, where: str, why: str) -> None:
    found.unread_count += 1
    if len(found.unread) < LISTED:
        found.unread.append({"where": where, "why": why})


def _compare_pictures(
    found: Compared, pictures: Sequence[tuple[str, Pixels]], ours: Ours, encode: EncodeImages | None
) -> None:
    if not pictures or not len(ours.hashes):
        return
    hashes = np.array([int(perceptual_hash(pixels), 16) for _, pixels in pictures], dtype=np.uint64)
    bits = np.bitwise_count(hashes[:, None] ^ ours.hashes[None])
    vectors = None
    if encode is not None:
        vectors = np.asarray(encode([pixels for _, pixels in pictures]), dtype=np.float32)
    alike = vectors @ ours.vectors.T if vectors is not None and vectors.shape[1] == ours.vectors.shape[1] else None
    for row, (where, _) in enumerate(pictures):
        near = {int(column) for column in np.flatnonzero(bits[row] < FEWEST_BITS)}
        if alike is not None:
            near |= {int(column) for column in np.flatnonzero(alike[row] >= HIGHEST_COSINE)}
        if near:
            best = min(near, key=lambda column: (bits[row][column], column))
            told = {"bits": int(bits[row].min())}
            if alike is not None:
                told["cosine"] = round(float(alike[row].max()), 4)  # type: ignore[assignment]
            ids = dict.fromkeys(ours.picture_ids[column] for column in [best, *sorted(near)])
            _match(found, "picture", where, list(ids), told)


def _match(found: Compared, kind: str, where: str, ids: Sequence[str], told: Mapping[str, Any]) -> None:
    if not ids:
        return
    if kind == "picture":
        found.picture_matches += 1
    else:
        found.text_matches += 1
    if len(found.matches) < LISTED:
        found.matches.append({"kind": kind, "where": where, "ours": list(ids[:10]), **told})


class _Texts:
    """Our texts by their runs of words."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        self._by_run: dict[tuple[str, ...], list[str]] = {}
        self._lengths: set[int] = set()
        for identity, text in texts:
            said = words(text)
            if len(said) < FEWEST_WORDS:
                continue
            length = min(RUN, len(said))
            self._lengths.add(length)
            for run in _runs(said, length):
                of_run = self._by_run.setdefault(run, [])
                if identity not in of_run:
                    of_run.append(identity)

    def found_in(self, text: str) -> list[str]:
        """The ids of ours of which a run of words is in the text; a text that is shorter than a run holds only its
        equals, so that "a dog on the grass" is not found in every book."""
        said, ids = words(text), dict[str, None]()
        for length in self._lengths:
            if length < RUN and len(said) != length:
                continue
            for run in _runs(said, length):
                ids |= dict.fromkeys(self._by_run.get(run, ()))
        return list(ids)


def _runs(said: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(said) - length + 1):
        yield tuple(said[start : start + length])


def section(compared: Sequence[Mapping[str, Any]], samples: int) -> str:
    """What the card says of it."""
    lines = [
        f"Its pictures and captions were looked for in {len(compared)} other "
        f"{'set' if len(compared) == 1 else 'sets'}: pictures of which fewer than {FEWEST_BITS} of 64 bits of the "
        f"perceptual hash differ or whose vectors have a cosine of {HIGHEST_COSINE} or more, texts with the same "
        f"run of {RUN} words, or that are the same. Each match is in `contamination.json`; none of the "
        f"{samples:,} samples was left out for it."
    ]
    for told in compared:
        vectors = "" if told["vectors_compared"] else " (by hashes alone)"
        unread = f"; {told['unread_count']:,} could not be read" if told["unread_count"] else ""
        lines.append(
            f"- {told['name']}: {told['picture_matches']:,} of {told['pictures']:,} pictures{vectors} and "
            f"{told['text_matches']:,} of {told['texts']:,} texts match{unread}"
        )
    return "\n".join([lines[0], "", *lines[1:]])
