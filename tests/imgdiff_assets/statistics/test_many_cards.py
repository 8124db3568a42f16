"""An estimate over many cards: which of cards and driver bounds it."""

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.estimate import estimate as command
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.statistics.estimate import estimate
from imgdiff_assets.statistics.many_cards import recorded_driver, spread


def test_few_cards_bound_it_themselves_and_many_are_bound_by_the_driver() -> None:
    found, costs = estimate(None, load_recipe("modern"), 1_000_000), recorded_driver()
    few, many = spread(found, 64), spread(found, 10_000)
    assert (few.bound, few.seconds) == ("the cards", pytest.approx(found.seconds / 64))
    assert (many.bound, many.seconds) == ("the driver", many.driver + many.dagster)
    assert many.driver > 1_000_000 * costs["seconds_a_pair"]
    assert (few.largest, few.tables) == ("image_pairs.generate", 1_600)
    assert 0.5 < few.share < 1


def test_the_command_takes_a_million_as_people_write_it_and_shows_the_paper_s_captions_beside() -> None:
    done = CliRunner().invoke(command, ["--captions", "1e6", "--gpus", "64", "--recipe", "modern"])
    assert done.exit_code == 0, done.output
    assert "1,000,000 captions by the modern recipe" in done.output
    assert "On 64 cards 8.9 hours, bounded by the cards" in done.output
    assert "118,000 captions: 67 hours of a card by these rates, 624 in the paper (4 A100, 6.5 days)" in done.output
    refused = CliRunner().invoke(command, ["--captions", "1.5"])
    assert "'1.5' is not a whole number" in refused.output
