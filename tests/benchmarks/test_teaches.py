import math
import random

import numpy as np
import pytest
import torch

from benchmarks.teaches import arms, held_out
from benchmarks.teaches.evaluation import f1, told
from benchmarks.teaches.finetune import BATCH, finetune, grouped, mixed
from benchmarks.teaches.grounding import QUESTIONS, questions
from benchmarks.teaches.model import IGNORED, Asked, Encoder, build_model, load, save
from benchmarks.teaches.packing import by_answer, side_by_side
from benchmarks.teaches.results import effect, power, smallest_seen
from benchmarks.teaches.skills import absent
from resources.miniature.scenes import draw_scene, is_held_out, parse_caption

GREY, WHITE = (np.full((48, 48, 3), value, np.uint8) for value in (90, 255))


@pytest.fixture(scope="module")
def encoder():
    return Encoder()


@pytest.fixture(scope="module")
def model(encoder):
    torch.manual_seed(0)
    return build_model(encoder.processor).eval()


def pair(question, answer):
    return Asked((GREY, WHITE), question, answer)


class TestPacking:
    def test_each_question_is_read_as_if_it_stood_alone(self, encoder, model):
        group = [pair("what is different ?", "a cat ."), pair("same or different ?", "Same."), pair("a ball ?", "no")]
        row = side_by_side(encoder, [group, questions(random.Random(0))])

        with torch.inference_mode():
            packed = model(**row).logits[0]
            alone = [model(**encoder.batch([asked])).logits[0] for asked in group]

        start = row["input_ids"][0].tolist().index(encoder.ids("what")[0])
        for logits in alone:
            length = len(logits) - start
            taken, start_of_next = packed[: len(logits)], length
            torch.testing.assert_close(taken[-length:], logits[-length:], atol=1e-4, rtol=1e-4)
            packed = torch.cat([packed[:start], packed[start + start_of_next :]])

    def test_an_answer_counts_as_much_as_another_of_any_length(self):
        logits = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor([[IGNORED, 4, IGNORED, 1, 2, 3], [IGNORED, IGNORED, IGNORED, IGNORED, 5, IGNORED]])

        class Outputs:
            pass

        outputs = Outputs()
        outputs.logits = logits
        costs = -logits.log_softmax(-1)
        one, long, last = costs[0, 0, 4], (costs[0, 2, 1] + costs[0, 3, 2] + costs[0, 4, 3]) / 3, costs[1, 3, 5]

        assert by_answer(outputs, labels).item() == pytest.approx(((one + long + last) / 3).item(), rel=1e-5)


class TestWhatIsTaught:
    def test_samples_of_the_same_images_stand_together(self):
        turned = Asked((WHITE, GREY), "c", "d")

        assert grouped([pair("a", "b"), turned, pair("e", "f")]) == [[pair("a", "b"), pair("e", "f")], [turned]]

    def test_none_is_taught_twice_before_all_were_and_a_quarter_are_single(self):
        single = [Asked((GREY,), "what is this ?", "grey")]
        groups = [[pair(str(number), "")] for number in range(24)]

        order = mixed(random.Random(1), groups, lambda _: single, steps=6)

        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        assert [batch.count(single) for batch in batches] == [BATCH // 4] * 6
        taught = [group[0].question for group in order if group is not single]
        assert len(taught) == 72
        assert all(taught.count(str(number)) == 3 for number in range(24))
        assert len(set(taught[:24])) == 24
        assert mixed(random.Random(1), [], lambda _: single, steps=2) == [single] * 2 * BATCH

    def test_shuffled_answers_stay_within_their_task(self):
        samples = [("which_image", "same", pair(f"which {n}", "AB"[n % 2])) for n in range(10)]
        samples += [("same_or_different", kind, pair(kind, kind)) for kind in ("same", "nuisance") for _ in range(5)]

        whole = arms.shuffled(lambda _: samples, random.Random(0))
        tenth = arms.corrupted_10(lambda _: samples, random.Random(0))

        assert [asked.question for asked in whole] == [asked.question for *_, asked in samples]
        assert sorted(asked.answer for asked in whole[:10]) == ["A"] * 5 + ["B"] * 5
        assert {asked.answer for asked in whole[10:]} == {"same", "nuisance"}
        # What a nuisance pair is asked is of the same task: else "same" would stay right of all of them.
        assert any(asked.answer != asked.question for asked in whole[10:])
        assert sum(a.answer != b.answer for a, (*_, b) in zip(tenth, samples, strict=True)) <= 2

    def test_all_skills_are_asked_of_one_picture(self):
        asked = questions(random.Random(3))

        assert len(asked) == len(QUESTIONS)
        assert len({each.images[0].tobytes() for each in asked}) == 1
        content = parse_caption(asked[0].answer)
        present = {thing.phrase for thing in content[0]}
        for each in asked:
            if each.question.startswith("is "):
                thing = each.question.removeprefix("is ").removesuffix(" in the image ?")
                assert each.answer == ("yes" if thing in present else "no")

    @pytest.mark.parametrize("near", [0.0, 1.0])
    def test_what_is_not_there_shares_colour_or_kind_with_what_is_only_where_it_is_near(self, near):
        rng = random.Random(5)
        for _ in range(20):
            scene = draw_scene(rng)
            thing = absent(rng, scene, near)

            shared = [thing.name == each.name or thing.colour == each.colour for each in scene.objects]
            assert any(shared) == (near == 1)
            assert thing not in scene.objects


def test_held_out_pairs_show_what_no_training_shows_and_differ_by_what_they_say():
    drawn = held_out.draw(pairs=12, of_skill=4)

    assert [len(drawn.replaced), len(drawn.which), len(drawn.others), len(drawn.lists)] == [12, 12, 12, 4]
    for each, asked in zip(drawn.replaced, drawn.which, strict=True):
        assert all(is_held_out(*parse_caption(caption)) for caption in each.captions[:1])
        ((old, new),) = each.changes
        assert old in each.captions[0]
        assert new in each.captions[1]
        assert old != new
        subject = asked.question.removeprefix("which image shows ").removesuffix(" ?")
        assert subject == {"A": old, "B": new}[asked.answer]
    assert [len(each.changes) for each in drawn.lists] == [0, 1, 2, 0]
    identical = [each.images for each in drawn.others if each.sort == "identical"]
    assert len(identical) == 3
    assert all((first == second).all() for first, second in identical)


class TestScores:
    def test_changes_are_read_out_of_an_answer(self):
        answer = "The left image shows a red ball and the right image shows a blue ice cream."

        assert told(answer) == [("a red ball", "a blue ice cream")]
        assert told("Nothing is different.") == []
        assert f1(told(answer), [("a red ball", "a blue ice cream"), ("a cat", "a cup")]) == pytest.approx(2 / 3)
        assert f1([], []) == 1.0
        assert f1([], told(answer)) == 0.0

    def test_an_effect_has_an_interval_over_seeds_and_a_test_over_items(self):
        found = effect([[1, 1, 1, 0], [1, 1, 0, 0]], [[0, 0, 1, 0], [0, 1, 0, 0]])

        assert (found.only_this, found.only_other, found.p_items) == (3, 0, 0.25)
        # Student's t with one degree of freedom: 12.706 times the standard error of (.5, .25).
        assert found.mean == pytest.approx(0.375)
        assert (found.high - found.mean) == pytest.approx(12.706 * 0.25 / math.sqrt(2) / math.sqrt(2), rel=1e-3)
        assert effect([[1, 0]], [[0, 0]]).low is None

    def test_power_grows_with_items_and_is_what_the_smallest_difference_is_said_to_have(self):
        assert power(0.1, 0.2, 50) < power(0.1, 0.2, 300) < 1
        assert power(0, 0.2, 300) == pytest.approx(0.025, abs=0.001)
        assert power(smallest_seen(0.2, 300), 0.2, 300) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_stock_trainer_teaches_all_but_the_vision_tower(tmp_path, encoder, model):
    save(model, tmp_path / "base")
    group = [pair("what is different ?", "a cat ."), pair("same or different ?", "Same.")]

    taught = finetune(tmp_path / "base", [group] * 2 * BATCH, tmp_path / "trainer", seed=0)

    before, after = load(tmp_path / "base").state_dict(), taught.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("vision_tower" in name for name in changed)
    assert any("language_model" in name for name in changed)
    assert any("projector" in name for name in changed)
    assert all(value.isfinite().all() for value in after.values())
