import pytest
from pydantic import ValidationError

from resources.loading.settings import ModelSettings
from resources.pair_generator import PairGeneratorSettings

ELSEWHERE = ("device", "batch_size")
UNUSED = ("backend", "backend_settings")


def test_identity_leaves_out_only_where_and_how_fast() -> None:
    settings = ModelSettings(model="miniature:captioner")
    assert settings.identity() == {"model": "miniature:captioner", "revision": None, "dtype": "float32"}
    moved = settings.model_copy(update={"device": "cuda", "batch_size": 64})
    assert moved.identity() == settings.identity()


def test_identity_holds_the_fields_of_the_role() -> None:
    settings = PairGeneratorSettings(model="miniature:pair_generator")
    assert set(settings.identity()) == set(PairGeneratorSettings.model_fields) - {*ELSEWHERE, *UNUSED}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"model": ""},
        {"model": "m", "dtype": "int8"},
        {"model": "m", "batch_size": 0},
        {"model": "m", "bach_size": 4},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(wrong)


def test_settings_cannot_change() -> None:
    settings = ModelSettings(model="m")
    with pytest.raises(ValidationError):
        settings.model = "other"


def test_every_field_is_described() -> None:
    for settings in (ModelSettings, PairGeneratorSettings):
        assert all(field.description for field in settings.model_fields.values())
