"""What a sample's page says of the exports, against real exports."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from imgdiff_assets.browser.site import Site
from imgdiff_assets.cli.main import main
from imgdiff_assets.export.formats import GROUP, formats


def entries_of(out: Path) -> list[dict[str, Any]]:
    """All entries of an export, whichever way its files hold them; where it stands, a page cannot know."""
    texts = {path: path.read_text().replace(f"{out}/", "") for path in out.glob("*.json*")}
    lists = [json.loads(text) for path, text in texts.items() if path.name in ("train.json", "validation.json")]
    lines = [json.loads(line) for path, text in texts.items() if path.suffix == ".jsonl" for line in text.splitlines()]
    return [entry for entries in lists for entry in entries] + lines


@pytest.mark.parametrize("name", [form.name for form in formats().values() if form.entries_are_text])
def test_the_page_shows_the_entry_that_the_export_has(
    site: Site, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(site.home.root))
    done = CliRunner().invoke(main, ["export", "--format", name, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = entries_of(tmp_path / "out")
    rows = site.index.rows("SELECT sample_id FROM fine_tune_set WHERE kept AND task = 'difference' ORDER BY sample_id")
    for row in rows[:4]:
        page = client.get(f"/row/{row['sample_id']}").text
        found = re.search(rf"as <code>{name}</code>.*?<pre><code>(.*?)</code></pre>", page, re.DOTALL)
        assert found is not None
        assert json.loads(html.unescape(found[1])) in written


def test_a_format_that_cannot_be_used_spoils_no_page(site: Site, client: TestClient, install_package: Any) -> None:
    install_package("no-export", "1.0", "", {GROUP: "none = no_export:FORMAT"})
    (row,) = site.index.rows("SELECT sample_id FROM fine_tune_set WHERE kept LIMIT 1")
    assert client.get(f"/row/{row['sample_id']}").status_code == 200
