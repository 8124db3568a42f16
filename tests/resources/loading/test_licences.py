"""Licences as model cards state them, and what is said where none does."""

from pathlib import Path

import pytest

from resources.loading.licences import ABSENT, OWN, UNSTATED, licence_of


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# Model\n", "mit"),
        ("---\nlicense: other\nlicense_name: openrail++\n---\n", "openrail++"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [\n---\n", UNSTATED),
        ("---\ntags: [x]\n---\n", UNSTATED),
        ("# no head\n", UNSTATED),
        (None, UNSTATED),
    ],
)
def test_it_is_read_from_the_card_beside_the_weights(tmp_path: Path, card: str | None, licence: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert licence_of(str(tmp_path)) == licence


def test_of_a_model_without_a_card_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert licence_of("miniature:captioner") == OWN
    assert licence_of("sam_vit_b_01ec64.pth") == "Apache-2.0", "known of the shipped recipes' models"
    assert licence_of("nobody/has-this") == ABSENT
