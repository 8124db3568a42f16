import json
import random
import shutil
from collections import Counter

import pytest
import torch
from pydantic import ValidationError

from resources.loading import weights
from resources.miniature.scenes import parse_caption, random_caption
from resources.miniature.train_prompt_rewriter import PROMPT
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings, SeededSampler

MODEL = "miniature:prompt_rewriter"
SETTINGS = PromptRewriterSettings(model=MODEL, prompt=PROMPT, max_new_tokens=32)
# Prompts of different lengths, so that batches need padding.
CAPTIONS = ["a red ball on the grass", "a blue boat and a green tree on the sand", "a pink ice cream on the snow"] * 2
SEEDS = list(range(100, 106))


@pytest.fixture(scope="module")
def folder():
    return weights.locate(MODEL)


@pytest.fixture(scope="module")
def rewriter():
    return PromptRewriter(SETTINGS)


def changed(**fields):
    return PromptRewriter(SETTINGS.model_copy(update=fields))


def test_one_noun_changes(rewriter):
    rng = random.Random(0)
    captions = [random_caption(rng) for _ in range(32)]
    valid = 0
    for caption, answer in zip(captions, rewriter.rewrite(captions, range(32)), strict=True):
        assert answer.startswith("replace ")
        objects, background = parse_caption(caption)
        rewritten = parse_caption(answer.rpartition(" : ")[2])
        if rewritten is not None and len(rewritten[0]) == len(objects):
            kept_colours = [thing.colour for thing in rewritten[0]] == [thing.colour for thing in objects]
            changes = sum(new.name != old.name for new, old in zip(rewritten[0], objects, strict=True))
            valid += kept_colours and changes == 1 and rewritten[1] == background
    assert valid >= 0.9 * len(captions)


def test_an_answer_depends_on_its_own_seed_and_not_on_its_neighbours(rewriter):
    together = rewriter.rewrite(CAPTIONS, SEEDS)
    assert changed(batch_size=1).rewrite(CAPTIONS, SEEDS) == together
    assert changed(batch_size=4).rewrite(CAPTIONS[::-1], SEEDS[::-1]) == together[::-1]
    assert len(set(rewriter.rewrite([CAPTIONS[0]] * 10, range(10)))) > 3
    assert len(set(rewriter.rewrite([CAPTIONS[0]] * 3, [2**64 - 1] * 3))) == 1


def test_greedy_answers_need_no_seed_and_do_not_depend_on_their_neighbours():
    greedy = changed(temperature=0)
    together = greedy.rewrite(CAPTIONS, SEEDS)
    assert greedy.rewrite(CAPTIONS, [0] * 6) == together
    assert changed(temperature=0, batch_size=1).rewrite(CAPTIONS, SEEDS) == together


def test_the_answer_is_only_what_is_new_and_is_cut_off():
    assert changed(max_new_tokens=1).rewrite(CAPTIONS[:2], SEEDS[:2]) == ["replace", "replace"]
    assert changed(max_new_tokens=3, temperature=0).rewrite(["a red ball on the grass"], [0]) == ["replace ball with"]


def test_braces_in_prompt_and_caption_mean_themselves():
    braces, bare = changed(prompt="{} {caption} {0}"), changed(prompt="{caption}")
    assert braces.settings.question("a {caption} b") == bare.settings.question("{} a {caption} b {0}")
    assert braces._prompt("{} {0}") == bare._prompt("{} {0}").replace("{{", "{")


def test_a_model_without_a_chat_template_is_given_plain_text(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink()
    plain = changed(model=str(tmp_path / "plain"))
    question = plain.settings.question("a red ball")
    assert plain._prompt(question) == question == PROMPT.replace("{caption}", "a red ball")
    assert len(plain.rewrite(CAPTIONS, SEEDS)) == len(CAPTIONS)


def test_generation_settings_that_come_with_a_model_shape_no_answer(rewriter, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "opinionated")
    file = tmp_path / "opinionated" / "generation_config.json"
    own = json.loads(file.read_text(encoding="utf-8"))
    opinions = {"do_sample": True, "temperature": 0.1, "top_k": 1, "repetition_penalty": 5.0, "max_new_tokens": 3}
    file.write_text(json.dumps(own | opinions), encoding="utf-8")
    opinionated = changed(model=str(tmp_path / "opinionated"))
    assert opinionated.rewrite(CAPTIONS, SEEDS) == rewriter.rewrite(CAPTIONS, SEEDS)


def test_half_precision_gives_mostly_the_same_answers(rewriter):
    same = zip(rewriter.rewrite(CAPTIONS, SEEDS), changed(dtype="bfloat16").rewrite(CAPTIONS, SEEDS), strict=True)
    assert sum(one == other for one, other in same) >= len(CAPTIONS) / 2


def test_no_captions_have_no_answers(rewriter):
    assert rewriter.rewrite([], []) == []


def test_a_prompt_without_a_place_for_the_caption_is_an_error():
    with pytest.raises(ValidationError, match=r"must contain \{caption\}"):
        PromptRewriterSettings(model=MODEL, prompt="rewrite this")


class TestSeededSampler:
    PROBABILITIES = torch.tensor([0.5, 0.2, 0.2, 0.08, 0.02])
    ROWS = 20_000

    def shares(self, temperature=1.0, top_p=1.0):
        """How often each token is drawn as the second of an answer, each row by its own seed."""
        settings = SETTINGS.model_copy(update={"temperature": temperature, "top_p": top_p})
        sampler = SeededSampler(settings, range(self.ROWS), prompt_length=4, device="cpu")
        scores = self.PROBABILITIES.log().expand(self.ROWS, -1)
        drawn = sampler(torch.zeros(self.ROWS, 5, dtype=torch.long), scores)
        assert (drawn.isfinite().sum(1) == 1).all()
        counts = Counter(drawn.argmax(1).tolist())
        return torch.tensor([counts[token] / self.ROWS for token in range(5)])

    def test_tokens_are_drawn_by_their_probabilities(self):
        torch.testing.assert_close(self.shares(), self.PROBABILITIES, atol=0.01, rtol=0)

    def test_a_low_temperature_sharpens_them(self):
        sharpened = self.PROBABILITIES.square() / self.PROBABILITIES.square().sum()
        torch.testing.assert_close(self.shares(temperature=0.5), sharpened, atol=0.01, rtol=0)

    def test_top_p_leaves_the_unlikely_out_and_equals_together(self):
        kept = torch.tensor([0.5, 0.2, 0.2, 0, 0]) / 0.9
        torch.testing.assert_close(self.shares(top_p=0.6), kept, atol=0.01, rtol=0)
        torch.testing.assert_close(self.shares(top_p=0.3), torch.tensor([1.0, 0, 0, 0, 0]))

    def test_each_token_of_an_answer_is_drawn_anew(self):
        sampler = SeededSampler(SETTINGS, [7], prompt_length=0, device="cpu")
        scores = torch.zeros(1, 50)
        drawn = [sampler(torch.zeros(1, step, dtype=torch.long), scores).argmax().item() for step in range(20)]
        assert len(set(drawn)) > 5
