"""Training the editor, for a few steps: it saves a pipeline that edits, and goes on after an interruption."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resources.editor import Editor, EditorSettings
from resources.miniature import train_editor
from resources.miniature.train_editor import Round

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = ("object_replaced", "background_changed")
    monkeypatch.setattr(train_editor, "ROUNDS", (Round(kinds, 3, 1e-3), Round(kinds, 2, 1e-3)))
    for name, value in (
        ("PAIRS", 6),
        ("BATCH", 2),
        ("CHECKPOINT_EVERY", 2),
        ("CHECKPOINTS", tmp_path / "checkpoints"),
    ):
        monkeypatch.setattr(train_editor, name, value)


def test_it_saves_a_pipeline_that_edits(tmp_path: Path) -> None:
    train_editor.train(tmp_path / "editor")
    assert not list((tmp_path / "checkpoints").iterdir())
    settings = EditorSettings(model=str(tmp_path / "editor"), image_size=64, num_inference_steps=2, device="cpu")
    editor = Editor(settings)
    assert editor.pipeline.unet.config.in_channels == 8
    source = np.full((64, 64, 3), 200, np.uint8)
    (target,) = editor.edit([source], ["replace the red ball with a red cup"], [1])
    assert target.shape == source.shape


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    assemble = train_editor.assemble

    def keep(pipeline: object, editor: train_editor.Editor, tokenizer: object) -> object:
        saved.append([parameter.detach().clone() for parameter in editor.parameters()])
        return assemble(pipeline, editor, tokenizer)  # type: ignore[arg-type]

    monkeypatch.setattr(train_editor, "assemble", keep)
    train_editor.train(tmp_path / "whole")
    loss, calls = train_editor.editing_loss, []

    def power_cut(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return loss(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as interruption:
        interruption.setattr(train_editor, "editing_loss", power_cut)
        with pytest.raises(KeyboardInterrupt):
            train_editor.train(tmp_path / "cut")
    train_editor.train(tmp_path / "cut")
    for wanted, got in zip(*saved, strict=True):
        torch.testing.assert_close(got, wanted)
