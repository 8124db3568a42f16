"""Editors and generators behind a server that speaks OpenAI's images API: one of the test's own."""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resources.asked_once import asked_once
from resources.backends.choice import backend_of
from resources.editor import EditorSettings
from resources.image_generator import ImageGeneratorSettings
from resources.image_server import ServedEditor, ServedImageGenerator
from resources.loading.failures import ModelUnavailable
from resources.served_answers import NotAnswered
from tests.answering_server import Reply, Request, serving

REFUSED = {"error": {"message": "refused"}}


def picture_answer(picture: np.ndarray, **told: Any) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return {"created": 1, "data": [{"b64_json": base64.b64encode(file.getvalue()).decode(), **told}]}


@contextmanager
def images_server(
    other: Callable[[Request], Reply | None] = lambda request: None,
) -> Iterator[tuple[str, list[Request]]]:
    """Edits by inverting, and draws the seed as a grey, unless it has another answer to a request."""

    def reply(request: Request) -> Reply:
        if (answer := other(request)) is not None:
            return answer
        if "image" in request:
            return 200, picture_answer(255 - np.asarray(Image.open(io.BytesIO(request["image"]))))
        side = int(request["size"].partition("x")[0])
        return 200, picture_answer(np.full((side, side, 3), int(request.get("seed", 0)) % 256, np.uint8))

    with serving(reply, "painter") as served:
        yield served


def editor(base_url: str, **fields: Any) -> ServedEditor:
    values = {"model": "painter", "base_url": base_url, "image_size": 32, "max_retries": 0, **fields}
    return ServedEditor(EditorSettings.model_validate(values))


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((32, 32, 3), (16, 32, 3))]


def test_an_edit_is_what_the_server_makes_of_the_source() -> None:
    sources = pictures()
    with images_server() as (url, requests):
        targets = editor(url, guidance_scale=2.5).edit(sources, ["invert it", "invert it too"], [3, 2**31 + 4])
    for source, target in zip(sources, targets, strict=True):
        np.testing.assert_array_equal(target, 255 - source)
    by_prompt = {request["prompt"]: request for request in requests}
    assert {request["path"] for request in requests} == {"/v1/images/edits"}
    assert by_prompt["invert it"]["seed"] == "3"
    assert by_prompt["invert it too"]["seed"] == "4"
    assert by_prompt["invert it too"]["size"] == "32x16"
    assert by_prompt["invert it"]["guidance_scale"] == "2.5"
    assert by_prompt["invert it"]["model"] == "painter"


def test_a_picture_of_another_size_is_scaled_to_the_source_s() -> None:
    (source, _) = pictures()
    with images_server() as (url, requests):
        (target,) = editor(url, image_size=64).edit([source], ["invert it"], [3])
    assert requests[0]["size"] == "64x64"
    assert target.shape == source.shape


def test_plain_requests_say_what_openai_knows() -> None:
    with images_server() as (url, requests):
        editor(url, plain_requests=True).edit(pictures()[:1], ["invert it"], [3])
    assert set(requests[0]) == {"path", "model", "prompt", "n", "size", "image"}


def test_captions_are_drawn() -> None:
    with images_server() as (url, requests):
        values = {"model": "painter", "base_url": url, "image_size": 16}
        model = ServedImageGenerator(ImageGeneratorSettings.model_validate(values))
        drawn = model.generate(["a cat", "a dog"], [7, 8])
    assert [picture.shape for picture in drawn] == [(16, 16, 3)] * 2
    assert [int(picture[0, 0, 0]) for picture in drawn] == [7, 8]
    assert {request["path"] for request in requests} == {"/v1/images/generations"}


def test_a_batch_with_a_row_at_fault_pays_for_each_once() -> None:
    (source, _) = pictures()
    with (
        images_server(lambda request: (400, REFUSED) if request["prompt"] == "bad" else None) as (url, requests),
        asked_once(),
    ):
        model = editor(url)
        for told in (["fine", "bad"], ["bad"]):
            with pytest.raises(Exception, match="refused"):
                model.edit([source] * len(told), told, [1] * len(told))
        assert len(model.edit([source], ["fine"], [1])) == 1
    assert sorted(request["prompt"] for request in requests) == ["bad", "fine"]


NO_PICTURES: dict[str, Reply] = {
    "without a picture, and told: the queue is full": (200, {"error": {"message": "the queue is full"}}),
    "without a picture, and told: <h1>Sign in</h1>": (200, "<h1>Sign in</h1>"),
    "without a picture": (200, {"data": []}),
    "with an address, not with a picture": (200, {"data": [{"url": "http://127.0.0.1:9/a.png"}]}),
    "without a picture in its answer": (200, {"data": [{"b64_json": None}]}),
    "that cannot be read": (200, {"data": [{"b64_json": base64.b64encode(b"no picture").decode()}]}),
    "a picture that cannot be read": (200, {"data": [{"b64_json": "%%%"}]}),
    "of 64 x 32 pixels, where 32 x 32": (200, picture_answer(np.zeros((32, 64, 3), np.uint8))),
}


@pytest.mark.parametrize("told", NO_PICTURES)
def test_an_answer_without_a_picture_is_the_row_s_error(told: str) -> None:
    (source, _) = pictures()
    with images_server(lambda request: NO_PICTURES[told]) as (url, _), pytest.raises(NotAnswered, match=told):
        editor(url).edit([source], ["x"], [1])


def test_a_failing_server_is_not_a_row_s_error() -> None:
    (source, _) = pictures()
    refusing = images_server(lambda request: (503, REFUSED))
    with refusing as (url, _), pytest.raises(ModelUnavailable, match="refuses to answer"):
        editor(url).edit([source], ["x"], [1])


def test_a_picture_may_come_as_a_data_url_of_about_the_shape_asked_for() -> None:
    (source, _) = pictures()
    answer = picture_answer(np.full((33, 32, 4), 200, np.uint8))
    answer["data"][0]["b64_json"] = "data:image/png;base64," + answer["data"][0]["b64_json"]
    with images_server(lambda request: (200, answer)) as (url, _):
        (target,) = editor(url).edit([source], ["x"], [1])
    assert (target.shape, int(target[0, 0, 0])) == ((32, 32, 3), 200)


def test_the_server_is_a_backend_of_both_roles() -> None:
    with images_server() as (url, _):
        settings = EditorSettings(model="painter", base_url=url)
        backend = backend_of(settings)
        assert isinstance(backend.load(settings), ServedEditor)
        assert backend.presence(settings).missing is None
        assert backend.weights(settings).startswith("served:")
    elsewhere = EditorSettings(model="painter", base_url="http://elsewhere/v1")
    assert settings.identity() == elsewhere.identity(), "where a server is says nothing of what it runs"
