import numpy as np
import pytest

from benchmarks.architectures import save
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.what_if import calibration
from imgdiff_assets.what_if.calibration import CannotCalibrate, _proposal, calibrate

SHARDS = ["shard-000000", "shard-000001"]


def test_the_same_encoder_gets_its_thresholds_back():
    scores = np.random.default_rng(0).uniform(0.5, 1, 400)
    for side, limit in (("below", 0.62), ("above", 0.93)):
        found = _proposal("filtered_pairs", "x", side, limit, scores, scores)
        beyond = scores < found.proposed if side == "below" else scores >= found.proposed
        assert np.mean(beyond) == pytest.approx(found.share_beyond, abs=0.005)
        assert found.proposed == pytest.approx(limit, abs=0.01)
        assert found.rank_correlation == 1.0


def test_another_scale_gets_other_thresholds_with_the_same_share_beyond():
    old = np.random.default_rng(1).uniform(0.5, 1, 400)
    new = 0.2 + 0.3 * old**3
    found = _proposal("filtered_pairs", "x", "above", 0.9, old, new)
    assert np.mean(new >= found.proposed) == pytest.approx(np.mean(old >= 0.9), abs=0.005)
    assert _proposal("filtered_pairs", "x", "below", 0.1, old, new).proposed < new.min()


def test_thresholds_are_proposed_for_an_encoder_that_is_refused(drawn_home, drawn_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST", 5)
    folder = save("facebook/dinov3-vitb16-pretrain-lvd1689m", tmp_path / "model")
    recipe = override_recipe(drawn_recipe, [f"image_encoder.model={folder}", "image_encoder.device=cpu"])
    proposed = calibrate(drawn_home, recipe, SHARDS, 40)
    assert (proposed.role, proposed.model) == ("image_encoder", str(folder))
    settings = {each.setting for each in proposed.proposals}
    assert settings == {
        "filtered_pairs.min_similarity",
        "filtered_pairs.max_similarity",
        "bounding_boxes.max_region_similarity",
    }
    values = [f"{each.setting}={each.proposed}" for each in proposed.proposals]
    taken = override_recipe(recipe, [*values, f"image_encoder.calibration='{proposed.found}'"])
    assert taken.models.image_encoder.calibration == proposed.found
    assert proposed.found in proposed.to_text()


def test_a_home_without_tables_says_what_is_missing(drawn_recipe, tmp_path):
    with pytest.raises(CannotCalibrate, match="another encoder has measured"):
        calibrate(Home(tmp_path), drawn_recipe, SHARDS, 40)
