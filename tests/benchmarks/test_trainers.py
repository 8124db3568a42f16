"""Every form of export has a reader that people use; those that are installed here read it."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks.trainers.readers import HERE, READERS
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import OURS, formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger


def test_every_form_is_read_by_somebody() -> None:
    assert {reader.reads for reader in READERS.values()} == {form.name for form in OURS}
    for reader in READERS.values():
        assert set(reader.packages) & {
            name.partition("=")[0].partition("[")[0].replace("-", "_") for name in reader.requirements
        }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "script"), [("webdataset", "webdataset_reads"), ("imgdiff", "imgdiff_reads")])
def test_what_is_installed_here_reads_its_form(tmp_path: Path, name: str, script: str) -> None:
    with tarfile.open(Path(__file__).parents[1] / "homes" / "0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    out, ledger = tmp_path / "out", Ledger(Home(tmp_path / "home").ledger)
    report = export(ledger, ledger.shards("fine_tune_set"), formats()[name], out, Options(), lambda *told: None)
    words = [sys.executable, str(HERE / "scripts" / f"{script}.py"), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"read {report['samples']['train']} samples" in done.stdout
