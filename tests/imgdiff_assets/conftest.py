"""A small home made by the real stages, over models that draw and recognise scenes without weights."""

import random
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.defs.revisions_once import read_revisions_once
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import SCHEMA, caption_id, shard_keys
from imgdiff_assets.ledger.images import pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import read_table, write_rows
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.tasks import TASKS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.stages.stage import Stage
from resources.installed import offers
from resources.miniature.scenes import BACKGROUNDS, OBJECTS, Scene, SceneObject, caption, draw_scene, parse_caption

# Also where a test makes an instance of Dagster of its own.
read_revisions_once()

HOMES = Path(__file__).parents[1] / "homes"
KEPT = ("a red ball on the grass", "a blue boat and a green tree on the sand", "a yellow house on the snow")
UNKNOWN = "a red quokka on the grass"
UNCHANGED = "a green cup on the floor"
TALKATIVE = "a pink fish on the road"
TWINS = "a white star on the carpet"
STRANGERS = "an orange moon on the sea"
FAILING = "a yellow car on the grass"
OUTLINED = "something with an outline"
HOSTILE = "<b>a red ball</b> [bold]on[/bold] {the} \u202egrass\u202c &amp; 中文 $(rm) %s " + "w" * 700
FIRST = (*KEPT, UNKNOWN, UNCHANGED, TALKATIVE, TWINS, STRANGERS, FAILING, HOSTILE)
SECOND = ("a red tree on the sand", "a blue ball on the sea")
THIRD = ("a pink cup on the snow",)
OVERRIDES = (
    "prompt_pairs.attempts=1",
    "prompt_pairs.answer_pattern='(?s)(?P<caption>.+)'",
    "filtered_pairs.min_similarity=0.7",
    "filtered_pairs.max_similarity=0.9999",
    "bounding_boxes.max_region_similarity=0.97",
    "bounding_boxes.min_match=0.5",
    "bounding_boxes.match_rule=either",
    "bounding_boxes.min_area_fraction=0.002",
    "bounding_boxes.max_area_fraction=1.0",
    "captions.region_question='what is {object} ?'",
    "captions.difference_question='{source_caption}/{target_caption}'",
    "captions.max_caption_similarity=0.9",
    "captions.min_match=0.5",
    "captions.min_agreement=0",
    "removed_pairs.enabled=false",
    "removed_pairs.max_erased_similarity=0.97",
    "removal_captions.region_question='what was here ?'",
    "fine_tune_set.validation_fraction=0.5",
    "max_error_share=1.0",
)


def with_images(path: Path) -> pa.Table:
    """A table of the ledger with its record, and with its images in it, as earlier releases wrote it."""
    return read_table(path, images=True).replace_schema_metadata(pq.read_schema(path).metadata)


class Artist:
    """All roles at once: knows the truth of every scene it drew."""

    def __init__(self) -> None:
        self.drawn: dict[str, Scene] = {}

    def rewrite(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        return [self._rewrite(text, random.Random(seed)) for text, seed in zip(captions, seeds, strict=True)]

    def _rewrite(self, text: str, rng: random.Random) -> str:
        if text == UNCHANGED:
            return text
        if text == TALKATIVE:
            return "\x1b[31mI will replace the fish.\x1b[0m"
        if text == HOSTILE:
            return text.replace("red ball", "red cube")
        objects, background = parse_caption(text) or ((SceneObject("ball", "red"),), "grass")
        index = rng.randrange(len(objects))
        names = [name for name in OBJECTS if name not in {thing.name for thing in objects}]
        changed = [*objects]
        changed[index] = SceneObject(rng.choice(names), objects[index].colour)
        return caption(changed, background)

    def generate(
        self, source_captions: Sequence[str], target_captions: Sequence[str], seeds: Sequence[int]
    ) -> tuple[Pixels, Pixels]:
        pairs = [self._pair(*row) for row in zip(source_captions, target_captions, seeds, strict=True)]
        return np.stack([source for source, _ in pairs]), np.stack([target for _, target in pairs])

    def _pair(self, source: str, target: str, seed: int) -> tuple[Pixels, Pixels]:
        if source == FAILING:
            raise RuntimeError("CUDA out of memory")
        rng = random.Random(seed)
        objects, background = parse_caption(source) or ((SceneObject("ball", "red"),), "grass")
        changed, _ = parse_caption(target) or ((SceneObject("cup", "red"),), "grass")
        if source == TWINS:
            changed = objects
        first = draw_scene(rng, objects, background)
        if source == STRANGERS:
            second = draw_scene(rng, changed, BACKGROUNDS[(BACKGROUNDS.index(background) + 3) % len(BACKGROUNDS)])
            second.image = 255 - second.image
        else:
            second = draw_scene(rng, changed, background, first.layout)
        for scene in (first, second):
            self.drawn[pixel_hash(scene.image)] = scene
        return first.image, second.image

    def encode_images(self, images: Sequence[Pixels]) -> np.ndarray:
        small = [np.asarray(Image.fromarray(image).resize((16, 16)), dtype=np.float32).ravel() for image in images]
        vectors = np.stack(small) - 128
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, int(content_hash(word)[:8], 16) % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def match(self, images: Sequence[Pixels], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(images, texts, strict=True)
        scores = np.array([self._match(image, text) for image, text in pairs], dtype=np.float32)
        return scores, scores

    def _match(self, image: Pixels, text: str) -> float:
        if text == OUTLINED:
            return 0.1 + 0.8 * bool((image.max(axis=2) < 60).any())
        # The same text fits one crop a little better than another.
        finer = len(content_hash(text, pixel_hash(np.asarray(image))).strip("0123"))
        return 0.3 + 0.6 * (int(content_hash(text)[:2], 16) > 64) + finer / 1000

    def erase(self, images: Sequence[Pixels], masks: Sequence[np.ndarray], seeds: Sequence[int]) -> list[Pixels]:
        erased = []
        for image, mask in zip(images, masks, strict=True):
            scene = self.drawn[pixel_hash(image)]
            covered = [(mask & each).sum() for each in scene.masks]
            index = int(np.argmax(covered))
            rest = (*scene.objects[:index], *scene.objects[index + 1 :])
            bare = draw_scene(random.Random(0), rest, scene.background, scene.layout.without(index))
            erased.append(np.where(mask[..., None], bare.image, image))
        return erased

    def propose(self, images: Sequence[Pixels]) -> list[tuple[np.ndarray, np.ndarray]]:
        results = []
        for image in images:
            boxes = self.drawn[pixel_hash(image)].boxes.astype(np.float32)
            # The object, a slightly different box of it, an empty corner, and a speck.
            extra = np.array([[0, 0, 12, 12], [1, 1, 3, 3]], dtype=np.float32)
            results.append((np.concatenate([boxes, boxes + 0.5, extra]), np.ones(2 * len(boxes) + 2)))
        return results

    def answer(self, images: Sequence[Sequence[Pixels]], questions: Sequence[str]) -> list[str]:
        answers = []
        for question in questions:
            if question == "what was here ?":
                answers.append(OUTLINED)
                continue
            source, slash, target = question.partition("/")
            name = question.removeprefix("what is ").removesuffix(" ?")
            answers.append(f"the left image shows {source} and the right image {target}" if slash else f"a {name}")
        return answers


class DrawnModels(LoadedModels):
    """One artist in every role, who remembers all scenes; its identity needs no weight files."""

    artist = Artist()

    def __init__(self, recipe: Recipe, **players: Any) -> None:
        settings = recipe.roles
        super().__init__(settings, {role: lambda role=role: players.get(role, self.artist) for role in settings})

    def identity(self, role: str) -> dict[str, Any]:
        return {**self.settings(role).identity(), "weights": content_hash(role)}


@pytest.fixture(scope="session")
def drawn_recipe() -> Recipe:
    """The miniature recipe with thresholds that fit the artist's scores."""
    recipe = load_recipe("miniature", OVERRIDES)
    known = [words(text) for text in (*FIRST, *SECOND) if text != UNKNOWN]
    prompts = recipe.prompt_pairs.model_copy(update={"known_words": sorted({word for text in known for word in text})})
    return recipe.model_copy(update={"prompt_pairs": prompts})


@pytest.fixture(scope="session")
def drawn_models() -> type[DrawnModels]:
    """`drawn_models(recipe, captioner=...)`: the artist in every role but those that are given."""
    return DrawnModels


RunStages = Callable[..., None]


def materialize_stages(
    home: Home, recipe: Recipe, shards: Sequence[str], names: Sequence[str] | None = None, run_id: str = "run-1"
) -> None:
    """The named stages (default: all of the recipe) over some shards, by the artist."""
    models = DrawnModels(recipe)
    for shard in shards:
        for stage in (stage_of_shard(stage, home, shard) for stage in stages_of(recipe)):
            if names is not None and stage.name not in names:
                continue
            materialize(stage, shard, read_inputs(stage, home, shard), recipe, Ledger(home.ledger), models, run_id)


@pytest.fixture(scope="session")
def run_stages() -> RunStages:
    """`run_stages(home, recipe, shards, stages)`: materialise again, as a test likes."""
    return materialize_stages


def build_home(root: Path, recipe: Recipe) -> Home:
    """Two shards through all stages, and a third that is only ingested."""
    home = Home(root / "home")
    for name, captions in (("first.txt", FIRST), ("second.txt", SECOND), ("third.txt", THIRD)):
        file = root / name
        file.write_text("\n".join(captions) + "\n", encoding="utf-8")
        if HOSTILE in captions:
            # As an earlier release wrote it, which kept characters that are not seen.
            places = enumerate(captions, 1)
            rows = [{"caption_id": caption_id(c), "caption": c, "source": str(file), "line": n} for n, c in places]
            write_rows(home.captions / "shard-000000.parquet", rows, SCHEMA)
        else:
            ingest([file], home)
    materialize_stages(home, recipe, ["shard-000000", "shard-000001"])
    return home


@pytest.fixture(scope="session")
def drawn_home(tmp_path_factory: pytest.TempPathFactory, drawn_recipe: Recipe) -> Home:
    """A home that tests read and leave as it is."""
    return build_home(tmp_path_factory.mktemp("drawn"), drawn_recipe)


@pytest.fixture
def own_home(drawn_home: Home, tmp_path: Path) -> Home:
    """A copy for a test that changes it."""
    return Home(Path(shutil.copytree(drawn_home.root, tmp_path / "home")))


@pytest.fixture(scope="session")
def unpack_home() -> Callable[[Path], Home]:
    """`unpack_home(folder)`: a home as 0.1.0 left it.

    Two drawn shards, one of given pairs that name no objects, and a release.
    """

    def unpack(folder: Path) -> Home:
        with tarfile.open(HOMES / "0.1.0.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        return Home(folder / "home")

    return unpack


@pytest.fixture
def home_of_0_1_0(unpack_home: Callable[[Path], Home], tmp_path: Path) -> Home:
    """One for a test that changes it."""
    return unpack_home(tmp_path / "0.1.0")


@pytest.fixture(scope="session")
def miniature_recipe() -> Recipe:
    """The recipe that is shipped."""
    return load_recipe("miniature")


@pytest.fixture(scope="session")
def miniature_home(tmp_path_factory: pytest.TempPathFactory, miniature_recipe: Recipe) -> Home:
    """A shard of few captions through the whole graph, by Dagster and with the shipped weights; not to be changed."""
    folder = tmp_path_factory.mktemp("miniature")
    captions = DEMO_CAPTIONS.read_text(encoding="utf-8").splitlines()[:3]
    (folder / "captions.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    home = Home(folder / "home")
    ingest([folder / "captions.txt"], home)
    report = run_graph(home, miniature_recipe)
    assert report.failures == []
    return home


@pytest.fixture(scope="session")
def task_recipe(drawn_recipe: Recipe) -> Recipe:
    return override_recipe(drawn_recipe, [f"fine_tune_set.tasks={list(TASKS)}", "fine_tune_set.min_match_margin=0"])


@pytest.fixture(scope="session")
def task_home(
    drawn_home: Home, task_recipe: Recipe, run_stages: RunStages, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """The drawn home with samples of every task; tests leave it as it is."""
    home = Home(Path(shutil.copytree(drawn_home.root, tmp_path_factory.mktemp("tasks") / "home")))
    run_stages(home, task_recipe, ["shard-000000", "shard-000001"], ["captions", "fine_tune_set"])
    return home


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`install_package(name, version, source, {group: entry_point})`: a package of one module, beside all others."""
    modules = []

    def install(name: str, version: str, source: str, entry_points: Mapping[str, str]) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        about = tmp_path / "site" / f"{module}-{version}.dist-info"
        about.mkdir(parents=True)
        (about.parent / f"{module}.py").write_text(source, encoding="utf-8")
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        lines = [f"[{group}]\n{entry_point}\n" for group, entry_point in entry_points.items()]
        (about / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(str(about.parent))
        offers.cache_clear()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    offers.cache_clear()


class CountedModels(LoadedModels):
    """The miniature's models; counts what each is asked for: `{"pair_generator.generate": 6}` pairs, and so on."""

    def __init__(self, recipe: Recipe) -> None:
        shared = shared_models(recipe)
        super().__init__(shared._settings, shared._openers)
        self.calls: Counter[str] = Counter()

    def open(self, role: str) -> Any:
        return _Counted(super().open(role), role, self.calls)


class _Counted:
    def __init__(self, model: Any, role: str, calls: Counter[str]) -> None:
        self._model, self._role, self._calls = model, role, calls

    def __getattr__(self, name: str) -> Any:
        def call(items: Sequence[Any], *others: Any) -> Any:
            self._calls[f"{self._role}.{name}"] += len(items)
            return getattr(self._model, name)(items, *others)

        return call


MEASURED = (
    "a red ball on the grass",
    "a blue boat and a green tree on the sand",
    "a yellow house on the snow",
    "a white star on the carpet",
    "an orange moon and a pink cup on the floor",
    "a green cup on the road",
)


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What a run over some shards did: calls of the models by what they were asked for, rows by measurement."""

    calls: dict[str, int]
    measured: dict[str, int]
    opened: set[str]


class Measured:
    """Real runs of the miniature's models over a few captions."""

    batches_of_three = tuple(f"{role}.batch_size=3" for role in load_recipe("miniature").roles)

    def recipe(self, *overrides: str) -> Recipe:
        return load_recipe("miniature", [*self.batches_of_three, *overrides])

    def ingest(self, root: Path, captions: Sequence[str], shard_size: int = 100) -> Home:
        root.mkdir(exist_ok=True)
        file = root / "captions.txt"
        file.write_text("\n".join(captions) + "\n", encoding="utf-8")
        ingest([file], Home(root / "home"), shard_size=shard_size)
        return Home(root / "home")

    def run(
        self,
        home: Home,
        recipe: Recipe,
        stages: Sequence[Stage] = STAGES,
        run_id: str = "run-1",
        progress: Progress = lambda what, done, total: None,
        again: bool = False,
    ) -> MeasuredRun:
        models, measured = CountedModels(recipe), Counter[str]()
        for shard in shard_keys(home):
            for stage in stages:
                inputs, ledger = read_inputs(stage, home, shard), Ledger(home.ledger)
                record = materialize(
                    stage, shard, inputs, recipe, ledger, models, run_id, progress=progress, again=again
                )
                measured.update({f"{stage.name}.{step}": rows for step, rows in record.calls.items() if rows})
        return MeasuredRun(dict(models.calls), dict(measured), models.opened)


@pytest.fixture(scope="session")
def measured() -> Measured:
    return Measured()


@pytest.fixture(scope="session")
def measured_home(tmp_path_factory: pytest.TempPathFactory, measured: Measured) -> Home:
    """Six captions in one shard through all stages, in batches of three; tests leave it as it is."""
    home = measured.ingest(tmp_path_factory.mktemp("measured"), MEASURED)
    measured.run(home, measured.recipe())
    return home
