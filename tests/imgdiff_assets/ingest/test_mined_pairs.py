"""Pairs found among pictures and among a film's frames."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from imgdiff_assets.home import Home
from imgdiff_assets.ingest import video_frames
from imgdiff_assets.ingest.mined_pairs import Mining, ingest_mined
from imgdiff_assets.ingest.shards import PAIRS, held_by, read_captions, shard_keys


def encode(pictures):
    """Small grey pictures as vectors: alike for what looks alike."""
    small = [
        np.asarray(Image.fromarray(picture).convert("L").resize((8, 8)), np.float32).ravel() for picture in pictures
    ]
    vectors = np.stack(small) - 128
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def mining(**changes):
    return Mining(**{"encode": encode, "fitted": lambda picture: picture, "low": 0.8, "high": 0.9999, **changes})


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def scene(seed, changed=False):
    picture = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    if changed:
        picture[32:48, 32:64] = 255 - picture[32:48, 32:64]
    return picture


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "webcam"
    place.mkdir()
    for seed in range(4):
        for changed in (False, True):
            Image.fromarray(scene(seed, changed)).save(place / f"{'late' if changed else 'early'}_{seed}.png")
    return place


def test_pictures_that_are_alike_become_pairs(folder, home):
    report = ingest_mined([folder], home, mining())
    assert (report.accepted, report.rejected_count) == (4, 0)
    assert held_by(home, "shard-000000") == PAIRS
    for row in read_captions(home, "shard-000000").to_pylist():
        names = [part.rpartition("/")[2] for part in row["source"].split(" and ")]
        assert names[0].partition("_")[2] == names[1].partition("_")[2]
        assert (row["caption"], row["source_object"]) == ("", None)


def test_pairs_are_the_same_from_any_order_and_come_in_once(folder, home, tmp_path):
    ingest_mined([folder], home, mining())
    assert ingest_mined([folder], home, mining()).duplicates == 4
    other, halves = Home(tmp_path / "other"), []
    for part in ("late", "early"):
        halves.append(tmp_path / part)
        halves[-1].mkdir()
        for file in folder.glob(f"{part}_*"):
            (halves[-1] / file.name).write_bytes(file.read_bytes())
    ingest_mined(halves, other, mining())
    ids = [set(read_captions(each, "shard-000000")["caption_id"].to_pylist()) for each in (home, other)]
    assert ids[0] == ids[1]


def test_a_picture_that_cannot_be_used_costs_no_other(folder, home):
    (folder / "broken.png").write_bytes((folder / "early_0.png").read_bytes()[:90])
    Image.fromarray(scene(9)[:, :100]).save(folder / "narrow.png")
    Image.fromarray(scene(9)).save(folder / "wide.png")
    report = ingest_mined([folder], home, mining(low=0.5))
    reasons = " ".join(str(row) for row in report.rejected)
    assert "broken.png" in reasons
    assert report.accepted >= 4


def test_two_sizes_are_rejected_with_their_reason(home, tmp_path):
    place = tmp_path / "sizes"
    place.mkdir()
    Image.fromarray(scene(1)).save(place / "a.png")
    Image.fromarray(scene(1, changed=True)).resize((160, 120)).save(place / "b.png")
    report = ingest_mined([place], home, mining())
    assert ["sizes differ" in row.reason for row in report.rejected] == [True]
    assert ingest_mined([place], home, mining(fit="resize")).accepted == 1


def film(path, seconds=6, rate=4):
    """Each second another scene, with a change in its middle."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 4_000_000
        for number in range(seconds * rate):
            frame = av.VideoFrame.from_ndarray(scene(number // (2 * rate), (number // rate) % 2 == 1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_frames_of_a_film_become_pairs(home, tmp_path):
    film(tmp_path / "garden.mp4")
    report = ingest_mined([tmp_path / "garden.mp4"], home, mining(high=0.995))
    assert report.accepted == 3
    sources = read_captions(home, "shard-000000")["source"].to_pylist()
    assert all("garden.mp4@" in source for source in sources)
    seconds = [sorted(int(part.split("@")[1][0]) for part in source.split(" and ")) for source in sources]
    assert sorted(seconds) == [[0, 1], [2, 3], [4, 5]]


def test_a_damaged_film_is_told(home, tmp_path):
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(4_000))
    report = ingest_mined([tmp_path / "noise.mp4"], home, mining())
    assert "cannot be decoded" in report.rejected[0].reason
    assert shard_keys(home) == []


def test_without_pyav_the_extra_is_named(home, tmp_path, monkeypatch):
    monkeypatch.setattr(video_frames, "find_spec", lambda name: None)
    (tmp_path / "a.mp4").write_bytes(b"x")
    report = ingest_mined([tmp_path / "a.mp4"], home, mining())
    assert "imgdiff-assets[video]" in report.files_failed[0]
