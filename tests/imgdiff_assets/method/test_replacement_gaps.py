"""The next replacements go where there are few: by counts that are an input of the caption, and nothing else."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.replacement_gaps import filled_cells, places
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.statistics.diversity import diversity

NEW = "shard-000003"


def test_a_caption_is_told_of_its_own_objects_alone() -> None:
    filled = filled_cells({("dog", "cat"): 3, ("dog", "cow"): 1, ("fire hydrant", "tree"): 2, ("hot", "cold"): 5})
    assert json.loads(filled("A dog, by the fire-hydrant.")) == {"dog": {"cat": 3, "cow": 1}}
    assert json.loads(filled("The fire hydrant")) == {"fire hydrant": {"tree": 2}}
    assert filled("a hotdog") == "{}"


@given(data=st.data())
def test_the_rarest_come_first_whatever_the_order_of_rows(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    targets = st.sampled_from(["a cat", "a cow", "a hen", "a pig"])
    rows = [(data.draw(st.sampled_from("xy")), data.draw(targets)) for _ in range(count)]
    rows = list(dict.fromkeys(rows))
    counts = {name: data.draw(st.integers(0, 3)) for name in ("cat", "cow", "hen")}
    text = json.dumps({"dog": counts})

    def place_of(given_rows: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        cells = [("dog", target.removeprefix("a ")) for _, target in given_rows]
        found = places([row[0] for row in given_rows], [row[1] for row in given_rows], cells, [text] * len(given_rows))
        return dict(zip(given_rows, found.tolist(), strict=True))

    found = place_of(rows)
    assert found == place_of(rows[::-1])
    for caption in {row[0] for row in rows}:
        mine = sorted(
            (place, counts.get(target.removeprefix("a "), 0))
            for (one, target), place in found.items()
            if one == caption
        )
        assert [place for place, _ in mine] == list(range(len(mine)))
        assert [filled for _, filled in mine] == sorted(filled for _, filled in mine)


def test_new_shards_fill_the_emptiest_cells(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    before = diversity(Ledger(own_home.ledger), ["shard-000000", "shard-000001"]).cells.counts
    file = tmp_path / "more.txt"
    file.write_text("".join(f"a {colour} ball on the sand\n" for colour in ("red", "green", "yellow", "blue", "pink")))
    assert CliRunner().invoke(main, ["ingest", str(file), "--fill-gaps"]).exit_code == 0
    captions = read_captions(own_home, NEW)
    assert all("filled" in captions.column_names for _ in captions)
    expected = {target: count for (source, target), count in before.items() if source == "ball"}
    assert expected
    assert json.loads(captions["filled"][0].as_py()) == {"ball": expected}
    recipe = override_recipe(drawn_recipe, ["prompt_pairs.attempts=6", "prompt_pairs.keep_attempts=1"])
    run_stages(own_home, recipe, [NEW], ["prompt_pairs"])
    rows = Ledger(own_home.ledger).read("prompt_pairs", NEW).to_pylist()
    judged = [row for row in rows if row["place"] is not None]
    kept = [row for row in rows if row["kept"]]
    assert Counter(row["rejected_by"] for row in judged)["fuller_cell"] == len(judged) - len(kept) > 0
    for row in kept:
        others = [other for other in judged if other["caption_id"] == row["caption_id"]]
        assert expected.get(row["target_object"], 0) == min(expected.get(one["target_object"], 0) for one in others)
    assert len({row["caption_id"] for row in kept}) == len(kept)
