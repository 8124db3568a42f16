"""Captions that a hazardous rewriter rewrites, and crews of each kind that have it done."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.served_crew import ServedCrew
from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.measurer import HERE, Measurer
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.engine.workers.crew import Crew
from imgdiff_assets.engine.workers.local_crew import LocalCrew
from imgdiff_assets.engine.workers.ray_crew import RayCrew
from imgdiff_assets.engine.workers.team import Team
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.installed import offers
from tests.hazardous_backend import calls, install, write_plan

ROOT = Path(__file__).parents[4]
SHARD = "shard-000000"
CAPTIONS = [f"a red ball and {number} cups on the grass" for number in range(24)]
BATCH = 4


@dataclass
class Shop:
    """A home with captions, and a recipe whose rewriter is hazardous; each run measures all of them, unless told."""

    root: Path
    runs: int = 0

    @property
    def plan(self) -> Path:
        return self.root / "plan"

    def recipe(self) -> Recipe:
        return load_recipe(
            "miniature",
            [
                "prompt_rewriter.backend=hazard",
                f"prompt_rewriter.backend_settings.plan={self.plan}",
                "prompt_rewriter.model=none",
                f"prompt_rewriter.batch_size={BATCH}",
                "prompt_pairs.known_words=[]",
                "max_error_share=1.0",
            ],
        )

    def fresh(self) -> Home:
        """A home of which nothing is measured."""
        self.runs += 1
        file = self.root / "captions.txt"
        file.write_text("\n".join(CAPTIONS), encoding="utf-8")
        home = Home(self.root / f"home-{self.runs}")
        ingest([file], home)
        return home

    def run(
        self,
        measurer: Measurer,
        plan: Mapping[str, str],
        home: Home | None = None,
        progress: Progress = lambda what, done, total: None,
    ) -> Materialization:
        write_plan(self.plan, plan)
        home, recipe, stage = home or self.fresh(), self.recipe(), stage_named("prompt_pairs")
        models, inputs = LoadedModels.shared(recipe.roles), read_inputs(stage, home, SHARD)
        ledger = Ledger(home.ledger)
        return materialize(stage, SHARD, inputs, recipe, ledger, models, "run", progress=progress, measurer=measurer)


class Hired:
    """A team of two, what it said since the test began, and who wants to hear of it at once."""

    team: Team

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.said: list[str] = []
        self.listener: Say = lambda text: None

    def hear(self, text: str) -> None:
        self.said.append(text)
        self.listener(text)


@pytest.fixture(scope="module")
def hazard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package with the rewriter is installed."""
    with pytest.MonkeyPatch.context() as patch:
        site = tmp_path_factory.mktemp("site")
        install(site, patch)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))  # for what Ray starts
        yield
    offers.cache_clear()


@pytest.fixture
def shop(hazard: None, tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.plan.mkdir()
    return made


@pytest.fixture
def unbroken(shop: Shop) -> str:
    """The hash of what one process makes of the captions."""
    return shop.run(HERE, {}).output_hash


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray's own cluster of two nodes on this machine, each with room for one worker."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture(
    scope="module",
    params=["served", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("local", "ray"))],
)
def everyone(
    request: pytest.FixtureRequest, hazard: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hired]:
    """A team of each kind, whose workers are all there."""
    cluster = request.getfixturevalue("cluster") if request.param == "ray" else None
    crews: dict[str, Callable[[], Crew]] = {
        "served": lambda: ServedCrew(2),
        "local": lambda: LocalCrew(2),
        "ray": lambda: RayCrew(2, cluster.address, 1.0, None, "DEFAULT"),
    }
    hired = Hired(cluster)
    hired.team = Team(crews[request.param], hired.hear, pause=0.01)
    warm = Shop(tmp_path_factory.mktemp("warm"))
    warm.plan.mkdir()
    warm.run(hired.team, dict.fromkeys(CAPTIONS, "meet"))
    processes = {process for process, _ in calls(warm.plan)}
    assert len(processes) == 2
    yield hired
    hired.team.close()
    assert not any(map(psutil.pid_exists, processes)), "no worker outlives its team"


@pytest.fixture
def hired(everyone: Hired) -> Iterator[Hired]:
    everyone.said.clear()
    yield everyone
    everyone.listener = lambda text: None
