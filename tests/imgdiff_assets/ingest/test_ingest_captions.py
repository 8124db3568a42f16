"""Ingestion: every bad line is told apart and kept, every bad file is one sentence, and nothing else is lost."""

import csv
import io
import json
import os
import signal
import tracemalloc
import unicodedata
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgdiff_assets.home import Home
from imgdiff_assets.ingest import json_elements, parquet_file
from imgdiff_assets.ingest.cleaning import MAX_CHARACTERS, UnusableText, clean
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_report import IngestError, IngestReport
from imgdiff_assets.ingest.shards import SCHEMA, caption_id, read_captions, shard_keys
from imgdiff_assets.ingest.text_lines import Unreadable, lines_of
from imgdiff_assets.ledger.tables import write_rows
from tests.apart import CONTEXT


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _file(home: Home, name: str, content: str | bytes) -> Path:
    path = home.root.parent / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _captions(home: Home) -> list[str]:
    return [text for key in shard_keys(home) for text in read_captions(home, key)["caption"].to_pylist()]


def _reasons(report: IngestReport) -> list[tuple[int, str]]:
    return [(rejection.line, rejection.reason) for rejection in report.rejected]


def test_one_caption_a_line(home: Home) -> None:
    report = ingest([_file(home, "a.txt", "a red ball\na blue cup\n\n   \na kite")], home)
    assert report == IngestReport(["shard-000000"], accepted=3)
    table = read_captions(home, "shard-000000")
    assert table["caption"].to_pylist() == ["a red ball", "a blue cup", "a kite"]
    assert table["line"].to_pylist() == [1, 2, 5]
    assert table["caption_id"].to_pylist() == [caption_id(text) for text in table["caption"].to_pylist()]
    assert set(table["source"].to_pylist()) == {str(home.root.parent / "a.txt")}


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffa red ball\na blue cup\n",
        "a red ball\r\na blue cup\r\n",
        "a red ball\ra blue cup\r",
        "  a\tred   ball \n\n\n a blue\u00a0cup",
    ],
)
def test_bom_line_ends_and_white_space_mean_nothing(home: Home, content: str) -> None:
    ingest([_file(home, "a.txt", content)], home)
    assert _captions(home) == ["a red ball", "a blue cup"]


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.jsonl", '{"caption": "a red ball"}\n\n{"caption": "a blue cup", "id": 3}\n', None),
        ("a.jsonl", '\ufeff{"text": "a red ball"}\r\n{"text": "a blue cup"}', "text"),
        ("a.csv", "id,caption\n1,a red ball\n2,a blue cup\n", None),
        ("a.csv", '\ufeff"text"\r\n"a red ball"\r\n\r\n"a blue cup"\r\n', "text"),
        ("a.csv", '\n\ncaption,note\n"a\nred ball","x, ""y"""\na blue cup\n', None),
        ("A.CSV", "caption\na red ball\na blue cup", None),
    ],
)
def test_columns_of_text_formats(home: Home, name: str, content: str, column: str | None) -> None:
    assert ingest([_file(home, name, content)], home, column).accepted == 2
    assert _captions(home) == ["a red ball", "a blue cup"]


def test_csv_quoting_is_undone(home: Home) -> None:
    captions = ["a ball, a cup and a kite", 'a "red" ball', "a 'red' ball", "=1+1", "a ball;a cup"]
    path = home.root.parent / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["caption"], *([text] for text in captions)])
    ingest([path], home)
    assert _captions(home) == captions


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_columns_of_text(home: Home, kind: pa.DataType) -> None:
    table = pa.table({"id": [1, 2, 3], "text": pa.array(["a red ball", None, "a blue cup"]).cast(kind)})
    path = home.root.parent / "a.parquet"
    pq.write_table(table, path)
    report = ingest([path], home, "text")
    assert _captions(home) == ["a red ball", "a blue cup"]
    assert _reasons(report) == [(2, "is missing")]


def test_duplicates_are_dropped_and_counted_wherever_they_are(home: Home) -> None:
    first = _file(home, "a.txt", "a ball\na cup\na ball\n  a   ball\n")
    second = _file(home, "b.csv", "caption\na cup\na kite\n")
    report = ingest([first, second], home)
    assert (report.accepted, report.duplicates) == (3, 3)
    report = ingest([second, first], home)
    assert report == IngestReport([], 0, duplicates=6)
    assert _captions(home) == ["a ball", "a cup", "a kite"]
    third = _file(home, "c.txt", "a kite\na tree\n")
    assert ingest([third], home).shards == ["shard-000001"]


def test_two_spellings_of_one_character_are_one_caption(home: Home) -> None:
    content = "a café\n" + unicodedata.normalize("NFD", "a café") + "\nA café\n"
    report = ingest([_file(home, "a.txt", content)], home)
    assert (report.accepted, report.duplicates) == (2, 1)


def test_bad_lines_are_rejected_alone_and_kept_with_their_reasons(home: Home) -> None:
    lines = ["fine", "x" * 10_000, "a\x00b", "a\x1bb", "a\x7fb", "a" * MAX_CHARACTERS, "\u202eodd but text", "中文"]
    path = _file(home, "a.txt", "\n".join(lines))
    report = ingest([path], home)
    assert _captions(home) == ["fine", "a" * MAX_CHARACTERS, "odd but text", "中文"]
    assert _reasons(report) == [
        (2, "has 10,000 characters; captions have at most 2,000"),
        (3, "has the control character U+0000"),
        (4, "has the control character U+001B"),
        (5, "has the control character U+007F"),
    ]
    assert str(report.rejected[1]) == f"{path}:3: caption: has the control character U+0000"
    stored = [json.loads(line) for line in (home.captions / "rejected.jsonl").read_text("utf-8").splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in stored] == _reasons(report)
    assert stored[2]["text"] == "a\x1bb"
    assert len(stored[0]["text"]) == 200


def test_a_line_that_comes_again_is_kept_once(home: Home) -> None:
    path = _file(home, "a.txt", "fine\na\x00b\n")
    kept = home.captions / "rejected.jsonl"
    assert len(ingest([path], home).rejected) == 1
    before = kept.read_bytes()
    again = ingest([path], home)
    assert (again.duplicates, len(again.rejected)) == (1, 1)
    assert kept.read_bytes() == before
    ingest([_file(home, "b.txt", "a\x00b\n")], home)
    assert len(kept.read_bytes().splitlines()) == 2, "the same in another file"


def test_broken_json_lines_cost_themselves_alone(home: Home) -> None:
    lines = [
        '{"caption": "fine"}',
        '{"caption": "torn',
        "null",
        '{"caption": null}',
        '{"caption": 3}',
        '{"other": "x"}',
        '{"caption": "half a pair \\ud800"}',
        "[" * 100_000,
        '{"n": ' + "1" * 5_000 + "}",
        '{"caption": ""}',
        '{"caption": "fine too"}',
    ]
    report = ingest([_file(home, "a.jsonl", "\n".join(lines))], home)
    assert _captions(home) == ["fine", "fine too"]
    found = dict(_reasons(report))
    assert list(found) == list(range(2, 11))
    assert found[2] == "is not JSON (Unterminated string starting at, column 13)"
    assert found[3] == "is not a JSON object"
    assert (found[4], found[5], found[6]) == (
        "is missing",
        "is int, not text",
        "is missing; the row has other",
    )
    assert found[7] == "has the control character U+D800"
    assert found[8].startswith("is not JSON (maximum recursion")
    assert found[9].startswith("is not JSON (")
    assert found[10] == "is empty"
    assert len((home.captions / "rejected.jsonl").read_text("utf-8").splitlines()) == 9


def test_short_rows_and_long_fields_of_csv_cost_themselves_alone(home: Home) -> None:
    content = 'id,caption\n1,fine\n2\n3,"two\nlines"\n4,' + "w " * 100_000 + "\n5,\n6,fine too,extra\n"
    report = ingest([_file(home, "a.csv", content)], home)
    assert _captions(home) == ["fine", "two lines", "fine too"]
    assert _reasons(report) == [
        (3, "is missing"),
        (6, "has 199,999 characters; captions have at most 2,000"),
        (7, "is empty"),
    ]
    assert read_captions(home, "shard-000000")["line"].to_pylist() == [2, 4, 8]


@pytest.mark.parametrize(
    ("name", "content", "column", "expected"),
    [
        ("empty.txt", b"", None, "holds no captions"),
        ("blank.txt", b" \n\n", None, "holds no captions"),
        ("empty.jsonl", b"", None, "holds no captions"),
        ("empty.csv", b"", None, "holds no captions"),
        ("header.csv", b"caption\n", None, "holds no captions"),
        ("latin.txt", "a dog\na café\n".encode("latin-1"), None, "latin.txt:2: is not UTF-8 (byte 11); save the file"),
        ("marked.txt", b"\xef\xbb\xbfa dog\n\xffa cat\n", None, "marked.txt:2: is not UTF-8 (byte 9)"),
        ("wide.txt", "a dog\n".encode("utf-16"), None, "wide.txt:1: is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n', None, "has no column 'caption'; name one of text with --column."),
        ("a.csv", b"id,text\n1,a\n", None, "has no column 'caption'; name one of id, text with --column."),
        ("a.csv", b"id,text\n1,a\n", "txt", "has no column 'txt'; name one of id, text with --column."),
        ("open.csv", b'caption\nfine\n"never closed\nx\n', None, "open.csv:3: is not CSV (unexpected end of data)."),
        ("open.csv", b'"caption\nfine\n', None, "open.csv:1: is not CSV"),
        ("stray.csv", b'caption\n"a" b\n', None, "stray.csv:2: is not CSV"),
        ("a.parquet", b"PAR1 not really", None, "is not a readable Parquet file"),
        ("a.parquet", b"", None, "is not a readable Parquet file"),
        ("a.xml", b"[]", None, "unknown kind of file; captions come as .txt, .jsonl, .json, .csv, .tsv, .parquet."),
        ("a.json", b"[]", None, "holds no captions"),
        ("a.json", b'[{"caption": "fine"}, {', None, "a.json: is not JSON ("),
        (
            "a.json",
            b'{"images": [1]}',
            None,
            "has no list 'annotations', whose elements are rows; its lists are images.",
        ),
        ("a.json", b'[{"text": "fine"}]', None, "has no column 'caption'; name one of text with --column."),
        ("a.tsv", b"id\ttext\n1\ta\n", None, "has no column 'caption'; name one of id, text with --column."),
        ("captions", b"a dog\n", None, "unknown kind of file"),
        ("a.txt", b"a dog\n", "caption", "--column caption means nothing for a .txt file"),
    ],
)
def test_a_bad_file_is_one_sentence_and_costs_no_other_file(
    home: Home, name: str, content: bytes, column: str | None, expected: str
) -> None:
    bad = _file(home, name, content)
    good = _file(home, "good.jsonl", json.dumps({column or "caption": "a good caption"}))
    report = ingest([bad, good], home, column)
    (sentence,) = report.files_failed
    assert sentence.startswith(str(bad))
    assert expected in sentence
    assert "\n" not in sentence
    assert _captions(home) == ["a good caption"]
    assert report.rejected == []


def test_files_that_are_not_there(home: Home) -> None:
    missing = [home.root.parent / "missing.txt", home.root.parent / "missing.parquet"]
    folder = home.root.parent / "folder.csv"
    folder.mkdir()
    report = ingest([*missing, folder], home)
    assert "missing.txt: cannot be read: No such file" in report.files_failed[0]
    assert "missing.parquet" in report.files_failed[1]
    assert "folder.csv: holds no caption files" in report.files_failed[2]
    assert shard_keys(home) == []


def test_a_file_name_that_is_not_utf8(home: Home) -> None:
    path = Path(os.fsdecode(os.fsencode(home.root.parent) + b"/\xff.txt"))
    path.write_text("a ball\nbad \x01\n", encoding="utf-8")
    other = path.with_suffix(".json")
    other.touch()
    report = ingest([path, other], home)
    for text in (str(report.rejected[0]), report.files_failed[0], *read_captions(home, "shard-000000")["source"]):
        assert str(text).encode("utf-8")


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_holds_something(home: Home, size: int) -> None:
    with pytest.raises(IngestError, match=f"--shard-size {size}: a shard holds 1 to 1,000,000 captions"):
        ingest([_file(home, "a.txt", "a")], home, shard_size=size)


def test_shards_are_filled_in_order_and_never_reopened(home: Home) -> None:
    first = _file(home, "a.txt", "\n".join(f"caption {number}" for number in range(7)))
    assert ingest([first], home, shard_size=3).shards == ["shard-000000", "shard-000001", "shard-000002"]
    assert [read_captions(home, key).num_rows for key in shard_keys(home)] == [3, 3, 1]
    before = [(home.captions / f"{key}.parquet").read_bytes() for key in shard_keys(home)]
    assert ingest([_file(home, "b.txt", "one more")], home, shard_size=3).shards == ["shard-000003"]
    assert [(home.captions / f"{key}.parquet").read_bytes() for key in shard_keys(home)[:3]] == before


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text("ab é\n\t\x00中", max_size=5), max_size=12),
    size=st.integers(1, 6),
    data=st.data(),
)
def test_ids_depend_on_the_captions_alone_and_every_line_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int, data: st.DataObject
) -> None:
    """One shard or five, one file or two, in whatever order: the same ids; accepted + dropped + rejected = lines."""
    shuffled = data.draw(st.permutations(texts))
    cut = data.draw(st.integers(0, len(texts)))
    ids = []
    for groups, shard_size in (([texts], 1_000), ([shuffled[:cut], shuffled[cut:]], size)):
        home = Home(tmp_path_factory.mktemp("ids") / "home")
        files = [
            _file(home, f"{number}.jsonl", "".join(json.dumps({"caption": text}) + "\n" for text in group))
            for number, group in enumerate(groups)
        ]
        report = ingest(files, home, shard_size=shard_size)
        assert report.accepted + report.duplicates + len(report.rejected) == len(texts)
        tables = [read_captions(home, key) for key in shard_keys(home)]
        assert all(0 < table.num_rows <= shard_size for table in tables)
        ids.append(sorted(identity for table in tables for identity in table["caption_id"].to_pylist()))
    assert ids[0] == ids[1]


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=r"file/home: cannot be written .*point IMGDIFF_HOME at a folder"):
        ingest([], Home(tmp_path / "file" / "home"))


def _ingest_lines(root: str, name: str, lines: list[str]) -> None:
    home = Home(Path(root))
    ingest([_file(home, name, "\n".join(lines))], home, shard_size=2)


def test_two_ingestions_at_once_wait_for_each_other(home: Home) -> None:
    processes = [
        CONTEXT.Process(target=_ingest_lines, args=(str(home.root), f"{name}.txt", [f"{name} {n}" for n in range(9)]))
        for name in "abc"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(_captions(home)) == sorted(f"{name} {n}" for name in "abc" for n in range(9))
    assert len(shard_keys(home)) == 15


COCO = {
    "info": {"year": 2014},
    "images": [{"id": 7, "file_name": "7.jpg"}],
    "licenses": [],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "a red ball"},
        {"id": 2, "caption": "a blue cup"},
        3,
        {"id": 4},
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_coco_captions(home: Home, indent: int | None) -> None:
    path = _file(home, "captions.json", json.dumps(COCO, indent=indent))
    report = ingest([path], home)
    assert _captions(home) == ["a red ball", "a blue cup"]
    assert _reasons(report) == [(3, "is not a JSON object"), (4, "is missing; the row has id")]


def test_tab_separated_values(home: Home) -> None:
    rows = ["caption\turl", 'a "red" ball\tx', '"a ""blue"" cup"\tx', '"a kite" and "a tree"\tx', "\t", "a dog"]
    report = ingest([_file(home, "a.tsv", "\n".join(rows))], home)
    assert _captions(home) == ['a "red" ball', 'a "blue" cup', '"a kite" and "a tree"', "a dog"]
    assert _reasons(report) == [(5, "is empty")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_bytes_that_are_not_utf8_cost_their_row_alone(home: Home, kind: pa.DataType) -> None:
    values = pa.array([b"a dog", b"caf\xe9", b"a cat"])
    column = (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), _as_text(values))
        if (pa.types.is_dictionary(kind))
        else _as_text(values).cast(kind)
    )
    path = home.root.parent / "a.parquet"
    pq.write_table(pa.table({"caption": column}), path)
    report = ingest([path, _file(home, "good.txt", "a kite")], home)
    assert _captions(home) == ["a dog", "a cat", "a kite"]
    assert _reasons(report) == [(2, "is not UTF-8 (byte 3)")]
    assert report.rejected[0].text == "caf\ufffd"


def _as_text(values: pa.Array) -> pa.Array:
    """Bytes as if they were text, which Arrow does not look into."""
    return pa.StringArray.from_buffers(len(values), values.buffers()[1], values.buffers()[2])


def test_what_is_not_seen_makes_no_other_caption(home: Home) -> None:
    lines = [
        "a red fox",
        "\ufeffa red fox",
        "a red\u200b fox",
        "a red fox\u200e",
        "\u00ada red fox",
        "\u2060a\u034f red fox",
    ]
    report = ingest([_file(home, "a.txt", "\n".join(lines))], home)
    assert (_captions(home), report.duplicates) == (["a red fox"], 5)


@pytest.mark.parametrize(
    "text",
    [
        "a family \U0001f469\u200d\U0001f469\u200d\U0001f467 in a park",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
        "\U0001f642\u200d\u2194\ufe0f",  # a head shaking
        "می\u200cخواهم",
        "ක\u0dca\u200dෂ",
    ],
)
def test_what_makes_an_emoji_or_a_letter_survives(home: Home, text: str) -> None:
    ingest([_file(home, "a.txt", text)], home)
    assert _captions(home) == [text]


@settings(max_examples=60)
@given(
    st.text(
        st.sampled_from(
            "aA \u0301\u00e9\u200b\u200c\u200d\ufeff\U0001f469\U0001f3f4\U000e0067\U000e007fक\u094d\u1100\u1161"
        )
    )
)
def test_a_caption_is_clean_once_and_for_all(text: str) -> None:
    try:
        caption = clean(text)
    except UnusableText:
        return
    assert clean(caption) == caption


def test_captions_of_before_keep_their_id_and_add_nothing(home: Home) -> None:
    """As an earlier release wrote them: with what is not seen, and decomposed."""
    old = ["a red\u200b fox", unicodedata.normalize("NFD", "a café"), "a\u034f kite"]
    ingest([_file(home, "a.txt", "a dog")], home)
    rows = [{"caption_id": caption_id(text), "caption": text, "source": "a.txt", "line": 1} for text in old]
    write_rows(home.captions / "shard-000001.parquet", rows, SCHEMA)
    report = ingest([_file(home, "b.txt", "\n".join([*old, "a red fox", "a café"]))], home)
    assert (report.accepted, report.duplicates) == (0, 5)
    assert read_captions(home, "shard-000001")["caption_id"].to_pylist() == [caption_id(text) for text in old]


def test_only_regular_files_are_opened(home: Home) -> None:
    pipe, loop = home.root.parent / "pipe.txt", home.root.parent / "loop.txt"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    device = home.root.parent / "zero.jsonl"
    device.symlink_to("/dev/zero")
    report = ingest([pipe, device, loop, _file(home, "good.txt", "a kite")], home)
    assert _captions(home) == ["a kite"]
    for sentence, words in zip(
        report.files_failed, ["pipe.txt: is no reg", "zero.jsonl: is no reg", "loop"], strict=True
    ):
        assert words in sentence


def test_a_rejected_row_never_repeats_its_input(home: Home) -> None:
    long = "x" * 2_000_000
    lines = [json.dumps({"caption": long}), json.dumps({long: 1}), json.dumps({"caption": [long]}), long]
    report = ingest([_file(home, "a.jsonl", "\n".join(lines)), _file(home, "b.csv", long)], home)
    assert len(report.rejected) == 4
    assert (home.captions / "rejected.jsonl").stat().st_size < 5_000
    assert len(str(report)) < 10_000


def test_a_line_without_an_end_costs_itself_alone() -> None:
    data = io.BytesIO(b"fine\n" + b"x" * 1_000 + b"\nfine too\r\n" + b"y" * 1_000)
    lines = list(lines_of(data, longest=100))
    assert [str(line)[:9] for line in lines] == ["fine", "xxxxxxxxx", "fine too", "yyyyyyyyy"]
    assert [isinstance(line, Unreadable) for line in lines] == [False, True, False, True]


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda e: st.lists(e), max_leaves=9
    )
)
def test_elements_of_json_are_those_of_the_whole(value: object) -> None:
    document = {"a": [value, value], "b": value, "c": [], "annotations": [{"x": value}, 12345]}
    for chunk in (1, 7, 2**16):
        with mock.patch.object(json_elements, "CHUNK", chunk):
            found = list(json_elements.elements(io.StringIO(json.dumps(document, indent=1))))
        lists = [(name, element) for name, list_ in document.items() if isinstance(list_, list) for element in list_]
        assert found == lists


def test_a_value_that_parquet_has_once_is_not_in_memory_for_each_row(home: Home) -> None:
    """A kilobyte on disk; 400 megabytes if the rows are taken at once."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), pa.array(["x" * 2**21]))
    path = home.root.parent / "a.parquet"
    pq.write_table(pa.table({"caption": texts}), path, compression="zstd", dictionary_pagesize_limit=2**30)
    tracemalloc.start()
    report = ingest([path], home)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.rejected_count == 200
    assert peak < 100_000_000


def test_a_parquet_file_that_its_decoder_dies_of_costs_itself_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow aborts the process on some damaged files."""
    started = parquet_file.started

    def aborting(*arguments: Any, **options: Any) -> Any:
        process = started(*arguments, **options)
        os.kill(process.pid, signal.SIGABRT)
        return process

    monkeypatch.setattr(parquet_file, "started", aborting)
    path = home.root.parent / "a.parquet"
    pq.write_table(pa.table({"caption": ["a dog"]}), path)
    report = ingest([path, _file(home, "good.txt", "a red ball\n")], home)
    assert "its decoder died of it, exit status -6" in report.files_failed[0]
    assert _captions(home) == ["a red ball"]
