"""Which exceptions mean too much at once, and which a machine that cannot go on: as the libraries raise them."""

import errno
from pathlib import Path

import pytest
import torch
from PIL import UnidentifiedImageError

from resources.loading.failures import is_of_the_machine, is_out_of_memory


def _error_of_a_huge_tensor() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        _error_of_a_huge_tensor(),
        MemoryError(),
    ],
    ids=repr,
)
def test_too_much_at_once_may_fit_in_parts(error: BaseException) -> None:
    assert is_out_of_memory(error)
    assert not is_of_the_machine(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        OSError(errno.ENOSPC, "No space left on device"),
        FileNotFoundError("the weights are not on this machine"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        ConnectionError("the server does not answer"),
        ModuleNotFoundError("No module named 'open_clip'"),
    ],
    ids=repr,
)
def test_a_machine_that_cannot_go_on_is_no_inputs_fault(error: BaseException) -> None:
    assert is_of_the_machine(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [UnidentifiedImageError("cannot identify image file"), OSError("image file is truncated"), ValueError("too long")],
    ids=repr,
)
def test_an_input_that_cannot_be_used_is_neither(error: BaseException) -> None:
    assert not is_of_the_machine(error)
    assert not is_out_of_memory(error)


def test_a_file_that_is_missing_is_told_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing") as caught:
        (tmp_path / "missing").read_bytes()
    assert is_of_the_machine(caught.value)
