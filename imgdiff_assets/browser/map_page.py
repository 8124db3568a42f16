"""The map of all samples, and what its points are: places, and by what they are coloured."""

import json
from collections.abc import Mapping

import numpy as np

from imgdiff_assets.browser.joins import kind_in, scores_of, source_of
from imgdiff_assets.browser.plane import NoPlane, Plane, read_plane
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.samples import SAMPLES
from imgdiff_assets.browser.site import Site
from imgdiff_assets.method.kind import UNKNOWN

CODED = {
    "kind": f"coalesce({kind_in(SAMPLES)}, '{UNKNOWN}')",
    "task": "t.task",
    "verdict": "coalesce(t.rejected_by, 'kept')",
    "shard": "t.shard",
}
"""What names points beside scores, and its SQL."""

SPREAD = 0.004
"""How far samples of one pair are from each other: a share of the side."""


def map_page(site: Site, values: Mapping[str, str]) -> str:
    try:
        plane: Plane | None = read_plane(site.home)
        missing = ""
    except NoPlane as error:
        plane, missing = None, str(error)
    return site.render("map.html", plane=plane, missing=missing, coded=list(CODED), scores=list(scores_of(SAMPLES)))


def map_points(site: Site, values: Mapping[str, str]) -> bytes:
    """A line of JSON, then N float32 x, N float32 y (0 to 1), and N float32 of what they are `coloured` by.

    That is the number of a name in the JSON's `names`, or a score (NaN where there is none). Raises BadQuestion.
    """
    coloured, scores = values.get("coloured") or next(iter(CODED)), scores_of(SAMPLES)
    if coloured not in (*CODED, *scores):
        raise BadQuestion(f"coloured: {coloured!r} is none of {', '.join((*CODED, *scores))}")
    try:
        plane = read_plane(site.home)
    except NoPlane as error:
        raise BadQuestion(str(error)) from None
    column = CODED.get(coloured) or f"{scores[coloured]}::FLOAT"
    table = site.index.table(
        f"SELECT t.pair_id, t.sample_id, {column} AS colour FROM {source_of(SAMPLES, column)} ORDER BY t.sample_id"
    )
    where = {pair: number for number, pair in enumerate(plane.pairs)}
    numbers = np.array([where.get(pair, -1) for pair in table["pair_id"].to_pylist()], dtype=np.int64)
    there = numbers >= 0
    placed = plane.places[numbers[there]]
    # Samples of one pair lie side by side: by their ids, so that each stays where it is.
    turns = np.array([int(name[:8], 16) for name in table["sample_id"].to_pylist()], dtype=np.float64)[there]
    turns *= 2 * np.pi / 2**32
    places = placed + SPREAD * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    names: list[str] = []
    if coloured in CODED:
        encoded = table["colour"].combine_chunks().dictionary_encode()
        names, colours = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    else:
        colours = table["colour"].fill_null(float("nan")).to_numpy()
    head = {"count": int(there.sum()), "names": names, "left_out": int((~there).sum())}
    arrays = (places[:, 0], places[:, 1], colours[there])
    text = json.dumps(head).encode()
    text += b" " * (-(len(text) + 1) % 4) + b"\n"
    return text + b"".join(np.asarray(array, "<f4").tobytes() for array in arrays)
