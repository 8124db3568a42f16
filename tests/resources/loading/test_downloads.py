"""Fetching weights, from a server on loopback that speaks as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from resources.loading import downloads, weights
from resources.loading.downloads import DownloadFailed, fetch, is_remote
from resources.loading.licences import UNSTATED, licence_of
from tests.hub import COMMIT, GATED, Hub

LARGE = 12 << 20
"""A little more than what huggingface_hub writes at once: only what is written is gone on with."""

PROGRAM = """
import json, sys
from resources.loading.downloads import DownloadFailed, fetch
from resources.loading.weights import locate
for arguments in json.loads(sys.argv[1]):
    try:
        fetched = fetch(*arguments)
        print(json.dumps([str(fetched.path), fetched.commit, str(locate(*arguments[:2]))]))
    except DownloadFailed as error:
        print(json.dumps(str(error)))
"""


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    chat = write(
        root / "chat",
        {
            "config.json": b"{}",
            "tokenizer.model": b"t",
            "model.safetensors": os.urandom(LARGE),
            "pytorch_model.bin": b"the same again",
            "original/consolidated.pth": b"and again",
            "modeling.py": b"raise SystemExit",
            "README.md": b"---\nlicense: mit\n---\n# A model\n",
        },
    )
    index = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "U"], "extra": [None, None]}
    pipeline = write(
        root / "pipeline",
        {
            "model_index.json": json.dumps(index).encode(),
            "unet/config.json": b"{}",
            "unet/diffusion_pytorch_model.safetensors": b"full",
            "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
            "unet/model.onnx": b"other",
            "everything.safetensors": b"full",
            "vae_1_0/diffusion_pytorch_model.safetensors": b"older",
        },
    )
    empty = write(root / "empty", {"README.md": b"nothing"})
    served = Hub({"team/chat": chat, "team/pipeline": pipeline, "team/empty": empty, GATED: chat})
    with served.serving():
        yield served


def fetch_all(hub: Hub, home: Path, *arguments: tuple[Any, ...], **environment: str) -> list[Any]:
    """What `fetch` gives for each of `arguments` in a process of its own: path, commit, where found; or why not."""
    variables = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_only_what_is_loaded_is_fetched_and_only_once(hub: Hub, tmp_path: Path) -> None:
    hub.fetched()
    (chat, pipeline) = fetch_all(hub, tmp_path, ("team/chat", "main"), ("team/pipeline", COMMIT, "float16"))
    for path, commit, found in (chat, pipeline):
        assert path == found
        assert commit == COMMIT == Path(path).name
    files = {"config.json", "tokenizer.model", "model.safetensors", "README.md"}
    assert {file.name for file in Path(chat[0]).iterdir()} == files
    files = {file.relative_to(pipeline[0]).as_posix() for file in Path(pipeline[0]).rglob("*") if file.is_file()}
    assert files == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"}
    assert "model.safetensors" in hub.fetched()
    fetch_all(hub, tmp_path, ("team/chat", "main"))
    assert not hub.fetched()


def test_the_card_of_a_model_that_was_fetched_without_it_is_fetched_alone(hub: Hub, tmp_path: Path) -> None:
    ((path, *_),) = fetch_all(hub, tmp_path, ("team/chat", "main"))
    assert licence_of(path) == "mit"
    before = weights.digest(Path(path))
    # As earlier releases left it.
    (Path(path) / "README.md").resolve().unlink()
    (Path(path) / "README.md").unlink()
    assert licence_of(path) == "not known without its card, which `imgdiff models pull` fetches"
    hub.fetched()
    fetch_all(hub, tmp_path, ("team/chat", "main"))
    assert hub.fetched() == {"README.md"}
    assert licence_of(path) == "mit"
    assert weights.digest(Path(path)) == before


def test_a_model_without_a_card_is_not_said_to_have_one(hub: Hub, tmp_path: Path) -> None:
    ((path, *_),) = fetch_all(hub, tmp_path, ("team/pipeline",))
    assert licence_of(path) == UNSTATED


def test_a_card_that_cannot_be_fetched_fails_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.refused = {"README.md"}
    try:
        ((path, commit, _),) = fetch_all(hub, tmp_path, ("team/chat",))
    finally:
        hub.refused = set()
    assert commit == COMMIT
    assert not (Path(path) / "README.md").exists()


def test_a_broken_connection_goes_on_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.fetched()
    hub.cut = {"model.safetensors": LARGE - 1000}
    ((path, _, _),) = fetch_all(hub, tmp_path, ("team/chat",))
    ranges = [asked for name, asked in hub.asked if name == "model.safetensors"]
    assert ranges[0] is None
    assert int(ranges[1].removeprefix("bytes=").rstrip("-")) >= 10 << 20
    assert (Path(path) / "model.safetensors").read_bytes() == (
        hub.folders["team/chat"] / "model.safetensors"
    ).read_bytes()


def test_what_cannot_be_fetched_is_told_with_what_to_do(hub: Hub, tmp_path: Path) -> None:
    missing, gated, revision, empty = fetch_all(
        hub, tmp_path, ("team/none",), (GATED,), ("team/chat", "v9"), ("team/empty",)
    )
    assert missing.startswith(
        f"team/none: {hub.address} knows no such model, or not to you: correct the field `model`"
    )
    assert gated == f"{GATED}: its owners ask for consent. Give it at {hub.address}/{GATED}, then `hf auth login`."
    assert revision == "team/chat at v9: there is no such branch, tag or commit: correct the field `revision`."
    assert empty == "team/empty: the repository holds no weights that diffusers, transformers or open_clip load."


def test_without_a_network_the_error_says_how_to_bring_the_weights(hub: Hub, tmp_path: Path) -> None:
    (reason,) = fetch_all(hub, tmp_path, ("team/chat",), HF_HUB_OFFLINE="1")
    assert reason.startswith("team/chat: http://127.0.0.1:")
    assert "did not deliver it (" in reason
    assert f"copy the folder {tmp_path / 'hub'} from one that has fetched it" in reason


@pytest.mark.parametrize("error", [httpx2.ConnectError("no route"), httpx2.ReadTimeout("slow"), OSError("disk full")])
def test_a_network_that_fails_is_told_too(error: Exception) -> None:
    with (
        pytest.raises(DownloadFailed, match=rf"team/chat: .* did not deliver it \({error}\)"),
        downloads._hub_errors_explained("team/chat", None),
    ):
        raise error


def test_what_is_on_this_machine_is_not_fetched(tmp_path: Path) -> None:
    assert is_remote("team/chat")
    assert is_remote("sam_vit_b_01ec64.pth")
    assert not is_remote("miniature:captioner")
    assert not is_remote(str(tmp_path))
    assert not is_remote(str(tmp_path / "mistyped"))


class TestCheckpoint:
    """The files that Segment Anything is published as."""

    @pytest.fixture
    def name(self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """A small file by the name its content gives it, as theirs do."""
        content = os.urandom(3 << 20)
        name = f"sam_vit_b_{hashlib.md5(content).hexdigest()[:6]}.pth"
        monkeypatch.setattr(weights, "CHECKPOINTS", (name,))
        monkeypatch.setattr(downloads, "CHECKPOINT_URL", hub.address)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        hub.folders[name] = write(tmp_path, {"checkpoint": content}) / "checkpoint"
        hub.asked.clear()
        return name

    def test_it_lies_where_pytorch_keeps_checkpoints(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="fetch it with `imgdiff models pull`"):
            weights.locate(name)
        assert fetch(name).path == weights.locate(name) == tmp_path / "torch" / "hub" / "checkpoints" / name
        assert fetch(name).path.read_bytes() == (tmp_path / "checkpoint").read_bytes()

    def test_an_interrupted_download_goes_on(self, name: str, hub: Hub, tmp_path: Path) -> None:
        hub.cut = {"checkpoint": 2 << 20}
        with pytest.raises(DownloadFailed, match=r"did not deliver it .* The same command goes on"):
            fetch(name)
        assert fetch(name).path.read_bytes() == (tmp_path / "checkpoint").read_bytes()
        assert [asked for _, asked in hub.asked] == [None, f"bytes={2 << 20}-"]

    def partial(self, name: str, content: bytes) -> None:
        weights.checkpoint_folder().mkdir(parents=True)
        (weights.checkpoint_folder() / f"{name}.partial").write_bytes(content)

    def test_one_that_was_stopped_at_its_very_end_is_whole(self, name: str, hub: Hub, tmp_path: Path) -> None:
        whole = (tmp_path / "checkpoint").read_bytes()
        self.partial(name, whole)
        assert fetch(name).path.read_bytes() == whole
        assert not hub.asked, "nothing of it is fetched again"

    @pytest.mark.parametrize("kept", [0, None], ids=["another file", "the file and more"])
    def test_one_that_is_too_long_begins_anew(self, name: str, kept: int | None, hub: Hub, tmp_path: Path) -> None:
        whole = (tmp_path / "checkpoint").read_bytes()
        self.partial(name, whole[:kept] + b"x" * (4 << 20))
        assert fetch(name).path.read_bytes() == whole
        assert [asked for _, asked in hub.asked] == [None]

    def test_another_file_by_its_name_is_refused(self, name: str, hub: Hub, tmp_path: Path) -> None:
        (tmp_path / "checkpoint").write_bytes(b"not this one")
        with pytest.raises(DownloadFailed, match="is another file"):
            fetch(name)
        with pytest.raises(FileNotFoundError):
            weights.locate(name)
