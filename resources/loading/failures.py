"""What an exception means: too much at once, a machine that cannot go on, or an input that cannot be used."""

from resources.errors import ExpectedError

# As the libraries say it: torch's allocators on GPU and CPU, and the CUDA libraries beneath them.
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, of the accelerator or of the machine: less at once may fit."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY)


class WeightsMissing(ExpectedError, FileNotFoundError):
    """Weights that are not on this machine, not whole, or of another kind; the message says what to do."""


class DeviceMissing(ExpectedError, ValueError):
    """A device that torch does not know, or that this machine does not have."""


class ModelUnavailable(ExpectedError, OSError):
    """A model that cannot be loaded, or a server that does not answer; the message says what to do."""


def is_of_the_machine(error: BaseException) -> bool:
    """Whether any other input would have failed too.

    That is: a file, disk, server or library that is missing (an OSError that the system gave a number, a
    ConnectionError, an ImportError), or an accelerator that answers nothing more after an error of CUDA. Decoders of
    damaged images raise OSError without a number.
    """
    if is_out_of_memory(error):
        return False
    if isinstance(error, OSError):
        return error.errno is not None or isinstance(error, ConnectionError | FileNotFoundError | ModelUnavailable)
    return isinstance(error, ImportError) or is_accelerator_lost(error)


def is_accelerator_lost(error: BaseException) -> bool:
    """Whether the accelerator answers this process nothing more; another process may well go on with it."""
    # By name, for torch is not imported to look at an error.
    lost = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    return not is_out_of_memory(error) and (lost or "CUDA error" in str(error))


def not_numbers(made: str, model: str, dtype: str) -> FloatingPointError:
    """What to raise for what a model `made` of numbers that are none: it overflowed, or its weights are damaged."""
    return FloatingPointError(
        f"The model {model!r} made {made} that are not numbers in {dtype}: set the field `dtype` to bfloat16 or "
        "float32; if it is one of them, the weights are damaged."
    )
