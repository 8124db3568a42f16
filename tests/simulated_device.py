"""An accelerator for tests on machines without one: tensors in memory that say, and insist, that they are elsewhere.

What is computed is what the CPU computes. What is checked is what only an accelerator would object to: an operation on
tensors of two devices, a tensor read by NumPy before it was brought back, one made on the wrong device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch.library import Library
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "simulated"


class TwoDevices(RuntimeError):
    """What an accelerator's own error says: expected all tensors to be on the same device."""


class SimulatedTensor(torch.Tensor):
    """A tensor that is on the simulated device; `inner` holds its values."""

    inner: torch.Tensor
    # As a CUDA device: a tensor of no dimensions and indices may stay behind, and copies go either way.
    MIXES: ClassVar = {"aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put_", "aten::_index_put_impl_"}

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "SimulatedTensor":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.inner = inner
        return tensor

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self) -> str:
        return f"{self.inner!r} on {self.device}"

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments = args, kwargs or {}
        leaves, structure = pytree.tree_flatten(arguments)
        away = [leaf for leaf in leaves if isinstance(leaf, SimulatedTensor)]
        here = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, SimulatedTensor)]
        name = operation._schema.name
        if away and any(leaf.dim() for leaf in here) and name not in cls.MIXES:
            raise TwoDevices(
                f"{name} has tensors on the CPU {[*map(_shape, here)]} and on {NAME} {[*map(_shape, away)]}"
            )
        target = (kwargs or {}).get("device")
        is_away = isinstance(args[0], SimulatedTensor) if name == "aten::copy_" else bool(away)
        if target is not None:
            is_away = torch.device(target).type == NAME
        args, kwargs = pytree.tree_unflatten([_behind(leaf) for leaf in leaves], structure)
        known = {id(leaf.inner): leaf for leaf in away}

        def placed(result: Any) -> Any:
            if not isinstance(result, torch.Tensor) or not is_away:
                return result
            # What an operation changes in place stays the tensor that it was.
            return known[id(result)] if id(result) in known else SimulatedTensor(result)

        return pytree.tree_map(placed, operation(*args, **kwargs))


def _shape(tensor: torch.Tensor) -> list[int]:
    return list(tensor.shape)


def _behind(value: Any) -> Any:
    """The same on the CPU."""
    if isinstance(value, SimulatedTensor):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == NAME else value


class _Everywhere(TorchDispatchMode):
    """Also what makes tensors out of none."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return SimulatedTensor.__torch_dispatch__(operation, types, args, kwargs)


class _Module(_DummyBackendModule):
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def _register() -> Library:
    _setup_privateuseone_for_python_backend(NAME, _Module())
    library = Library("aten", "IMPL")
    # `torch.tensor` calls these past every mode.
    library.impl(
        "empty_strided",
        lambda size, stride, dtype=None, **_: SimulatedTensor(torch.empty_strided(size, stride, dtype=dtype)),
        "PrivateUse1",
    )
    library.impl(
        "empty.memory_format",
        lambda size, dtype=None, **_: SimulatedTensor(torch.empty(size, dtype=dtype)),
        "PrivateUse1",
    )

    def copy(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        _behind(target).copy_(_behind(source))
        return target

    library.impl("_copy_from", copy, "PrivateUse1")
    library.impl("_local_scalar_dense", lambda tensor: _behind(tensor).item(), "PrivateUse1")
    return library


_library: list[Library] = []


@contextmanager
def simulated_device() -> Iterator[str]:
    """The name of the device, which is there within the block."""
    if not _library:
        _library.append(_register())
    swaps, inference = torch.__future__.get_swap_module_params_on_conversion(), torch.inference_mode
    torch.__future__.set_swap_module_params_on_conversion(True)
    # Inference tensors keep no versions, which views of a subclass need.
    torch.inference_mode = torch.no_grad  # type: ignore[misc, assignment]
    try:
        with _Everywhere():
            yield NAME
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)
        torch.inference_mode = inference  # type: ignore[misc]
