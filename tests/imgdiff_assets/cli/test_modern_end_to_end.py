"""The recipe `modern` over real photographs and a film: each role's model in its published format, small and random.

What random weights say means nothing. So thresholds are opened until rows come through, and looked at is that nothing
crashes, that each row that is not kept says why, and that lineage reaches the files.
"""

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.architectures import save
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import held_by, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import SHIPPED
from imgdiff_assets.stages.graph import COMMON_NAMES
from tests.answering_server import MODEL, answering

pytestmark = [
    pytest.mark.long,
    # Of the scheduler that SDXL is published with, in diffusers 0.42.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
CAPTIONS = {"temple.jpg": "A temple behind a wooden fence", "flower.jpg": "A red flower in a garden"}
REWRITTEN = {"temple": "palace", "flower": "mushroom"}
OPEN: Mapping[str, Mapping[str, Any]] = {
    "prompt_pairs": {"pictures": {"longest_side": 64}, "language": None},
    "filtered_pairs": {"min_similarity": -1.0, "max_similarity": 1.0},
    "bounding_boxes": {"max_region_similarity": 1.0, "min_match": -1.0, "min_area_fraction": 0.0001},
    "captions": {"max_caption_similarity": 1.0, "min_match": -1.0, "min_agreement": 0.0, "language": None},
    "removed_pairs": {"enabled": True, "max_erased_similarity": 1.0},
    "removal_captions": {"language": None},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`modern` with a small model in the place of each, and open thresholds."""
    root = tmp_path_factory.mktemp("weights")
    values = yaml.safe_load((SHIPPED / "modern.yaml").read_text(encoding="utf-8"))
    few = {"image_size": 128, "num_inference_steps": 2, "max_new_tokens": 8}
    places = dict[str, Path]()
    for model in values["models"].values():
        name = model["model"]
        places[name] = places[name] if name in places else save(name, root / name.replace("/", "--"))
        model |= {"model": str(places[name]), "dtype": "float32", "batch_size": 4}
        model |= {key: value for key, value in few.items() if key in model}
        model.pop("revision", None)
    values["models"]["segmenter"] |= {"points_per_side": 2, "pred_iou_threshold": 0.0, "stability_threshold": 0.0}
    for stage, opened in OPEN.items():
        values[stage] = {**values.get(stage, {}), **opened}
    file = root / "recipe.yaml"
    file.write_text(yaml.safe_dump({**values, "max_error_share": 1.0}), encoding="utf-8")
    return file


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Two photographs, as a table and as a film, and one that is damaged."""
    place = tmp_path / "photographs"
    place.mkdir()
    for name, pixels in zip(CAPTIONS, load_sample_images().images, strict=True):
        Image.fromarray(pixels).save(place / name)
    (place / "cut.jpg").write_bytes((place / "temple.jpg").read_bytes()[:9_000])
    rows = [{"image": name, "caption": caption} for name, caption in CAPTIONS.items()] + [{"image": "cut.jpg"}]
    (place / "table.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    picture = load_sample_images().images[1]
    with av.open(place / "garden.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 2_000_000
        for number in range(6):
            shown = np.ascontiguousarray(picture[100:220, 20 * number : 20 * number + 160])
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 2)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return place


def rewrite(request: Mapping[str, Any]) -> str:
    """Another thing in the place of the one that is known."""
    caption = request["messages"][0]["content"].rpartition(": ")[2]
    for thing, other in REWRITTEN.items():
        if thing in caption:
            told = {"caption": caption.replace(thing, other), "replaced": thing, "replacement": other}
            return json.dumps({**told, "kind": "object"})
    return "{}"


def rows_of(home: Home, stage: str) -> list[dict[str, Any]]:
    ledger = Ledger(home.ledger)
    return [row for shard in ledger.shards(stage) for row in ledger.read(stage, shard).to_pylist()]


def test_nothing_crashes_and_each_rejection_has_its_reason(
    invoke: Any, recipe: Path, sources: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")

    def command(*arguments: str) -> str:
        result = invoke(home.root, *arguments, "--recipe", str(recipe))
        assert result.exit_code == 0, result.output
        return str(result.output)

    told = command("ingest-images", str(sources / "table.jsonl"))
    assert "2 new pictures" in told
    assert "is truncated or damaged" in told
    told = command("ingest-images", str(sources), "--pair-up", "--every", "0.5", "--most-pairs", "2", "--fit", "pad")
    told += command("ingest-images", str(sources / "garden.mp4"), "--pair-up", "--every", "0.5")
    assert "garden.mp4" in told
    kinds = [held_by(home, shard) for shard in shard_keys(home)]
    assert kinds[0] == "pictures"
    assert set(kinds[1:]) == {"pairs"}

    # The rewriter's own format, and what it says is rejected for what it is.
    command("run", "--select", "prompt_pairs")
    said = [row for row in rows_of(home, "prompt_pairs") if row["rejected_by"]]
    assert len(said) == len(CAPTIONS)
    with answering(rewrite) as (base_url, _):
        served = (f"prompt_rewriter.model={MODEL}", f"prompt_rewriter.base_url={base_url}")
        command("run", "--set", *served)
        values = load_recipe(str(recipe), served)

    rows = {stage: rows_of(home, stage) for stage in COMMON_NAMES}
    for stage, there in rows.items():
        for row in there:
            assert row["kept"] != bool(row["rejected_by"]), (stage, row)
            assert not (row["rejected_by"] or "").startswith("error:"), row["error"]
    pairs = [row for row in rows["image_pairs"] if row["instruction"]]
    assert {row["instruction"] for row in pairs} == {
        f"replace the {what} with a {other}" for what, other in (("temple", "palace"), ("red flower", "red mushroom"))
    }
    assert {row["method"] for row in pairs} == {"edit_of_picture"}
    for stage in ("filtered_pairs", "bounding_boxes", "captions", "removed_pairs"):
        assert rows[stage], stage

    names = dict[str, str]()
    for row in pairs:
        root = lineage(home, values, row["pair_id"])
        names[root.values["file_name"]] = root.values["file_hash"]
        told = f"picture {root.values['file_name']}, SHA-256 {root.values['file_hash']}"
        assert told in to_text(root)
    assert names == {name: hashlib.sha256((sources / name).read_bytes()).hexdigest() for name in CAPTIONS}
