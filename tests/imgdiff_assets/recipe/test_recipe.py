"""The recipe: every shipped one loads, and every mistake is one sentence that says where it is and what to do."""

import re
import time
from pathlib import Path

import pytest

from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import SHIPPED, shipped_recipes
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.role_models import RoleModels
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

MODELS = "models: {" + ", ".join(f"{role}: {{model: m}}" for role in RoleModels.model_fields) + "}"
MINIMAL = f"name: mine\n{MODELS}\n".replace(
    "prompt_rewriter: {model: m}", 'prompt_rewriter: {model: m, prompt: "{caption}"}'
)


def _write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _refused(folder: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the error: one per mistake."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(_write(folder, text), overrides)
    lines = str(caught.value).splitlines()
    assert not [line for line in lines if "Traceback" in line or "pydantic" in line or "Settings" in line]
    return lines


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe == load_recipe(str(SHIPPED / f"{name}.yaml"))


def test_the_miniature_is_shipped_and_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    assert "miniature" in shipped_recipes()
    assert load_recipe().name == "miniature"


def test_the_environment_names_the_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMGDIFF_RECIPE", _write(tmp_path, MINIMAL))
    assert load_recipe().name == "mine"
    assert load_recipe("miniature").name == "miniature"


def test_every_stage_has_a_section() -> None:
    assert set(STAGE_NAMES) <= set(Recipe.model_fields)


def test_a_minimal_recipe_has_the_papers_thresholds(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, MINIMAL))
    assert (recipe.filtered_pairs.min_similarity, recipe.filtered_pairs.max_similarity) == (0.90, 0.98)
    boxes = recipe.bounding_boxes
    assert (boxes.max_region_similarity, boxes.min_match, boxes.match_score, boxes.match_rule) == (
        *(0.85, 0.35, "itc", "either"),
    )
    assert (boxes.max_overlap, boxes.max_boxes, boxes.min_area_fraction) == (0.5, 5, 1 / 400)
    assert (recipe.captions.max_caption_similarity, recipe.captions.min_match) == (0.85, 0.40)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("filtered_pairs: {min_similarty: 0.5}", r"filtered_pairs.min_similarty: .*did you mean 'min_similarity'\?"),
        ("filterd_pairs: {}", r"filterd_pairs: unknown key 'filterd_pairs'; did you mean 'filtered_pairs'\?"),
        ("xyz: 1", r"xyz: unknown key 'xyz'; known: name, seed, "),
        ("seed: high", r"seed: .*integer.*\(given: 'high'\)"),
        ("seed: -1", r"seed: .*greater than or equal to 0 \(given: -1\)"),
        ("filtered_pairs: {min_similarity: [0.5]}", r"filtered_pairs.min_similarity: .*number.*given: \[0.5\]"),
        ("filtered_pairs: {min_similarity: .nan}", r"filtered_pairs.min_similarity: .*finite number"),
        ("filtered_pairs: {min_similarity: 2}", r"filtered_pairs.min_similarity: .*less than or equal to 1"),
        (
            "filtered_pairs: {min_similarity: 0.9, max_similarity: 0.5}",
            r"min_similarity is larger than max_similarity",
        ),
        ("bounding_boxes: {min_area_fraction: 0.5, max_area_fraction: 0.1}", r"min_area_fraction is larger than"),
        ("filtered_pairs: 3", r"filtered_pairs: should be a section with keys of its own \(given: 3\)"),
        ("filtered_pairs:", r"filtered_pairs: should be a section with keys of its own \(given: None\)"),
        ("captions: {match_score: cosine}", r"captions.match_score: .*'itc' or 'itm' \(given: 'cosine'\)"),
        ("captions: {region_question: 'a {thing}?'}", r"captions.region_question: .*'thing'.*it may use \{x1\}, "),
        ("captions: {difference_question: '{'}", r"captions.difference_question: .*\{source_caption\}, \{target_c"),
        ("prompt_pairs: {answer_pattern: '('}", r"prompt_pairs.answer_pattern: is not a regular expression"),
        ("prompt_pairs: {answer_pattern: '.*'}", r"prompt_pairs.answer_pattern: needs a group \(\?P<caption>"),
        (
            "fine_tune_set: {questions: {difference: []}}",
            r"fine_tune_set.questions: difference: give a list of at least one wording",
        ),
        (
            "fine_tune_set: {questions: {diff: [a]}}",
            r"questions: unknown task 'diff'; did you mean 'difference'",
        ),
        (
            "fine_tune_set: {questions: {difference: ['{box}']}}",
            r"questions: difference: '{box}' cannot be filled .*\{subject\}",
        ),
        ("fine_tune_set: {tasks: [which]}", r"fine_tune_set.tasks: unknown task 'which'; did you mean 'which_image'"),
        ("fine_tune_set: {tasks: []}", r"fine_tune_set.tasks: .*at least 1 item"),
        ("prompt_pairs: {known_words: [yes]}", r"prompt_pairs.known_words.0: .*valid string \(given: True\)"),
        ("1: 2", r"1: Keys should be strings"),
        ("seed: 9223372036854775808", r"seed: is not a whole number of 64 bits \(given: 9223372036854775808\)"),
        ("seed: '99999999999999999999'", r"seed: is not a whole number of 64 bits"),
        ("bounding_boxes: {max_boxes: 0x8000000000000000}", r"bounding_boxes.max_boxes: is not a whole number of 64"),
        ("kept_share: {captions: [.inf, 1]}", r"kept_share.captions.0: .*finite number"),
        ("automation: {shard_size: 1000001}", r"automation.shard_size: .*less than or equal to 1000000"),
        ("automation: {cron: '0 25 * * *'}", r"automation.cron: '25' is no hour, which is 0 to 23"),
        ("review: {critical: [dull]}", r"review.critical: 'dull' is none of review.reasons"),
        ("review: {reasons: [a, a], critical: []}", r"review.reasons: one is named twice"),
        ('review: {reasons: ["a\\u202e"], critical: []}', r"is not 1 to 60 printable characters"),
        ("automation: {cron: '0 0 30 2 *'}", r"automation.cron: there is no day 30 in month 2"),
        (
            "captions: {region_question: '{x1:999999999} is it?'}",
            r"captions.region_question: cannot be filled \('999999999' is no short form of a value\)",
        ),
        ("captions: {difference_question: '{source_caption.__class__}'}", r"difference_question: cannot be filled"),
        ("captions: {region_question: '{x1:{y1}}'}", r"region_question: cannot be filled"),
        (
            "fine_tune_set: {questions: {difference: ['{subject:>99999999999}']}}",
            r"questions: difference: '{subject:>99999999999}' cannot be filled",
        ),
        ("[a]: 2", r"cannot be read as YAML: .*unhashable key.*line 3"),
        ("name: again", r"cannot be read as YAML: the key 'name' is there twice, around line 1"),
        ("bounding_boxes: {max_boxes: 1, max_boxes: 2}", r"the key 'max_boxes' is there twice"),
        ("captions: {", r"cannot be read as YAML"),
        ("captions: !!python/object:os.system {}", r"cannot be read as YAML: could not determine a constructor"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, extra: str, expected: str) -> None:
    (line,) = _refused(tmp_path, MINIMAL + extra + "\n")
    assert "mine.yaml: " in line
    assert re.search(expected, line), line


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("x: &a {b: 1}\n" + "y: [" + "*a, " * 99_000 + "]\n", "y.*: more than 100,000 values"),
        ("x: " + "[" * 20_000, r"x.0.0.* nested more than 20 deep"),
        ("".join(f"key{number}: 1\n" for number in range(30_000)), "more than 1,000 keys"),
        ("".join(f"key{number}: 1\n" for number in range(900)), "and 800 more mistakes"),
        (f"? {'k' * 100_000}\n: 1", "unknown key 'kkk"),
    ],
)
def test_what_would_take_minutes_is_refused_at_once(tmp_path: Path, extra: str, expected: str) -> None:
    started = time.process_time()
    lines = _refused(tmp_path, MINIMAL + extra)
    assert time.process_time() - started < 10, "it took minutes before"
    assert re.search(expected, lines[-1]), lines[-1]
    assert all(len(line) < 500 for line in lines)


@pytest.mark.parametrize("value", [".inf", ".nan", "'inf'", "1e999"])
def test_settings_of_models_are_finite_too(tmp_path: Path, value: str) -> None:
    (line,) = _refused(tmp_path, MINIMAL, f"captioner.timeout_seconds={value}")
    assert re.search(r"models.captioner.timeout_seconds: .*(finite|valid) number", line), line


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    lines = _refused(tmp_path, MINIMAL + "seed: high\ncaptions: {min_mach: 1, crop_padding: -1}\nx: 1\n")
    assert [line.split(": ")[1] for line in lines] == ["seed", "captions.crop_padding", "captions.min_mach", "x"]


def test_unknown_model_settings_and_missing_models(tmp_path: Path) -> None:
    (line,) = _refused(tmp_path, MINIMAL.replace("segmenter: {model: m}", "segmenter: {model: m, points_per_sid: 3}"))
    assert "models.segmenter.points_per_sid: unknown key" in line
    assert "'points_per_side'" in line
    lines = _refused(tmp_path, "name: x\nmodels: {}\n")
    assert len(lines) == sum(field.is_required() for field in RoleModels.model_fields.values())
    assert all(line.endswith("this key is required.") for line in lines)


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "words", "[1, 2]", "3"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (line,) = _refused(tmp_path, text)
    assert "a recipe is a mapping of sections" in line


def test_a_long_value_is_not_repeated_in_full(tmp_path: Path) -> None:
    (line,) = _refused(tmp_path, MINIMAL + f"seed: {'long ' * 400}\n")
    assert len(line) < 300


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nowhere.yaml"), "minature"):
        with pytest.raises(RecipeError, match=r"no such recipe; give a YAML file or one of .*miniature"):
            load_recipe(name)
    with pytest.raises(RecipeError, match="directory"):
        load_recipe(str(tmp_path))
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(RecipeError, match=r"binary\.yaml: cannot be read as YAML: 'utf-8' codec"):
        load_recipe(str(tmp_path / "binary.yaml"))


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", ("seed",), 7),
        ("filtered_pairs.min_similarity=0.85", ("filtered_pairs", "min_similarity"), 0.85),
        (" filtered_pairs.min_similarity = 1e-1 ", ("filtered_pairs", "min_similarity"), 0.1),
        ("captions.match_score=itm", ("captions", "match_score"), "itm"),
        ("prompt_pairs.task_phrases=[a, b c]", ("prompt_pairs", "task_phrases"), ["a", "b c"]),
        ("captions.region_question='what = {object} ?'", ("captions", "region_question"), "what = {object} ?"),
        ("segmenter.points_per_side=4", ("models", "segmenter", "points_per_side"), 4),
        ("models.segmenter.points_per_side=4", ("models", "segmenter", "points_per_side"), 4),
        ("captioner.revision=null", ("models", "captioner", "revision"), None),
        ("captioner.model=org/name", ("models", "captioner", "model"), "org/name"),
    ],
)
def test_overrides_change_one_value(tmp_path: Path, override: str, path: tuple[str, ...], value: object) -> None:
    plain = load_recipe(_write(tmp_path, MINIMAL + "bounding_boxes: {max_boxes: 2}\n"))
    changed = load_recipe(_write(tmp_path, MINIMAL + "bounding_boxes: {max_boxes: 2}\n"), [override])
    assert changed == override_recipe(plain, [override])
    expected = plain.model_dump()
    section = expected
    for part in path[:-1]:
        section = section[part]
    section[path[-1]] = value
    assert changed.model_dump() == expected


def test_the_last_override_counts() -> None:
    assert load_recipe("miniature", ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("min_similarity", r"write section.key=value, as in "),
        ("=3", r"write section.key=value"),
        ("captions..min_match=3", r"write section.key=value"),
        ("filtered.min_similarity=0.5", r"unknown key 'filtered'; did you mean 'filtered_pairs'\?"),
        ("filtered_pairs.min_similarty=0.5", r"did you mean 'min_similarity'\?"),
        ("segmentr.points_per_side=1", r"unknown key 'segmentr'"),
        ("segmenter.points_per_sid=1", r"did you mean 'points_per_side'\?"),
        ("seed.x=3", r"seed is a value, not a section"),
        ("filtered_pairs.min_similarity.x=3", r"filtered_pairs.min_similarity is a value, not a section"),
        ("filtered_pairs={min_similarity: 0.1}", r"filtered_pairs is a section; set its keys one by one"),
        ("segmenter=vit_b", r"models.segmenter is a section"),
        ("filtered_pairs.min_similarity=high", r"min_similarity: .*number.*given: 'high'"),
        ("filtered_pairs.min_similarity=", r"min_similarity: .*number.*given: None"),
        ("filtered_pairs.min_similarity=[", r"'\[' is not a YAML value"),
        ("seed=" + "[" * 10_000, r"is not a YAML value \(0.0"),
        ("seed=99999999999999999999", r"seed: is not a whole number of 64 bits"),
        ("filtered_pairs.min_similarity=0.99999", r"min_similarity is larger than max_similarity"),
    ],
)
def test_a_wrong_override_is_one_sentence_that_blames_the_override(
    tmp_path: Path, override: str, expected: str
) -> None:
    (line,) = _refused(tmp_path, MINIMAL, override)
    assert line.startswith("--set")
    assert re.search(expected, line), line


def test_the_hash_changes_with_every_value() -> None:
    recipe = load_recipe("miniature")
    variants = [
        "seed=9",
        "captions.min_match=0.123",
        "captioner.revision=main",
        "fine_tune_set.questions.difference=[what]",
    ]
    hashes = {override_recipe(recipe, [override]).hash for override in variants}
    assert len({recipe.hash, *hashes}) == 1 + len(variants)
    assert load_recipe("miniature").hash == recipe.hash


@pytest.mark.parametrize(
    "override", ["workers.backend=ray", "workers.count=64", "automation.max_shards_per_run=4", "review.critical=[]"]
)
def test_who_measures_and_when_is_in_no_hash(override: str) -> None:
    recipe = load_recipe("miniature")
    other = override_recipe(recipe, [override])
    assert other != recipe
    assert other.hash == recipe.hash


def test_a_number_of_workers_is_of_this_machine_unless_the_recipe_names_another_place() -> None:
    none, ray = (override_recipe(load_recipe("miniature"), [f"workers.backend={name}"]) for name in ("none", "ray"))
    assert [each.workers.with_count(3).backend for each in (none, ray)] == ["local", "ray"]
    assert none.workers.with_count(None) == none.workers


def test_a_recipe_cannot_be_changed_by_accident() -> None:
    recipe = load_recipe("miniature")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3
