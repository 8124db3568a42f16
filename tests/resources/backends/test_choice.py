"""Which backend runs a model: ours, by `base_url`, or one that an installed package offers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resources import installed
from resources.backends.choice import backend_name, backend_of, backends, fields_of, identity_of
from resources.backends.library import CLASSES, Library
from resources.backends.server import Server
from resources.captioner import CaptionerSettings
from resources.installed import BrokenPart
from resources.prompt_rewriter import PromptRewriterSettings
from tests.installed_backend import install

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    installed.offers.cache_clear()
    yield
    installed.offers.cache_clear()


@pytest.fixture
def installing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return lambda **fields: install(tmp_path / fields.get("version", "package"), monkeypatch, **fields)


def rewriter(**fields: Any) -> PromptRewriterSettings:
    return PromptRewriterSettings.model_validate({"model": "stamp", "prompt": "{caption}", **fields})


def test_without_a_name_it_is_the_server_where_there_is_an_address_and_a_library_elsewhere() -> None:
    here, there = rewriter(), rewriter(base_url="http://localhost/v1")
    assert (type(backend_of(here)), type(backend_of(there))) == (Library, Server)
    assert (backend_name(here), backend_name(there)) == ("library", "server")
    assert backends().keys() == {"library", "server", "serving"}


def test_each_of_our_backends_plays_the_roles_that_it_says() -> None:
    assert set(Library.roles) == CLASSES.keys()
    assert {"prompt_rewriter", "editor", "image_generator", "captioner", "verifier", "witness"} == set(Server.roles)


def test_what_exists_is_known_by_what_it_was(installing: Install) -> None:
    before = rewriter().identity()
    installing()
    assert rewriter().identity() == before == rewriter(backend=None, backend_settings={}).identity()
    assert not {"backend", "backend_settings", "backend_package"} & before.keys()


def test_an_installed_one_is_named_and_runs_the_model(installing: Install) -> None:
    installing()
    settings = rewriter(backend="stamp", backend_settings={"word": "dog"})
    assert backend_of(settings).runs_on(settings) == "paper"
    assert backend_of(settings).load(settings).rewrite(["a dog"], [0]) == ["a cube"]
    assert backends().keys() == {"library", "server", "serving", "stamp"}


def test_measurements_depend_on_its_settings_and_on_its_package(installing: Install) -> None:
    installing()
    plain, own = rewriter(backend="stamp"), rewriter(backend="stamp", backend_settings={"word": "dog"})
    assert identity_of(plain) == {
        **rewriter().identity(),
        "backend": "stamp",
        "backend_package": "rubber-stamp 1.2",
        "weights": "stamp of stamp",
    }
    assert identity_of(own) == {**identity_of(plain), "backend_settings": {"word": "dog"}}
    before = identity_of(plain)
    installing(version="2.0")
    assert identity_of(plain) == {**before, "backend_package": "rubber-stamp 2.0"}


def test_settings_are_found_again_in_what_a_model_is_known_by(installing: Install) -> None:
    installing()
    stamped, plain = rewriter(backend="stamp", backend_settings={"ink": 4}), rewriter()
    for settings in (stamped, plain):
        told = {**stamped.model_dump(), **fields_of({**settings.identity(), "weights": "0123"})}
        assert PromptRewriterSettings.model_validate(told) == settings


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        (
            {"backend": "stmp"},
            r"the backend 'stmp' is not installed \(installed: stamp\): install the package that offers it",
        ),
        ({"backend": "stamp", "backend_settings": {"wrd": 1}}, r"refuses its settings: backend_settings\.wrd: Extra"),
        (
            {"backend": "stamp", "backend_settings": {"ink": "x"}},
            r"its settings: backend_settings\.ink: Input",
        ),
        ({"backend_settings": {"ink": 1}}, "backend_settings are for a `backend`, and none is named"),
    ],
)
def test_a_wrong_choice_is_told_with_what_to_do(fields: dict[str, Any], advice: str, installing: Install) -> None:
    installing()
    with pytest.raises(ValidationError, match=advice):
        rewriter(**fields)


def test_without_any_installed_none_is_known() -> None:
    with pytest.raises(ValidationError, match=r"is not installed \(installed: none\)"):
        rewriter(backend="stamp")


def test_it_runs_only_the_roles_that_it_says(installing: Install) -> None:
    installing()
    with pytest.raises(ValidationError, match="the backend 'stamp' does not run a captioner, only prompt_rewriter"):
        CaptionerSettings(model="stamp", backend="stamp")


@pytest.mark.parametrize(
    ("point", "wrong"),
    [
        ("rubber_stamp:Stamp", "it is a class and not an object of it: mend or uninstall it"),
        ("rubber_stamp:StampSettings", r"it lacks device, fetch, .*weights: mend or uninstall it"),
    ],
)
def test_one_that_lacks_what_is_asked_of_it_is_told_with_its_package(
    point: str, wrong: str, installing: Install
) -> None:
    installing(points=f"stamp = {point}")
    with pytest.raises(BrokenPart, match=f"rubber-stamp offers 'stamp' among the backends, but {wrong}"):
        backends()


def test_one_that_cannot_be_imported_is_a_mistake_of_the_settings(installing: Install) -> None:
    installing(points="stamp = rubber_stamp:nowhere")
    with pytest.raises(ValidationError, match=r"rubber-stamp offers 'stamp' .* cannot be imported"):
        rewriter(backend="stamp")
