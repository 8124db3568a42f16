"""A team gives what one process gives, whatever becomes of its workers; each hazard is real, in real processes."""

import os
from collections import Counter

import pytest

from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.engine.workers.pieces import FATAL
from imgdiff_assets.engine.workers.team import AT_ONCE, NoWorkers
from imgdiff_assets.engine.workers.worker import OtherModel
from imgdiff_assets.ledger.ledger import Ledger
from tests.hazardous_backend import calls
from tests.imgdiff_assets.engine.workers.conftest import BATCH, CAPTIONS, SHARD, Hired, Shop


def test_two_workers_share_the_batches_and_give_what_one_process_gives(
    shop: Shop, unbroken: str, hired: Hired
) -> None:
    made = shop.run(hired.team, dict.fromkeys(CAPTIONS, "meet"))
    assert (made.output_hash, made.errors, made.calls) == (unbroken, 0, {"rewrite": len(CAPTIONS)})
    asked = calls(shop.plan)
    assert os.getpid() not in {process for process, _ in asked}
    assert sorted(map(len, dict(asked).values())) == [BATCH, BATCH], "both had whole batches"
    assert sum((Counter(captions) for _, captions in asked), Counter()) == Counter(CAPTIONS)
    assert sum(use.rows for use in made.workers.values()) == len(CAPTIONS)
    assert len(made.workers) == 2
    assert made.devices == {"prompt_rewriter": "cpu"}


def test_what_a_killed_worker_had_is_measured_by_others_in_the_same_batch(
    shop: Shop, unbroken: str, hired: Hired
) -> None:
    made = shop.run(hired.team, {CAPTIONS[5]: "end once"})
    assert (made.output_hash, made.errors) == (unbroken, 0)
    twice = Counter(tuple(captions) for _, captions in calls(shop.plan))
    assert twice.keys() == {tuple(CAPTIONS[start : start + BATCH]) for start in range(0, len(CAPTIONS), BATCH)}
    assert twice[tuple(CAPTIONS[4:8])] == 2
    assert twice.total() <= len(twice) + AT_ONCE, "beside it, what it had measured and not handed back"
    (said,) = hired.said
    assert "has ended" in said
    assert len([use for use in made.workers.values() if use.ended]) == 1


def test_a_worker_whose_accelerator_is_lost_is_replaced(shop: Shop, unbroken: str, hired: Hired) -> None:
    made = shop.run(hired.team, {CAPTIONS[5]: "lose once"})
    assert (made.output_hash, made.errors) == (unbroken, 0)
    assert sum(CAPTIONS[5] in captions for _, captions in calls(shop.plan)) == 2


def test_a_row_that_ends_whoever_measures_it_is_the_only_one_set_apart(
    shop: Shop, unbroken: str, hired: Hired
) -> None:
    made = shop.run(hired.team, {CAPTIONS[5]: "end"})
    assert (made.errors, made.rejections["error:worker_ended"]) == (1, 1)
    asked = [captions for _, captions in calls(shop.plan) if CAPTIONS[5] in captions]
    sizes = [len(captions) for captions in asked]
    # The first time, what the worker had measured before and not handed back may be blamed.
    assert sizes in ([BATCH] * FATAL + [2, 1], [BATCH] * (FATAL + 1) + [2, 1])
    table = Ledger(shop.root / f"home-{shop.runs}" / "ledger").read("prompt_pairs", SHARD)
    (error,) = filter(None, table["error"].to_pylist())
    assert f"the {counted(FATAL, 'worker')} that measured it ended" in error


@pytest.mark.slow
def test_what_does_not_fit_into_one_worker_is_measured_by_it_in_parts(shop: Shop, unbroken: str, hired: Hired) -> None:
    made = shop.run(hired.team, dict.fromkeys(CAPTIONS, "small"))
    assert (made.output_hash, made.errors, hired.said) == (unbroken, 0, [])
    small = int((shop.plan / "small").read_text())
    sizes = [len(captions) for process, captions in calls(shop.plan) if process == small]
    assert sizes.count(BATCH) == 1, "it asked for all of a batch once, and then knew better"
    assert {len(captions) for process, captions in calls(shop.plan) if process != small} <= {BATCH}


def test_a_row_at_fault_fails_alone_in_a_worker(shop: Shop, hired: Hired) -> None:
    made = shop.run(hired.team, {CAPTIONS[9]: "fail"})
    assert made.rejections["error:value"] == made.errors == 1


def test_a_worker_with_other_weights_measures_nothing(shop: Shop, hired: Hired) -> None:
    (shop.plan / "driver").write_text(str(os.getpid()))
    with pytest.raises(OtherModel, match=r"prompt_rewriter of process \d+ on .* its weights are others, the run's"):
        shop.run(hired.team, {})
    assert calls(shop.plan) == []


def test_when_none_is_left_the_run_stops_and_keeps_what_there_is(shop: Shop, unbroken: str, hired: Hired) -> None:
    (shop.plan / "one").write_text("whoever comes has no room")
    home, measured = shop.fresh(), [0]
    with pytest.raises(NoWorkers, match=r"Of 2 workers none is left: they ended \(.*What was measured is kept"):
        # Of the last batch, which is begun when others are done.
        shop.run(hired.team, {CAPTIONS[-1]: "end"}, home, lambda what, done, total: measured.append(done))
    (shop.plan / "one").unlink()
    again = shop.run(hired.team, {}, home)
    assert (again.output_hash, again.reused) == (unbroken, measured[-1])
    assert measured[-1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("everyone", ["ray"], indirect=True)
def test_a_machine_goes_and_another_comes(shop: Shop, unbroken: str, hired: Hired) -> None:
    def change(what: str, done: int, total: int) -> None:
        if done == BATCH:  # the first batch: of the others both workers have some, which wait
            hired.cluster.remove_node(hired.cluster.list_all_nodes()[-1])
            hired.cluster.add_node(num_cpus=1)

    hired.listener = lambda text: (shop.plan / "go").touch() if "has ended" in text else None
    made = shop.run(hired.team, dict.fromkeys(CAPTIONS[BATCH:], "wait"), progress=change)
    assert (made.output_hash, made.errors) == (unbroken, 0)
    assert [use.ended is not None for use in made.workers.values()].count(True) == 1
    assert len(shop.run(hired.team, dict.fromkeys(CAPTIONS, "meet")).workers) == 2, "on the one that came"
