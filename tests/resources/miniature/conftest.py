"""What trainings change of the whole process is put back after each test."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """Trainings flush denormal numbers to zero, which other tests must not inherit."""
    yield
    torch.set_flush_denormal(False)
