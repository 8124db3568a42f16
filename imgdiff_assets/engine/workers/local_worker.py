"""A worker as a process of this machine: `python -m imgdiff_assets.engine.workers.local_worker DESCRIPTOR`.

It ends when the driver does, however that ends: whatever it was doing was for the driver alone.
"""

import os
import pickle
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any


def serve(connection: Connection, worker: Any) -> None:
    """Run what the driver asks for, two calls at once, until it is gone."""
    answering = Lock()

    def run(ticket: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            reply = getattr(worker, method)(*arguments)
            with answering:
                connection.send_bytes(pickle.dumps((ticket, reply)))
        except BaseException:  # or the driver would wait for an answer for ever
            traceback.print_exc()
            os._exit(1)

    with ThreadPoolExecutor(2) as threads:
        while True:
            try:
                threads.submit(run, *pickle.loads(connection.recv_bytes()))
            except (EOFError, OSError):
                os._exit(0)


if __name__ == "__main__":
    from imgdiff_assets.engine.workers.worker import Worker

    serve(Connection(int(sys.argv[1])), Worker(takes_turns=True))
