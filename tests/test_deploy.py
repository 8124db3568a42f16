"""What a team copies agrees with what the package has; hadolint and the validators are run by hand."""

from pathlib import Path
from typing import Any

import yaml

from imgdiff_assets.defs.dagster_instance import DAGSTER_YAML
from imgdiff_assets.recipe.worker_settings import WorkersSettings

DEPLOY = Path(__file__).parent.parent / "deploy"
PROJECT = (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8")


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_dagster_s_instance_is_that_of_a_home_but_for_its_storage() -> None:
    shipped = yaml.safe_load(DAGSTER_YAML.read_text(encoding="utf-8"))
    assert load("compose/dagster.yaml") == {
        **shipped,
        "storage": {"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}},
    }


def test_whoever_measures_finds_the_cluster_and_whoever_drives_is_a_node_of_it_without_room() -> None:
    services = load("compose/compose.yaml")["services"]
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "ray.yaml").read_text(encoding="utf-8")))
    (location,) = load("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"]
    (driver,) = location["sidecarContainers"]
    head, worker = (each["spec"]["template"]["spec"]["containers"][0]["args"] for each in documents[1:])
    assert "--address=ray-head:6379" in services["ray-worker"]["command"]
    assert {"--address=ray-head:6379"} <= {*worker} & {*driver["args"]}
    assert documents[0]["metadata"]["name"] == "ray-head"
    assert {"--head", "--num-cpus=0"} <= {*head} & {*services["ray-head"]["command"]}
    assert {"--num-cpus=0", "--num-gpus=0"} <= {*driver["args"]}
    assert "--num-cpus=0 --num-gpus=0" in services["ui"]["command"][-1]


def test_the_recipe_on_the_page_is_one_and_the_image_is_of_this_release() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    section = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert WorkersSettings.model_validate(section["workers"]).address == "ray-head:6379"
    image = load("kubernetes/values.yaml")["dagster-user-deployments"]["deployments"][0]["image"]
    assert f'\nversion = "{image["tag"]}"\n' in PROJECT
