"""The commands that serve a model in OpenAI's protocol, by the name of the engine.

Every option stands in the documentation of vLLM and in the sources of SGLang 0.5.23, as do the addresses that
`resources.serving.engine` asks; neither was run here, for want of a card. `transformers serve` was, and is by tests.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from resources.loading.failures import ModelUnavailable
from resources.loading.settings import ChatModelSettings
from resources.serving.started import HOST


def _vllm(folder: Path, settings: ChatModelSettings, port: int) -> list[str]:
    told = ["--host", HOST, "--port", str(port), "--dtype", settings.dtype, "--served-model-name", settings.model]
    return [_program("vllm"), "serve", str(folder), *told]


def _sglang(folder: Path, settings: ChatModelSettings, port: int) -> list[str]:
    told = ["--host", HOST, "--port", str(port), "--dtype", settings.dtype, "--served-model-name", settings.model]
    return [sys.executable, "-m", "sglang.launch_server", "--model-path", str(folder), *told]


def _transformers(folder: Path, settings: ChatModelSettings, port: int) -> list[str]:
    told = ["--host", HOST, "--port", str(port), "--dtype", settings.dtype]
    return [_program("transformers"), "serve", str(folder), *told]


COMMANDS: Mapping[str, Callable[[Path, ChatModelSettings, int], list[str]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "transformers": _transformers,
}

CALLED_BY_FOLDER = ("transformers",)
"""Engines that know a model by where it lies, and take no other name."""


def _program(name: str) -> str:
    """Beside this Python, else on the path. Raises ModelUnavailable."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise ModelUnavailable(f"The command {name} is not installed here: install it, or leave out `serve`.")
    return found
