"""Who is told what: terminals that listen, and the log."""

import pytest

from imgdiff_assets.common import progress
from imgdiff_assets.common.progress import hearing, listening, logging_progress, telling


def test_what_a_stage_meets_is_logged_and_told_to_who_hears() -> None:
    log: list[str] = []
    heard: list[str] = []
    tell = telling(log.append)
    with hearing(heard.append):
        tell("the shard is held")
    tell("nobody hears")
    assert (log, heard) == (["the shard is held", "nobody hears"], ["the shard is held"])


def test_progress_goes_to_who_listens_else_now_and_then_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    seen: list[tuple[str, int, int]] = []
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 3600)
    report = logging_progress(log.append)
    for done in range(4):
        report("image_pairs: generate", done, 3)
    assert len(log) == 1, "only the end, for it was quick"
    assert log[0].startswith("image_pairs: generate: 3 of 3 rows, ")
    with listening(lambda *values: seen.append(values)):
        report("image_pairs: generate", 1, 3)
    assert (len(log), seen) == (1, [("image_pairs: generate", 1, 3)])
