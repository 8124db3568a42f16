from pathlib import Path

from imgdiff_assets.setup.licences import licence_of
from resources.loading.licences import ABSENT


def test_the_licence_of_a_recorded_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    identity = {"model": str(tmp_path), "revision": None, "dtype": "float32", "weights": "0123"}
    assert licence_of("image_text_encoder", identity) == "mit"
    assert licence_of("image_text_encoder", {**identity, "of_another_version": 1}) == "mit"
    assert licence_of("image_text_encoder", {**identity, "backend": "gone", "backend_package": "gone 1"}) == "mit"
    assert licence_of("captioner", {**identity, "model": "miniature:captioner"}).startswith("Apache-2.0")
    assert licence_of("a_role_that_was", {**identity, "model": "nobody/has-this"}) == ABSENT
