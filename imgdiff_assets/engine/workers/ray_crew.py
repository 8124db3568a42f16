"""Workers that are actors of Ray, on as many machines as its cluster has."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.engine.workers.crew import Ended, Reply
from imgdiff_assets.engine.workers.order import Raised
from imgdiff_assets.engine.workers.worker import Worker


class RayUnavailable(ImgDiffError, RuntimeError):
    """Ray is not installed, or there is no cluster at the address."""


class RayCrew:
    """See `imgdiff_assets.engine.workers.crew.Crew`.

    Without an `address`, Ray is begun on this machine and stopped by `close`, unless this process has begun it itself.
    Ray shares out the cards; `gpus` is None for one each where the cluster has any.
    """

    def __init__(self, size: int | None, address: str | None, cpus: float, gpus: float | None, placement: str) -> None:
        try:
            import ray as library
        except ImportError:
            raise RayUnavailable(
                "Ray is not installed: pip install 'imgdiff-assets[ray]', or set `workers.backend` to local."
            ) from None
        ray: Any = library  # of whose functions few have types
        self._ray = ray
        self._began = not ray.is_initialized()
        if self._began:
            _begin(ray, address, ceil((size or 1) * cpus))
        cards = int(ray.cluster_resources().get("GPU", 0))
        self.size = size or max(cards, 1)
        self._actor = ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=min(cards, 1) if gpus is None else gpus,
            max_concurrency=2,
            scheduling_strategy=placement,
        )
        self._actors: dict[int, Any] = {}
        self._asked: dict[Any, tuple[int, int]] = {}

    def start(self, number: int) -> None:
        self._actors[number] = self._actor.remote(takes_turns=False)

    def ask(self, number: int, ticket: int, method: str, *arguments: Any) -> None:
        self._asked[getattr(self._actors[number], method).remote(*arguments)] = number, ticket

    def replies(self, seconds: float) -> Sequence[tuple[int, int, Reply]]:
        if not self._asked:
            time.sleep(seconds)
            return []
        found: list[tuple[int, int, Reply]] = []
        for reference in self._ray.wait(list(self._asked), timeout=seconds)[0]:
            number, ticket = self._asked.pop(reference)
            if number in self._actors:
                found.append((number, ticket, self._reply(reference, number)))
                if isinstance(found[-1][2], Ended):
                    del self._actors[number]
        return found

    def _reply(self, reference: Any, number: int) -> Reply:
        errors = self._ray.exceptions
        try:
            reply: Reply = self._ray.get(reference)
        except errors.RayTaskError as error:  # of what is around the worker's own code
            return Raised.of(RuntimeError(str(error)), f"worker {number}")
        except (errors.RayError, errors.ObjectLostError) as error:
            self._ray.kill(self._actors[number])
            return Ended(" ".join(str(error).split()).partition(". ")[0][:200])
        return reply

    def close(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors.clear()
        self._asked.clear()
        if self._began:
            self._ray.shutdown()


def _begin(ray: Any, address: str | None, cpus: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "imgdiff"}
    if address is None:
        # More workers than cores are what the user asked for.
        quiet |= {"include_dashboard": False, "num_cpus": max(cpus, os.cpu_count() or 1)}
    try:
        with _own_signals():
            ray.init(address=address, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise RayUnavailable(
            f"Ray does not answer {where} ({' '.join(str(error).split())[:300]}): start it (`ray start --head`), or "
            "correct `workers.address`."
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, by which a run is stopped."""
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if mine else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
