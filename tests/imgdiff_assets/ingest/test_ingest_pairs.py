"""Existing pairs in: every form they come in, nothing twice, nothing lost, and through the whole graph."""

import base64
import csv
import io
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageCms

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.needed_roles import needed_roles
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest import ingestion
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.ingest_report import IngestError, IngestReport
from imgdiff_assets.ingest.shards import pair_images_path, read_captions, shard_keys
from imgdiff_assets.ledger.images import GivenImages, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.lineage.replay import replay
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.doctor import examine
from imgdiff_assets.setup.missing_models import missing_text
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stages_of
from resources.miniature.scene_pairs import draw_pair
from tests.apart import CONTEXT

SHARD = "shard-000000"


def pair_images(count: int, seed: int = 0) -> list[tuple[Any, Any]]:
    """The scenes of pairs that differ in one replaced object."""
    rng = random.Random(seed)
    return [draw_pair(rng, "replaced").scenes for _ in range(count)]


def write_folder(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, scenes in enumerate(pair_images(count, seed)):
        for side, scene in enumerate(scenes):
            Image.fromarray(scene.image).save(folder / f"pair{number}_{side}.png")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def ids(home: Home) -> list[str]:
    return [key for shard in shard_keys(home) for key in read_captions(home, shard)["caption_id"].to_pylist()]


def test_a_folder_becomes_shards(home: Home, tmp_path: Path) -> None:
    report = ingest_pairs([write_folder(tmp_path / "photos", 5)], home, shard_size=2)
    assert (report.accepted, report.duplicates, report.rejected, report.files_failed) == (5, 0, [], [])
    assert report.shards == shard_keys(home) == [f"shard-{number:06d}" for number in range(3)]
    first = read_captions(home, SHARD).to_pylist()[0]
    scenes = pair_images(1)[0]
    assert [first["source_hash"], first["target_hash"]] == [pixel_hash(scene.image) for scene in scenes]
    assert (first["caption"], first["source_object"], first["line"]) == ("", None, 1)
    with pq.ParquetFile(pair_images_path(home, SHARD)) as file:
        assert file.schema_arrow.field("source_image").type == pa.struct(
            [("bytes", pa.binary()), ("path", pa.string())]
        )


def write_table(folder: Path, form: str) -> Path:
    """Three pairs with captions, as each form of table has them."""
    rows = []
    for number, scenes in enumerate(pair_images(3)):
        row: dict[str, Any] = {"before_caption": scenes[0].caption, "after_caption": scenes[1].caption}
        for name, scene in zip(("before", "after"), scenes, strict=True):
            file = folder / f"{number}-{name}.png"
            Image.fromarray(scene.image).save(file)
            data = file.read_bytes()
            text = base64.b64encode(data).decode()
            forms = {
                "bytes": data,
                "image": {"bytes": data, "path": None},
                "base64": text,
                "csv": text,
                "data": f"data:image/png;base64,{text}",
            }
            row[name] = forms.get(form, file.name)
        rows.append(row)
    if form == "jsonl":
        table = folder / "pairs.jsonl"
        table.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
        return table
    if form == "json":
        table = folder / "pairs.json"
        table.write_text(json.dumps(rows), encoding="utf-8")
        return table
    if form in ("csv", "tsv"):
        table = folder / f"pairs.{form}"
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if form == "csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
        return table
    table = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    return table


COLUMNS = {
    "source_image": "before",
    "target_image": "after",
    "source_caption": "before_caption",
    "target_caption": "after_caption",
}


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv", "paths", "bytes", "image", "base64", "data"])
def test_tables_of_every_form(home: Home, tmp_path: Path, form: str) -> None:
    report = ingest_pairs([write_table(tmp_path, form)], home, COLUMNS)
    assert (report.accepted, report.rejected, report.files_failed) == (3, [], [])
    scenes = pair_images(3)
    for row, (source, target) in zip(read_captions(home, SHARD).to_pylist(), scenes, strict=True):
        assert (row["caption"], row["target_caption"]) == (source.caption, target.caption)
        assert row["source_object"] in source.caption, "taken from captions that differ in one place"
        assert row["target_object"] in target.caption
    images = GivenImages(pair_images_path(home, SHARD))
    for row, (source, _) in zip(pq.read_table(pair_images_path(home, SHARD)).to_pylist(), scenes, strict=True):
        np.testing.assert_array_equal(images(row["pair_id"])[0], source.image)
    images.close()


def test_ids_depend_on_nothing_but_pixels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 4)
    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    ingest_pairs([folder], first)
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number in range(4):
        for side, name in enumerate(("before", "after")):
            # Another name, another encoding, another order.
            image = Image.open(folder / f"pair{number}_{side}.png")
            image.save(renamed / f"{9 - number}_{name}.bmp")
    ingest_pairs([renamed], second, shard_size=1)
    assert sorted(ids(first)) == sorted(ids(second))
    assert ids(first) == ids(second)[::-1]


def test_ingested_twice_there_is_nothing_twice(home: Home, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 3)
    (folder / "broken_0.png").write_bytes(b"no image")
    (folder / "broken_1.png").write_bytes(b"no image")
    first, second = ingest_pairs([folder], home), ingest_pairs([folder, folder], home)
    assert (first.accepted, first.duplicates, len(first.rejected)) == (3, 0, 1)
    assert (second.accepted, second.duplicates, second.shards) == (0, 6, [])
    assert len((home.captions / "rejected.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_what_cannot_be_used_is_kept_with_file_row_and_field(home: Home, tmp_path: Path) -> None:
    write_folder(tmp_path, 1)
    good, other = (f"pair0_{side}.png" for side in (0, 1))
    Image.new("RGB", (40, 40)).save(tmp_path / "large.png")
    rows = [
        {"source_image": good, "target_image": other},
        {"source_image": good, "target_image": "missing.png"},
        {"source_image": good},
        {"source_image": good, "target_image": 7},
        {"source_image": good, "target_image": "large.png"},
        {"source_image": good, "target_image": other, "source_caption": "a cat"},
        {"source_image": good, "target_image": other, "source_object": "cat", "target_object": ["dog"]},
        "no object",
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join([*map(json.dumps, rows), "{"]), encoding="utf-8")
    report = ingest_pairs([file], home)
    assert report.accepted == 1
    said = [(rejection.file, rejection.line, rejection.field) for rejection in report.rejected]
    fields = ["target_image"] * 4 + ["target_caption", "target_object", "line", "line"]
    assert said == [(str(file), line, name) for line, name in enumerate(fields, 2)]
    for rejection, words in zip(
        report.rejected,
        ["cannot be read", "is missing", "is int", "sizes differ", "is missing", "is list", "JSON object", "not JSON"],
        strict=True,
    ):
        assert words in rejection.reason
    kept = [json.loads(line) for line in (home.captions / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["reason"] for row in kept] == [rejection.reason for rejection in report.rejected]


def test_images_without_a_partner_are_named(home: Home, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 1)
    Image.new("RGB", (20, 20)).save(folder / "alone_0.png")
    (folder / "pair0_1.jpg").write_bytes(b"")
    report = ingest_pairs([folder], home)
    assert [rejection.reason for rejection in report.rejected] == [
        "there is no alone_1.*",
        "is one of pair0_1.jpg, pair0_1.png; which, is not known",
    ]


def test_sources_that_cannot_be_read_cost_no_other(home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "table.xml").write_text("a,b")
    pq.write_table(pa.table({"picture": ["a"]}), tmp_path / "other.parquet")
    sources = [
        tmp_path / name for name in ("empty", "broken.parquet", "table.csv", "other.parquet", "table.xml", "gone")
    ]
    report = ingest_pairs([*sources, write_folder(tmp_path / "photos", 1)], home)
    assert report.accepted == 1
    for sentence, words in zip(
        report.files_failed,
        [
            "holds no pairs",
            "not a readable Parquet",
            "has no column 'source_image'; name one of a, b with --source-image.",
            "has no column 'source_image'; name one of picture with --source-image.",
            "unknown kind",
            "no such file",
        ],
        strict=True,
    ):
        assert words in sentence
    with pytest.raises(IngestError, match="at least one pair"):
        ingest_pairs([tmp_path / "photos"], home, shard_size=0)


def _ingest_and_die(folder: Path, home: Home) -> None:
    def die(what: str, done: int, total: int) -> None:
        if done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    ingest_pairs([folder], home, shard_size=2, progress=die)


def test_a_dry_run_tells_the_same_and_writes_nothing(home: Home, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 3)
    (folder / "pair0_1.png").write_bytes(b"no picture")
    told = ingest_pairs([folder], home, shard_size=1, dry_run=True)
    assert not home.root.exists()
    assert told == ingest_pairs([folder], home, shard_size=1)
    assert (told.accepted, told.rejected_count, told.shards) == (2, 1, [SHARD, "shard-000001"])


@pytest.mark.parametrize("source", ["exported", "exported/images", "", "exported/table.jsonl"])
def test_what_we_exported_does_not_come_in_again(home: Home, tmp_path: Path, source: str) -> None:
    exported = tmp_path / "work" / "exported"
    write_folder(exported / "images", 1)
    (exported / "table.jsonl").write_text(json.dumps({"source_image": "images/pair0_0.png"}) + "\n")
    (exported / "export.json").write_text(json.dumps({"samples": {"train": 1}}))
    assert not ingest_pairs([exported / "images"], home, dry_run=True).files_failed, "the marker of another program"
    (exported / "export.json").write_text(json.dumps({"made_by": "imgdiff export", "samples": {"train": 1}}))
    report = ingest_pairs([tmp_path / "work" / source], home)
    assert (report.accepted, shard_keys(home)) == (0, [])
    assert f"{'it' if source == 'exported' else exported} is an export of imgdiff" in report.files_failed[0]


def test_a_kill_loses_nothing(home: Home, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 7)
    process = CONTEXT.Process(target=_ingest_and_die, args=(folder, home))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(ids(home)) == 4, "two whole shards"
    # What a kill between the two files of a shard leaves.
    pair_images_path(home, "shard-000002").write_bytes(b"torn")
    report = ingest_pairs([folder], home, shard_size=2)
    assert (report.accepted, report.duplicates) == (3, 4)
    other = Home(tmp_path / "unbroken")
    ingest_pairs([folder], other, shard_size=2)
    assert ids(home) == ids(other)
    assert not list(home.captions.glob("*.tmp"))


def test_captions_and_pairs_share_the_shards(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("a red ball on the grass\n", encoding="utf-8")
    ingest([file], home)
    report: IngestReport = ingest_pairs([write_folder(tmp_path / "photos", 1)], home)
    assert report.shards == ["shard-000001"]
    file.write_text("a red cup on the grass\n", encoding="utf-8")
    assert ingest([file], home).shards == ["shard-000002"]
    assert [stage_of_shard(STAGES[0], home, key) is STAGES[0] for key in shard_keys(home)] == [True, False, True]


def save(path: Path, side: int = 0, **options: Any) -> Path:
    """One image of the first pair, in whatever format the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pair_images(1)[0][side].image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("names", "suffixes"),
    [
        (("A/x.png", "B/x.png"), None),
        (("trainA/one/x.png", "trainB/one/x.jpg"), None),
        (("before/x.png", "after/x.png"), None),
        (("horse/x.png", "zebra/x.png"), ("horse", "zebra")),
        (("photo.jpg", "photo_edited.jpg"), None),
        (("photo.png", "photo-new.png"), ("", "-new")),
        (("UP_0.JPG", "UP_1.JPEG"), None),
        (("j_0.jfif", "j_1.avif"), None),
        (("k_0.jp2", "k_1.webp"), None),
    ],
)
def test_names_and_folders_that_make_two_images_a_pair(
    home: Home, tmp_path: Path, names: tuple[str, str], suffixes: tuple[str, str] | None
) -> None:
    photos = tmp_path / "photos"
    kinds = {".jfif": "JPEG"}
    for side, name in enumerate(names):
        save(photos / name, side, format=kinds.get(Path(name).suffix))
    report = ingest_pairs([photos], home, suffixes=suffixes)
    assert (report.accepted, report.rejected, report.not_looked_at) == (1, [], [])
    (row,) = read_captions(home, SHARD).to_pylist()
    assert row["source_hash"] != row["target_hash"]


def test_every_file_is_taken_rejected_or_told(home: Home, tmp_path: Path) -> None:
    photos = write_folder(tmp_path / "photos", 1)
    for name in ("A/one.png", "A/two.png", "B/one.png", "alone.png", "new_edited.png"):
        save(photos / name)
    for name in ("notes.txt", "x_0.heic", ".hidden", "README"):
        (photos / name).touch()
    (photos / "link").symlink_to(photos / "A")
    report = ingest_pairs([photos], home)
    assert report.accepted + report.duplicates == 2
    assert [rejection.reason for rejection in report.rejected] == ["there is no new.*", "there is no B/two.*"]
    told = [sentence.removeprefix(f"{photos}/") for sentence in report.not_looked_at]
    assert told == [
        ".hidden: a name without a suffix is no image that is read",
        "README: a name without a suffix is no image that is read",
        "link: is a link to a folder, which is not followed",
        "notes.txt: .txt is no image that is read",
        "x_0.heic: .heic is no image that is read",
        "alone.png: has no alone_edited.*",
    ]


def test_paths_lead_into_the_folder_of_their_table(home: Home, tmp_path: Path) -> None:
    inside, outside = tmp_path / "tables", tmp_path / "elsewhere"
    good = [save(inside / f"{side}.png", side) for side in (0, 1)]
    secret = save(outside / "secret.png")
    os.mkfifo(inside / "pipe.png")
    (inside / "zero.png").symlink_to("/dev/zero")
    (inside / "out.png").symlink_to(secret)
    (inside / "round.png").symlink_to("round.png")
    (inside / "in.png").symlink_to("1.png")
    (inside / "large.png").touch()
    os.truncate(inside / "large.png", 10**12)
    bad = {
        "pipe.png": "is no regular file",
        "zero.png": "is outside",
        "/dev/zero": "is outside",
        "out.png": "is outside",
        str(secret): "is outside",
        "../elsewhere/secret.png": "is outside",
        "~root/x.png": "cannot be read",
        "round.png": "cannot be read",
        "a\0b.png": "cannot be read",
        "x" * 100_000 + ".png": "cannot be read",
        "large.png": "has 1.0 TB; at most 256 MB are read",
        "https://example.org/a.png": "is an address",
        "data:image/png;base64,%": "is no base64",
        ".": "Is a directory",
    }
    rows = [{"source_image": "0.png", "target_image": name} for name in [*bad, "in.png", str(good[1])]]
    table = inside / "pairs.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = ingest_pairs([table], home)
    assert (report.accepted, report.duplicates, report.files_failed) == (1, 1, [])
    for rejection, words in zip(report.rejected, bad.values(), strict=True):
        assert words in rejection.reason
        assert rejection.field == "target_image"
        assert len(rejection.reason) <= 600
    with_root = ingest_pairs([table], home, root=outside)
    assert (with_root.accepted, with_root.rejected_count) == (1, len(bad) - 3), "the same picture by three paths"


def test_a_row_without_an_image_is_told_which_columns_there_are(home: Home, tmp_path: Path) -> None:
    table = tmp_path / "pairs.jsonl"
    table.write_text('{"input": "a.png", "output": "b.png"}\n{"input": "a.png"}\n', encoding="utf-8")
    report = ingest_pairs([table], home)
    assert [rejection.reason for rejection in report.rejected] == [
        "is missing; the row has input, output",
        "is missing; the row has input",
    ]
    assert "has no column 'source_image'; name one of input, output with --source-image." in report.files_failed[0]


def test_bytes_that_are_not_utf8_cost_their_row_alone(home: Home, tmp_path: Path) -> None:
    images = [save(tmp_path / f"{side}.png", side).read_bytes() for side in (0, 1)]
    texts = pa.array([b"caf\xe9", b"a cup"])
    columns = {
        "source_image": pa.array([images[0]] * 2),
        "target_image": pa.array([images[1]] * 2),
        "source_caption": pa.StringArray.from_buffers(2, texts.buffers()[1], texts.buffers()[2]),
        "target_caption": pa.array(["a mug"] * 2),
    }
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    report = ingest_pairs([tmp_path / "pairs.parquet", write_folder(tmp_path / "photos", 2)], home)
    assert [str(rejection) for rejection in report.rejected] == [
        f"{tmp_path / 'pairs.parquet'}:1: source_caption: is not UTF-8 (byte 3)"
    ]
    assert (report.accepted, report.duplicates) == (2, 1)


def test_one_scene_in_two_colour_spaces_is_the_same_picture(home: Home, tmp_path: Path, drawn_recipe: Recipe) -> None:
    """And the record says so."""
    srgb = ImageCms.createProfile("sRGB")
    # Every tone curve of sRGB's profile becomes a gamma of 1: linear light, as some cameras give it.
    linear = bytearray(ImageCms.ImageCmsProfile(srgb).tobytes())
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        place = int.from_bytes(linear[(entry := linear.index(tag)) + 4 : entry + 8], "big")
        linear[place : place + 12] = b"curv" + bytes(8)
    scene = Image.fromarray(pair_images(1)[0][0].image)
    wide = ImageCms.profileToProfile(scene, srgb, ImageCms.ImageCmsProfile(io.BytesIO(bytes(linear))))
    assert wide is not None
    scene.save(tmp_path / "x_0.png")
    wide.save(tmp_path / "x_1.png", icc_profile=bytes(linear))
    assert np.abs(np.asarray(scene, int) - np.asarray(wide, int)).mean() > 15
    assert ingest_pairs([tmp_path], home).accepted == 1
    (cells,) = pq.read_table(pair_images_path(home, SHARD)).to_pylist()
    seen = [np.asarray(Image.open(io.BytesIO(cells[name]["bytes"])), int) for name in ("source_image", "target_image")]
    assert np.abs(seen[0] - seen[1]).mean() < 2
    (row,) = read_captions(home, SHARD).to_pylist()
    assert row["source_colours"] is None
    assert row["target_colours"].endswith(", converted to sRGB")
    assert f"target image: {row['target_colours']}" in to_text(lineage(home, drawn_recipe, row["caption_id"]))


def test_what_was_ingested_before_profiles_keeps_its_id_and_adds_nothing(home: Home, tmp_path: Path) -> None:
    gamut = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = gamut.index(b"rXYZ"), gamut.index(b"gXYZ")
    gamut[red : red + 4], gamut[green : green + 4] = b"gXYZ", b"rXYZ"
    plain, tagged = tmp_path / "plain", tmp_path / "tagged"
    for side in (0, 1):
        save(plain / f"x_{side}.png", side)
        save(tagged / f"x_{side}.png", side, icc_profile=bytes(gamut))
    ingest_pairs([plain], home)
    before = ids(home)
    fresh = Home(tmp_path / "fresh")
    assert [ingest_pairs([folder], fresh).accepted for folder in (plain, tagged)] == [1, 1], (
        "other colours, other pairs"
    )
    # As an earlier release wrote it: it did not look at profiles, and has no columns of them.
    table = home.captions / f"{SHARD}.parquet"
    pq.write_table(pq.read_table(table).drop_columns(["source_colours", "target_colours"]), table)
    report = ingest_pairs([tagged], home)
    assert (report.accepted, report.duplicates, ids(home)) == (0, 1, before)


def test_a_shard_is_written_before_its_images_fill_the_memory(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "MOST_BYTES_HELD", 1)
    assert len(ingest_pairs([write_folder(tmp_path / "photos", 3)], home).shards) == 3


@pytest.fixture
def given_home(
    home: Home, tmp_path: Path, drawn_recipe: Recipe, drawn_models: Any
) -> tuple[Home, Recipe, Any, list[str]]:
    """Pairs with and without names through the whole graph, by models that know the scenes."""
    folder = tmp_path / "tables"
    folder.mkdir()
    lines = []
    for number, scenes in enumerate(pair_images(4)):
        for side, scene in enumerate(scenes):
            drawn_models.artist.drawn[pixel_hash(scene.image)] = scene
            Image.fromarray(scene.image).save(folder / f"{number}_{side}.png")
        row = {"source_image": f"{number}_0.png", "target_image": f"{number}_1.png"}
        if number % 2:
            row |= {"source_caption": scenes[0].caption, "target_caption": scenes[1].caption}
        lines.append(json.dumps(row))
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    ingest_pairs([folder / "pairs.jsonl"], home)
    recipe = override_recipe(drawn_recipe, ["captions.min_match=0", "filtered_pairs.min_similarity=0"])
    run(home, recipe, drawn_models(recipe))
    return home, recipe, drawn_models, [row["caption_id"] for row in read_captions(home, SHARD).to_pylist()]


def run(home: Home, recipe: Recipe, models: Any) -> dict[str, dict[str, int]]:
    """All stages; returns the calls that each made."""
    calls = {}
    for base in STAGES:
        stage = stage_of_shard(base, home, SHARD)
        record = materialize(
            stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run-1"
        )
        calls[stage.name] = record.calls
    return calls


def test_given_pairs_go_through_the_graph_and_nothing_is_drawn(given_home: Any) -> None:
    home, recipe, drawn_models, _ = given_home
    ledger = Ledger(home.ledger)
    assert not {"prompt_rewriter", "pair_generator"} & set(drawn_models(recipe).opened)
    for asset in ("prompt_pairs", "image_pairs"):
        record = ledger.record(asset, SHARD)
        assert record is not None
        assert record["models"] == {}
        assert ledger.column_names(asset, SHARD) == next(s for s in stages_of(recipe) if s.name == asset).schema.names
    assert all(row["kept"] for row in ledger.read("prompt_pairs", SHARD).to_pylist())
    samples = read_samples(ledger, SHARD)
    assert samples
    scenes = {pixel_hash(scene.image) for pair in pair_images(4) for scene in pair}
    images = SampleImages(ledger, SHARD)
    for sample in samples:
        assert {pixel_hash(image) for image in map(images, sample.shown.images)} <= scenes
    images.close()


def test_regions_without_a_named_object_are_not_judged_by_it(given_home: Any) -> None:
    ledger = Ledger(given_home[0].ledger)
    boxes = [row for row in ledger.read("bounding_boxes", SHARD).to_pylist() if row["match_fingerprint"]]
    unnamed = [row for row in boxes if row["source_object"] is None]
    named = [row for row in boxes if row["source_object"] is not None]
    assert unnamed
    assert named
    assert all(row["match"] is None and row["rejected_by"] != "object_not_seen" for row in unnamed)
    assert all(row["match"] is not None for row in named)


def test_a_second_run_measures_nothing_and_nothing_is_stale(given_home: Any) -> None:
    home, recipe, drawn_models, _ = given_home
    assert not any(run(home, recipe, drawn_models(recipe)).values())


def test_weights_that_given_pairs_do_not_need_may_be_missing(home: Home, tmp_path: Path, drawn_recipe: Recipe) -> None:
    ingest_pairs([write_folder(tmp_path / "photos", 1)], home)
    recipe = override_recipe(drawn_recipe, ["pair_generator.model=/nowhere", "prompt_rewriter.model=/nowhere"])
    assert Staleness(home, recipe, ["prompt_pairs", "image_pairs"]).stages(SHARD) == ["prompt_pairs", "image_pairs"]
    ingest_captions = tmp_path / "captions.txt"
    ingest_captions.write_text("a red ball on the grass\n", encoding="utf-8")
    ingest([ingest_captions], home)
    with pytest.raises(FileNotFoundError):
        Staleness(home, recipe, ["prompt_pairs"]).stages("shard-000001")


def test_models_that_given_pairs_do_not_need_are_not_asked_for(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    modern, drawing = load_recipe("modern"), {"prompt_rewriter", "editor", "image_generator"}
    (tmp_path / "captions.txt").write_text("two dogs\n")
    everything = needed_roles(home, modern, [])
    ingest_pairs([write_folder(tmp_path / "photos", 1)], home)
    for_pairs = needed_roles(home, modern, [SHARD])
    assert for_pairs == everything - drawing
    text = str(missing_text(modern, for_pairs, " --recipe modern"))
    wanted = "image_text_encoder image_text_matcher segmenter captioner"
    assert text.endswith(f"  imgdiff models pull --recipe modern --roles {wanted}")
    told = examine(home, modern, "", for_pairs).recipes[0]
    assert (told.models, told.remarks[-1]) == (
        4,
        "this home has given pairs alone, which need no prompt_rewriter, editor, image_generator",
    )
    ingest([tmp_path / "captions.txt"], home)
    assert needed_roles(home, modern, shard_keys(home)) == everything
    assert needed_roles(home, modern, shard_keys(home), ["captions"]) < everything


def test_lineage_and_replay_know_given_pairs(given_home: Any) -> None:
    home, recipe, drawn_models, _ = given_home
    sample = read_samples(Ledger(home.ledger), SHARD)[0]
    text = to_text(lineage(home, recipe, sample.sample_id))
    assert "64 × 64 pixels, given" in text
    assert "pairs.jsonl, line " in text
    result = replay(home, recipe, sample.sample_id, drawn_models)
    assert (str(result.verdict), result.origins) == ("same", [])
