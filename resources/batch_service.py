"""The batch service of an OpenAI-compatible server (`/v1/files`, `/v1/batches`): answers within a day, for less.

Protocol: https://platform.openai.com/docs/api-reference/batch. Nothing here is remembered: who creates a batch notes
its file and tag before, and finds it again by them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from resources.asked_later import RequestRefused
from resources.chat_server import SERVER_AT_FAULT, connect, errors_explained
from resources.completions import NEWER_LIMIT, as_the_server_takes_it, wants_newer_limit
from resources.loading.failures import ModelUnavailable
from resources.loading.settings import ChatModelSettings

if TYPE_CHECKING:
    from openai import OpenAI

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
WINDOW: Literal["24h"] = "24h"
TAG = "imgdiff"
"""The key of the tag among a batch's metadata."""

MOST_REQUESTS, MOST_BYTES = 20_000, 50_000_000
"""Of one file, with room to spare below what services take (50,000 requests, 100 MB)."""

OVER = frozenset({"completed", "failed", "expired", "cancelled"})
ANSWERED = 200


class BatchGone(ModelUnavailable):
    """A batch, or its answers, that the server does not have, or no longer."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What has come of a batch: answers by id, or why there will be none, and by id why a question was `lost` unpaid.

    None of it is final until the batch is `over`; `state` is the server's word for where it stands.
    """

    state: str
    over: bool
    answers: dict[str, Mapping[str, Any] | RequestRefused]
    lost: dict[str, str]


def upload(settings: ChatModelSettings, requests: Mapping[str, Mapping[str, Any]]) -> str:
    """Send requests, by id, and return the id of their file: nothing is answered yet, or to be paid for.

    Raises ModelUnavailable.
    """
    with connect(settings) as client, _explained(settings):
        asked = ((known_by, as_the_server_takes_it(client, request)) for known_by, request in requests.items())
        lines = (
            json.dumps({"custom_id": known_by, "method": "POST", "url": ENDPOINT, "body": body})
            for known_by, body in asked
        )
        content = "".join(f"{line}\n" for line in lines).encode()
        return client.files.create(file=(f"{TAG}.jsonl", content), purpose="batch").id


def create(settings: ChatModelSettings, file: str, tag: str) -> str:
    """Have the requests of a file answered, and return the id of the batch. Raises ModelUnavailable.

    When it raises, the batch may have been created all the same: `find` tells.
    """
    with connect(settings) as client, _explained(settings):
        # Not tried again by the client: one that did not hear of the first would be paid for twice.
        once = client.with_options(max_retries=0)
        return once.batches.create(
            input_file_id=file, endpoint=ENDPOINT, completion_window=WINDOW, metadata={TAG: tag}
        ).id


def find(settings: ChatModelSettings, file: str, tag: str) -> str | None:
    """Return the id of the batch of this file or tag, if the server has one. Raises ModelUnavailable.

    Both tell, for there are services that forget one of them.
    """
    with connect(settings) as client, _explained(settings):
        return next(
            (
                batch.id
                for batch in client.batches.list(limit=100)
                if batch.input_file_id == file or (batch.metadata or {}).get(TAG) == tag
            ),
            None,
        )


def collect(settings: ChatModelSettings, batch_id: str, asked: frozenset[str]) -> Collected:
    """Return what has come of the questions `asked` in a batch. Raises BatchGone, ModelUnavailable."""
    with connect(settings) as client, _explained(settings):
        batch = client.batches.retrieve(batch_id)
        state = str(batch.status)
        if state not in OVER:
            return Collected(state, False, {}, {})
        answers: dict[str, Mapping[str, Any] | RequestRefused] = {}
        lost: dict[str, str] = {}
        for line in _lines(client, (batch.output_file_id, batch.error_file_id)):
            known_by = str(line.get("custom_id"))
            outcome = _outcome(client, settings.model, line)
            if isinstance(outcome, str):
                lost[known_by] = outcome
            else:
                answers[known_by] = outcome
        if batch.request_counts is not None and batch.request_counts.completed > len(answers) + len(lost):
            # Answers that are paid for are still to be written.
            return Collected(f"{state}, answers to come", False, {}, {})
        said = "; ".join(str(error.message) for error in (batch.errors.data if batch.errors else None) or [])
        for known_by in asked - answers.keys() - lost.keys():
            lost[known_by] = said or state
        return Collected(state, True, answers, lost)


def _lines(client: "OpenAI", files: tuple[str | None, ...]) -> Iterator[dict[str, Any]]:
    for file in files:
        if file is None:
            continue
        for line in client.files.content(file).text.split("\n"):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError:
                    raise ModelUnavailable(
                        f"The server's file {file} of answers has a line that is no JSON."
                    ) from None


def _outcome(client: "OpenAI", model: str, line: Mapping[str, Any]) -> Mapping[str, Any] | RequestRefused | str:
    """The body of an answer, why the question will have none, or in words why it is to be asked again."""
    response, error = line.get("response") or {}, line.get("error") or {}
    status, body = response.get("status_code"), response.get("body") or {}
    if status == ANSWERED:
        return dict(body)
    said = str((body.get("error") or {}).get("message") or error.get("message") or error.get("code") or "no answer")
    if status is None or status in SERVER_AT_FAULT:
        return said
    if NEWER_LIMIT in said:
        wants_newer_limit(client, model)
        return said
    return RequestRefused(f"{status}: {said}")


@contextmanager
def _explained(settings: ChatModelSettings) -> Iterator[None]:
    """Whatever befalls a batch is no row's fault."""
    import openai

    try:
        with errors_explained(settings):
            try:
                yield
            except openai.NotFoundError as error:
                raise BatchGone(
                    f"The server {settings.base_url} has no batch service, or not what it is asked for there "
                    f"({_shortly(error)}): see to it, or leave out `batches`."
                ) from error
    except openai.OpenAIError as error:
        raise ModelUnavailable(
            f"The batch service of {settings.base_url} does not do what it is asked for {settings.model} "
            f"({_shortly(error)}): see what ails it, or leave out `batches`. What was measured, and what was sent, is "
            "kept."
        ) from error


def _shortly(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
