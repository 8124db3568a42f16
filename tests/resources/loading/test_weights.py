import hashlib
import json
import os
from pathlib import Path

import pytest

from resources.loading import weights


def write(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache that holds `team/model` at the branch main, as its own library lays it out."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--team--model"
    commit = "0123456789abcdef0123456789abcdef01234567"
    write(repository / "refs" / "main", commit.encode())
    content = b"from the hub"
    blob = write(repository / "blobs" / hashlib.sha256(content).hexdigest(), content)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    write(snapshot / "config.json", b"{}")
    return cache


def test_a_local_folder_or_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = write(tmp_path / "sam_vit_b.pth")
    assert weights.locate(str(tmp_path)) == tmp_path
    assert weights.locate(str(file)) == file


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "models" / "model.safetensors")
    assert weights.locate("~/models") == tmp_path / "models"


def test_miniature_weights_come_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MINIATURE_FOLDER", tmp_path)
    write(tmp_path / "captioner" / "model.safetensors")
    (tmp_path / "segmenter").mkdir()
    assert weights.locate("miniature:captioner") == tmp_path / "captioner"
    for role in ("segmenter", "../captioner", "", "nobody"):
        with pytest.raises(FileNotFoundError, match=r"present: captioner\): correct the field `model`"):
            weights.locate(f"miniature:{role}")


def test_a_hub_model_is_found_in_the_cache(hub_cache: Path) -> None:
    folder = weights.locate("team/model")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert weights.locate("team/model", "main") == folder
    assert weights.locate("team/model", folder.name) == folder


@pytest.mark.parametrize(
    ("model", "revision", "command"),
    [
        ("team/other", None, "`imgdiff models pull` (or `hf download team/other`)"),
        ("team/model", "v2", "`hf download team/model --revision v2`"),
    ],
)
def test_a_hub_model_that_is_not_there(hub_cache: Path, model: str, revision: str | None, command: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        weights.locate(model, revision)
    message = str(caught.value)
    assert repr(model) in message
    assert str(hub_cache) in message
    assert command in message
    assert "\n" not in message


@pytest.mark.parametrize("model", ["/no/such/folder", "./missing", "a/b/c", "two words"])
def test_a_path_that_does_not_exist(model: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"There are no weights at .*: correct the path"):
        weights.locate(model)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    write(tmp_path / "config.json")
    with pytest.raises(FileNotFoundError, match="holds no weight files"):
        weights.locate(str(tmp_path))


def write_pipeline(folder: Path, *components: str) -> None:
    parts = {name: ["diffusers", "Model"] for name in components}
    write(folder / "model_index.json", json.dumps({"_class_name": "Pipeline", **parts}).encode())


def test_size_counts_each_set_of_weights_once(tmp_path: Path) -> None:
    write_pipeline(tmp_path, "unet", "vae")
    write(tmp_path / "checkpoint_of_everything.safetensors", b"x" * 1000)
    write(tmp_path / "unet" / "model.safetensors", b"x" * 8)
    write(tmp_path / "unet" / "model.fp16.safetensors", b"x" * 4)
    write(tmp_path / "unet" / "pytorch_model.bin", b"x" * 8)
    write(tmp_path / "vae" / "model.fp16.safetensors", b"x" * 2)
    assert weights.size(tmp_path) == 10
    write(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", b"x" * 4)
    assert weights.size(tmp_path, "float16") == 6
    assert weights.size(write(tmp_path / "sam.pth", b"x" * 3)) == 3


# As release 0.1.0 computed them.
MINIATURE_DIGESTS = {
    "prompt_rewriter": "e399b1ff84e4f25a30fa9d7a8f5c0fd3f71a8e6ea622e650702bc96cb875f0f7",
    "pair_generator": "17ce02159d7f4819c8d847b3c09142b96987d015eac6d07638cd1cd8d699cc84",
    "image_text_encoder": "0dc21bae8a6fc105a5de5b8ac61e70fe4ee4afabc2b0a6e2b94de1ebe14b860c",
    "image_text_matcher": "9d6946b110b224c2c42371018059e10b2bcf8581f896798b69bfe50dbef75aa8",
    "segmenter": "40ca2d08f2848b24ec3edd682a2f5889b89690350f7d96643f7177ad72baa1ac",
    "captioner": "ef336c5db23844d2741c289f584f8e98f6331772ab0b6bf3a757618e20af1576",
    "inpainter": "17a6e4d00ef3240fd83d0d63af7ca0f46a2f40cd0a4f5748b34f6d6a93008e58",
}


class TestDigest:
    @pytest.mark.parametrize("role", MINIATURE_DIGESTS)
    def test_of_the_shipped_weights_is_kept(self, role: str) -> None:
        assert weights.digest(weights.locate(f"miniature:{role}")) == MINIATURE_DIGESTS[role]

    def test_does_not_depend_on_where_the_folder_is(self, tmp_path: Path) -> None:
        for copy in ("a", "b"):
            write(tmp_path / copy / "config.json", b"{}")
            write(tmp_path / copy / "part" / "model.safetensors", b"weights")
        assert weights.digest(tmp_path / "a") == weights.digest(tmp_path / "b")

    @pytest.mark.parametrize("name", ["config.json", "part/model.safetensors"])
    def test_depends_on_every_file(self, tmp_path: Path, name: str) -> None:
        write(tmp_path / "config.json", b"{}")
        write(tmp_path / "part" / "model.safetensors", b"weights")
        before = weights.digest(tmp_path)
        assert weights.digest(tmp_path) == before
        write(tmp_path / "README.md")
        assert weights.digest(tmp_path) == before
        write(tmp_path / name, b"other content")
        assert weights.digest(tmp_path) != before

    def test_depends_on_names(self, tmp_path: Path) -> None:
        file = write(tmp_path / "model.safetensors")
        before = weights.digest(tmp_path)
        file.rename(tmp_path / "model-2.safetensors")
        assert weights.digest(tmp_path) != before

    def test_sees_a_change_of_the_same_size(self, tmp_path: Path) -> None:
        file = write(tmp_path / "model.safetensors", b"before")
        before = weights.digest(file)
        write(file, b"after!")
        os.utime(file, ns=(0, 0))
        assert weights.digest(file) != before

    def test_reads_no_file_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "model.safetensors", os.urandom(64))
        before = weights.digest(tmp_path)
        monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert weights.digest(tmp_path) == before

    @pytest.mark.parametrize(
        ("loaded", "beside"),
        [
            ("model.safetensors", "model.fp16.safetensors"),
            ("model.safetensors", "pytorch_model.bin"),
            ("model.safetensors", "pytorch_model-00001-of-00002.bin"),
            ("model.safetensors", "pytorch_model.bin.index.json"),
            ("model.safetensors", "model-00001-of-00002.safetensors"),
            ("model.safetensors", "consolidated.safetensors"),
            ("model.safetensors", "original/consolidated.00.pth"),
            ("model.safetensors", "onnx/config.json"),
            ("model-00001-of-00002.safetensors", "model.fp16-00001-of-00002.safetensors"),
            ("model-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"),
            ("model-00001-of-00002.safetensors", "pytorch_model.bin"),
            ("model.fp16.safetensors", "pytorch_model.bin"),
            ("pytorch_model.bin", "tf_model.h5"),
            ("pytorch_model.bin", "training_args.bin"),
        ],
    )
    def test_does_not_depend_on_what_is_never_loaded(self, tmp_path: Path, loaded: str, beside: str) -> None:
        write(tmp_path / "config.json", b"{}")
        write(tmp_path / loaded)
        before = weights.digest(tmp_path)
        write(tmp_path / beside, b"{}")
        assert weights.digest(tmp_path) == before
        write(tmp_path / loaded, b"other weights")
        assert weights.digest(tmp_path) != before

    @pytest.mark.parametrize("index", ["model.safetensors.index.json", "tokenizer.json", "chat_template.jinja"])
    def test_depends_on_the_configurations_beside_what_is_loaded(self, tmp_path: Path, index: str) -> None:
        for part in (1, 2):
            write(tmp_path / f"model-0000{part}-of-00002.safetensors")
        before = weights.digest(tmp_path)
        write(tmp_path / index, b"{}")
        assert weights.digest(tmp_path) != before

    def test_of_open_clip_s_format(self, tmp_path: Path) -> None:
        write(tmp_path / "open_clip_config.json", b"{}")
        write(tmp_path / "open_clip_model.safetensors")
        before = weights.digest(tmp_path)
        for beside in ("model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.safetensors"):
            write(tmp_path / beside, b"the same again")
        assert weights.digest(tmp_path) == before

    def test_of_a_pipeline_is_of_the_precision_that_is_loaded(self, tmp_path: Path) -> None:
        write_pipeline(tmp_path, "unet", "text_encoder", "scheduler")
        write(tmp_path / "scheduler" / "scheduler_config.json", b"{}")
        for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
            write(tmp_path / part / "config.json", b"{}")
            write(tmp_path / part / f"{name}.fp16.safetensors", b"half")
        half = weights.digest(tmp_path, "float16")
        assert weights.digest(tmp_path, "bfloat16") == half, "there is no other"
        write(tmp_path / "everything.safetensors", b"full")
        write(tmp_path / "vae_1_0" / "config.json", b"{}")
        write(tmp_path / "vae_1_0" / "diffusion_pytorch_model.safetensors", b"full")
        assert weights.digest(tmp_path, "float16") == half
        for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
            write(tmp_path / part / f"{name}.safetensors", b"full")
        assert weights.digest(tmp_path, "float16") == half
        full = weights.digest(tmp_path, "bfloat16")
        assert full == weights.digest(tmp_path) != half
        for file in tmp_path.rglob("*.fp16.safetensors"):
            file.unlink()
        assert weights.digest(tmp_path) == full

    def test_of_a_folder_without_known_names_is_of_all_its_files(self, tmp_path: Path) -> None:
        write(tmp_path / "mine.safetensors")
        before = weights.digest(tmp_path)
        write(tmp_path / "deeper" / "more.pt")
        assert weights.digest(tmp_path) != before

    def test_of_a_hub_model_is_that_of_its_files(self, hub_cache: Path, tmp_path: Path) -> None:
        write(tmp_path / "copy" / "model.safetensors", b"from the hub")
        write(tmp_path / "copy" / "config.json", b"{}")
        assert weights.digest(weights.locate("team/model")) == weights.digest(tmp_path / "copy")


def save_tensors(path: Path, *shapes: tuple[int, ...]) -> Path:
    import torch
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({str(number): torch.zeros(shape).half() for number, shape in enumerate(shapes)}, path)
    return path


def test_memory_is_by_the_type_the_weights_are_loaded_in(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model-00001-of-00002.safetensors", (3, 4), ())
    save_tensors(tmp_path / "model-00002-of-00002.safetensors", (7,))
    assert (weights.memory(tmp_path, "bfloat16"), weights.memory(tmp_path, "float32")) == (40, 80)


def test_pickled_weights_are_taken_for_half_precision(tmp_path: Path) -> None:
    file = write(tmp_path / "sam.pth", b"x" * 100)
    assert (weights.memory(file, "float16"), weights.memory(file, "float32")) == (100, 200)


def write_index(folder: Path, suffix: str = "safetensors") -> list[str]:
    shards = [f"model-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    index = {"weight_map": {str(number): shard for number, shard in enumerate(shards)}}
    write(folder / f"model.{suffix}.index.json", json.dumps(index).encode())
    return shards


def test_an_interrupted_download_is_not_taken_for_a_model(hub_cache: Path) -> None:
    snapshot = next(hub_cache.glob("*/snapshots/*"))
    first, second = write_index(snapshot)
    write(snapshot / first)
    with pytest.raises(
        FileNotFoundError, match=rf"not whole .*\({second} is missing\): `imgdiff models pull` goes on"
    ):
        weights.locate("team/model")
    write(snapshot / second)
    assert weights.locate("team/model") == snapshot


def test_of_several_formats_one_is_enough(tmp_path: Path) -> None:
    shards = write_index(tmp_path, "bin")
    assert weights.missing_files(tmp_path) == shards
    write(tmp_path / "model.safetensors")
    assert weights.missing_files(tmp_path) == []


def test_a_damaged_pipeline_is_told_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "model_index.json", b"half of it: {")
    with pytest.raises(FileNotFoundError, match=r"model_index\.json is damaged: remove it, and fetch it again"):
        weights.locate(str(tmp_path))


def test_a_pipeline_without_one_of_its_parts_is_not_whole(tmp_path: Path) -> None:
    parts = {"_class_name": "P", "unet": ["diffusers", "U"], "scheduler": ["diffusers", "S"], "none": [None, None]}
    write(tmp_path / "model_index.json", json.dumps({**parts, "vae": ["diffusers", "V"]}).encode())
    write(tmp_path / "unet" / "config.json", b"{}")
    write(tmp_path / "scheduler" / "scheduler_config.json", b"{}")
    assert weights.missing_files(tmp_path) == ["unet", "vae"]
    for part in ("unet", "vae"):
        write(tmp_path / part / "config.json", b"{}")
        write(tmp_path / part / "model.safetensors")
    assert weights.missing_files(tmp_path) == []
