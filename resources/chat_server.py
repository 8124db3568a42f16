"""Chat models behind an OpenAI-compatible server (vLLM, SGLang, `transformers serve`), in the two roles they play.

A server says what it serves by name only: the weights behind it cannot be hashed. So what is known of them is the name
and what the server tells of it; when other weights are served by the same name, measurements made before are kept.
"""

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resources.asked_later import letters_of
from resources.asked_once import outcomes
from resources.captioner import CaptionerSettings
from resources.completions import complete
from resources.loading.api_key import API_KEY, API_KEYS, key_for
from resources.loading.failures import ModelUnavailable, is_of_the_machine
from resources.loading.settings import ChatModelSettings, ServableSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.served_answers import entries
from resources.serving.started import last_words
from resources.yes_or_no import share_told

if TYPE_CHECKING:
    from openai import OpenAI

# What a server says of a model that holds from one day, and one server of the same model, to the next.
LASTING = ("id", "owned_by", "root", "parent")
# What says that the server or the account is at fault, not the question.
SERVER_AT_FAULT = frozenset({401, 403, 404, 429, 502, 503, 504})
REMEMBERED_SECONDS = 60
TOLD_TOKENS = 20
"""Servers tell of no more."""


class ServedPromptRewriter:
    """Rewrites captions by a served model; see `resources.prompt_rewriter.PromptRewriter`."""

    def __init__(self, settings: PromptRewriterSettings) -> None:
        self.settings = settings

    def rewrite(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Return the model's whole answer to each caption, drawn by that caption's seed if the server heeds seeds.

        Raises ModelUnavailable.
        """
        return self.ask([self.settings.question(caption) for caption in captions], seeds)

    def ask(
        self, questions: Sequence[str], seeds: Sequence[int] | None = None, schema: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Return the model's whole answer to each question, drawn by its seed, or the likeliest without seeds.

        With a JSON schema, the server is told to keep to it where it knows schemas; see
        `resources.prompt_rewriter.PromptRewriter`. Raises ModelUnavailable.
        """
        settings = self.settings
        common: dict[str, Any] = {"temperature": 0}
        drawn: Sequence[dict[str, Any]] = [{}] * len(questions)
        if seeds is not None:
            common = {"temperature": settings.temperature, "top_p": settings.top_p}
            # Some servers read a seed as a 32-bit number.
            drawn = [{"seed": seed % 2**31} for seed in seeds]
        if schema is not None and questions and _keeps_to(str(settings.base_url), settings.model, json.dumps(schema)):
            common["response_format"] = _response_format(json.dumps(schema))
        asked = ({"messages": [{"role": "user", "content": question}]} for question in questions)
        return _answers(settings, [{**one, **own, **common} for one, own in zip(asked, drawn, strict=True)])

    def yes(self, questions: Sequence[str]) -> list[float | None]:
        """Return how likely the answer to each question begins with yes rather than no.

        None where the server does not tell of the likeliest tokens, or neither is among them. Raises ModelUnavailable.
        """
        return _yes(self.settings, questions)


class ServedCaptioner:
    """Answers questions about images by a served model; see `resources.captioner.Captioner`."""

    def __init__(self, settings: CaptionerSettings) -> None:
        self.settings = settings

    def answer(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[str]:
        """Return the likeliest answer to each question about its own one or more images (H, W, 3) of any shapes.

        Raises ModelUnavailable.
        """
        asked = _shown(images, questions)
        requests = [{"messages": [{"role": "user", "content": content}], "temperature": 0} for content in asked]
        return _answers(self.settings, requests)

    def yes(self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> list[float | None]:
        """As `ServedPromptRewriter.yes`, of questions about images."""
        return _yes(self.settings, _shown(images, questions))


def _shown(images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """What is said of each question: its images, then its words."""
    for shown, question in zip(images, questions, strict=True):
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in shown]
        yield [*pictures, {"type": "text", "text": question}]


def _yes(settings: ChatModelSettings, contents: Iterable[Any]) -> list[float | None]:
    """P(yes) of the first token of each answer; None where the server does not tell of it."""
    first = {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": TOLD_TOKENS}
    requests = [{"messages": [{"role": "user", "content": content}], **first} for content in contents]
    return [share_told(json.loads(told)) for told in _answers(settings, requests, _likeliest)]


def served_identity(settings: ServableSettings, retries: int = 2) -> dict[str, str]:
    """Return what the server says of the model that stays the same wherever and whenever it is served.

    It is asked again every minute. Raises ModelUnavailable when it does not answer or serves no such model.
    """
    minute = int(time.monotonic() // REMEMBERED_SECONDS)
    return dict(_listed(str(settings.base_url), settings.model, minute, retries))


def only_model(base_url: str) -> str:
    """Return what the one model is called that a server serves. Raises ModelUnavailable where it serves others too."""
    names = [str(entry["id"]) for entry in _models(base_url, "models")]
    if len(names) != 1:
        raise ModelUnavailable(f"The server {base_url} serves {', '.join(names) or 'nothing'}: say which of them.")
    return names[0]


def _models(base_url: str, model: str, retries: int = 2) -> list[dict[str, Any]]:
    """What the server tells of all its models; `model` is what is asked for, as errors tell it."""
    settings = ChatModelSettings(model=model, base_url=base_url, timeout_seconds=10, max_retries=retries)
    with connect(settings) as client, errors_explained(settings):
        return [entry.to_dict(warnings=False) for entry in client.models.list()]


@lru_cache(maxsize=64)
def _listed(base_url: str, model: str, minute: int, retries: int) -> tuple[tuple[str, str], ...]:
    """What the list of models says of `model`; `minute` makes an old answer forgotten."""
    listed = _models(base_url, model, retries)
    for entry in listed:
        if entry["id"] == model:
            return tuple((name, str(entry[name])) for name in LASTING if entry.get(name) is not None)
    names = ", ".join(str(entry["id"]) for entry in listed) or "nothing"
    raise ModelUnavailable(f"The server {base_url} does not serve {model!r}, but {names}: correct the field `model`.")


@lru_cache(maxsize=64)
def _keeps_to(base_url: str, model: str, schema: str) -> bool:
    """Whether a server takes a JSON schema: tried once, on a question that no caption is in."""
    import openai

    settings = ChatModelSettings(model=model, base_url=base_url, max_retries=1)
    question = {"messages": [{"role": "user", "content": "Answer with {}."}], "max_tokens": 4}
    with connect(settings) as client, errors_explained(settings):
        try:
            client.chat.completions.create(model=model, response_format=_response_format(schema), **question)  # type: ignore[call-overload]
        except openai.APIStatusError as error:
            if error.status_code in SERVER_AT_FAULT:
                raise
            return False
    return True


def _response_format(schema: str) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": json.loads(schema), "strict": True}}


def connect(settings: ServableSettings) -> "OpenAI":
    """Return a client that repeats what failed for want of an answer, each time after a longer pause.

    Raises ModelUnavailable, also for a server that the key is not meant for.
    """
    try:
        from openai import OpenAI
    except ImportError:
        raise ModelUnavailable(
            "A model behind a server needs the openai package: pip install 'imgdiff-assets[server]'."
        ) from None
    return OpenAI(
        base_url=settings.base_url,
        api_key=key_for(str(settings.base_url)),
        timeout=settings.timeout_seconds,
        max_retries=settings.max_retries,
    )


def _said(completion: Any) -> str:
    """The text of an answer. Raises NotAnswered."""
    message = getattr(entries(completion, "choices", "an answer")[0], "message", None)
    return (getattr(message, "content", None) or "").strip()


def _likeliest(completion: Any) -> str:
    """The likeliest first tokens of an answer as JSON; of a server that does not tell of them, none.

    Raises NotAnswered.
    """
    told = getattr(entries(completion, "choices", "an answer")[0], "logprobs", None)
    first = (getattr(told, "content", None) or [None])[0]
    likeliest = getattr(first, "top_logprobs", None) or []
    return json.dumps([{"token": each.token, "logprob": each.logprob} for each in likeliest])


def _answers(
    settings: ChatModelSettings, requests: Sequence[Mapping[str, Any]], read: Callable[[Any], str] = _said
) -> list[str]:
    """Return what is read of the answers to all `requests`, which may depart from the settings.

    Raises the first error of a question, after all others were asked.
    """
    common: dict[str, Any] = {"model": settings.model, "max_tokens": settings.max_new_tokens}
    if settings.stop:
        common["stop"] = settings.stop
    known, letters = outcomes(), letters_of(settings)

    with connect(settings) as client, ThreadPoolExecutor(settings.concurrency) as pool:

        def ask(request: Mapping[str, Any]) -> str | Exception:
            question = json.dumps([settings.base_url, common, request])
            key = hashlib.sha256(question.encode()).hexdigest()
            if key not in known:
                try:
                    if letters is not None:
                        completion = letters.answer(settings, {**common, **request})
                    else:
                        with errors_explained(settings):
                            completion = complete(client, {**common, **request})
                    known[key] = read(completion)
                except Exception as error:
                    if is_of_the_machine(error):
                        raise
                    known[key] = error
            return known[key]

        answers = []
        for outcome in list(pool.map(ask, requests)):
            if isinstance(outcome, Exception):
                raise outcome
            answers.append(outcome)
        return answers


@contextmanager
def errors_explained(settings: ServableSettings) -> Iterator[None]:
    """Tell a server that cannot answer at all from a question that it does not answer, which raises as it is."""
    import openai

    try:
        yield
    except openai.APITimeoutError:
        raise
    except openai.APIConnectionError as error:
        if (said := last_words(str(settings.base_url))) is not None:
            raise ModelUnavailable(
                f"The server that was started here for {settings.model} has ended, and said: {said}. Run again: it is "
                "started anew, and what was measured is kept."
            ) from error
        raise ModelUnavailable(
            f"The server {settings.base_url} cannot be reached ({error.__cause__ or error}): start it, or correct the "
            "field `base_url`. What was measured is kept."
        ) from error
    except openai.APIStatusError as error:
        if error.status_code not in SERVER_AT_FAULT:
            raise
        advice = {
            401: f"set {API_KEYS} to {settings.base_url}=KEY, or set {API_KEY} to its key",
            403: f"set {API_KEYS} or {API_KEY} to a key that may use the model",
            404: "correct the field `model`, or the path in `base_url` (it often ends with /v1)",
            429: "lower `concurrency`, or raise `max_retries`",
        }.get(error.status_code, "see what ails it")
        raise ModelUnavailable(
            f"The server {settings.base_url} refuses to answer for {settings.model} "
            f"({' '.join(error.message.split())[:300]}): {advice}. What was measured is kept."
        ) from error


def _data_url(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
