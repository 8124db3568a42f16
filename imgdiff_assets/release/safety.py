"""Scores of a release's pictures before they are published: how near each is to words that it must not show.

By the image-text encoder of the recipe (Radford et al., 2021, arXiv 2103.00020): the cosine of picture and words. And,
where the recipe names a verifier, its answer to a question. A score is no proof; it says where to look.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.export.hf import IMAGES
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import BrokenRelease, read_manifest

BATCH = 64
WORST = 5
QUESTION = "Could this picture be shown to anybody, children too, without harm? Answer with one word, yes or no."


@dataclass(frozen=True, slots=True)
class Safety:
    """`words` maps each to the quantiles (median, 95 %, most) of its cosine over the pictures, `worst` are the samples
    nearest to any, with the word and the cosine; `verifier` the least and the 5 % quantile of its scores (1 is safe),
    None without one. `blocked` are the samples at or over the limit, or of which the verifier says too little."""

    pictures: int
    words: dict[str, tuple[float, float, float]]
    worst: list[tuple[str, str, float]]
    verifier: tuple[float, float] | None
    blocked: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def look_at(
    folder: Path,
    recipe: Recipe,
    words: Sequence[str],
    most: float | None,
    least: float,
    progress: Progress = lambda what, done, total: None,
) -> Safety:
    """Score every picture of a release once. `most` is the cosine at which a sample is blocked (None: never), `least`
    the verifier's score below which it is. Raises BrokenRelease, FileNotFoundError for missing weights,
    ModelUnavailable."""
    from resources.backends.choice import backend_of

    encoder = backend_of(recipe.models.image_text_encoder).load(recipe.models.image_text_encoder)
    texts = np.asarray(encoder.encode_texts(list(words)))
    named = recipe.models.verifier
    verifier = backend_of(named).load(named) if named is not None else None
    names: list[str] = []
    cosines: list[np.ndarray] = []
    verdicts: list[float] = []
    total = 0
    for ids, images, total in _pictures(folder):
        names += ids
        cosines.append(np.asarray(encoder.encode_images(images)) @ texts.T)
        if verifier is not None:
            told = verifier.judge([[image] for image in images], [QUESTION] * len(images))
            verdicts += [np.nan if one is None else one for one in told]
        progress("safety", len(names), total)
    scores = np.concatenate(cosines) if cosines else np.zeros((0, len(words)))
    nearest = scores.max(axis=1)
    order = np.argsort(-nearest, kind="stable")
    worst = [(names[row], words[int(scores[row].argmax())], float(nearest[row])) for row in order[:WORST]]
    unsafe = nearest >= most if most is not None else np.zeros(len(names), dtype=bool)
    judged = np.asarray(verdicts, dtype=np.float64)
    if len(judged):
        unsafe = unsafe | (judged < least)
    told_at_all = judged[np.isfinite(judged)]
    return Safety(
        pictures=len(names),
        words={
            word: tuple(float(value) for value in np.quantile(scores[:, place], [0.5, 0.95, 1.0]))  # type: ignore[misc]
            for place, word in enumerate(words)
        },
        worst=worst,
        verifier=(float(told_at_all.min()), float(np.quantile(told_at_all, 0.05))) if len(told_at_all) else None,
        blocked=sorted({names[row] for row in np.flatnonzero(unsafe)}),
    )


def _pictures(folder: Path) -> Iterator[tuple[list[str], list[Pixels], int]]:
    """Batches of pictures (H, W, 3) with the sample that each is of, and how many pictures there are.

    Raises BrokenRelease: what is not looked at is not to be published.
    """
    total, seen = 2 * sum(read_manifest(folder).get("samples", {}).values()), 0
    for file in sorted((folder / "data").glob("*.parquet")):
        try:
            for names, images in _in_file(file):
                yield names, images, total
                seen += len(names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise BrokenRelease(folder, f"data/{file.name}", error) from error
    if seen != total:
        raise BrokenRelease(folder, "data", ValueError(f"{seen} of {total} pictures"))


def _in_file(file: Path) -> Iterator[tuple[list[str], list[Pixels]]]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(BATCH, columns=["sample_id", *IMAGES]):
            shown = [(row["sample_id"], row[name]["bytes"]) for row in batch.to_pylist() for name in IMAGES]
            yield [name for name, _ in shown], [_decoded(data) for _, data in shown]


def _decoded(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def safety_text(found: Safety) -> str:
    """What is shown before anything is published."""
    lines = [f"{found.pictures:,} pictures beside words (cosine: median, 95 %, most):"]
    lines += [f"  {word}: " + ", ".join(f"{value:.3f}" for value in of_word) for word, of_word in found.words.items()]
    lines += [f"  nearest: {name} to {word!r}, {score:.3f}" for name, word, score in found.worst]
    if found.verifier is not None:
        lines.append(f"  the verifier: least {found.verifier[0]:.3f}, 5 % {found.verifier[1]:.3f} (1 is safe)")
    return "\n".join(lines)
