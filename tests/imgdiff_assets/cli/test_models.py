"""`imgdiff models` and `imgdiff doctor`, as they are typed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imgdiff_assets.cli.main import main
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.role_models import RoleModels
from imgdiff_assets.setup.doctor import Device, examine_recipe
from imgdiff_assets.setup.model_check import PROBES
from imgdiff_assets.setup.model_list import model_states
from resources.loading import devices, downloads, weights
from resources.loading.downloads import DownloadFailed, Fetched

GB = 1_000_000_000
ROLES = load_recipe("miniature").roles
"""Without the verifier, which the shipped recipes do not name."""

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing was fetched yet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def answer(*arguments: str) -> tuple[int, Any]:
    result = call(*arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


class TestList:
    def test_the_miniature_is_here(self) -> None:
        status, states = answer("models", "list")
        assert status == 0
        assert [state["role"] for state in states] == list(ROLES)
        for state in states:
            assert state["present"]
            assert state["disk_bytes"] == weights.size(Path(state["where"]))
            # Stored in half precision, run in single.
            assert state["memory_bytes"] == pytest.approx(2 * state["disk_bytes"], rel=0.1)

    @pytest.mark.parametrize(("recipe", "total"), [("paper", 65 * GB), ("modern", 45 * GB)])
    def test_what_is_missing_has_its_size_and_licence(self, recipe: str, total: float) -> None:
        status, states = answer("models", "list", "--recipe", recipe)
        assert status == 1
        assert not any(state["present"] for state in states)
        assert not any(state["licence"].startswith("not ") for state in states)
        assert not any("AGPL" in state["licence"] for state in states)
        fetched = {(state["model"], state["dtype"]): state["disk_bytes"] for state in states}
        assert sum(fetched.values()) == pytest.approx(total, rel=0.02)
        text = call("models", "list", "--recipe", recipe).output
        assert (
            f"6 models missing, {round(total / GB)} GB: fetch with\n  imgdiff models pull --recipe {recipe}\n" in text
        )
        assert f"{states[0]['model']}@main" in text

    def test_a_stage_that_is_switched_off_needs_no_model(self) -> None:
        listed = {state["role"] for state in answer("models", "list", "--recipe", "paper")[1]}
        assert ROLES.keys() - listed == {"inpainter"}
        switched_on = ("--recipe", "paper", "--set", "removed_pairs.enabled=true")
        assert len(answer("models", "list", *switched_on)[1]) == len(ROLES)

    def test_a_model_that_nobody_knows_says_why_it_is_missing(self, tmp_path: Path) -> None:
        text = call("models", "list", "--set", f"captioner.model={tmp_path / 'typo'}").output
        assert f"captioner: There are no weights at {tmp_path / 'typo'}: correct the path" in text

    @pytest.mark.parametrize("recipe", ["miniature", "modern"])
    def test_lines_align_in_a_terminal_of_100_columns(self, recipe: str) -> None:
        lines = call("models", "list", "--recipe", recipe, "--set", "removed_pairs.enabled=true").output.splitlines()
        assert max(map(len, lines)) <= 100
        told = [line for line in lines if line.startswith(" ") and ("  here  " in line or "  missing  " in line)]
        assert len(told) == len(ROLES) + (recipe == "modern")  # it names an editor and a generator, and no pairs' one
        assert len({max(line.find("  here  "), line.find("  missing  ")) for line in told}) == 1


class TestRun:
    def test_all_that_is_missing_is_told_at_once_with_the_command(self, tmp_path: Path) -> None:
        (tmp_path / "captions.txt").write_text("two dogs\n")
        assert call("ingest", str(tmp_path / "captions.txt")).exit_code == 0
        options = ("--recipe", "modern", "--set", "captioner.model=team/reader", "seed=1")
        result = call("run", "--dry-run", *options)
        assert (result.exit_code, result.stdout) == (1, "")
        lines = result.stderr.splitlines()
        assert lines[0] == "Error: 6 models of the modern recipe cannot be run here:"
        assert {line.split()[0] for line in lines[1:8]} >= {"prompt_rewriter", "editor", "segmenter", "captioner"}
        assert "  captioner           team/reader@main" in lines
        assert "Fetch them (27 GB) with" in lines, "what two roles share is fetched once"
        assert lines[-1] == "  imgdiff models pull --recipe modern --set captioner.model=team/reader seed=1"
        few = call("run", "--dry-run", "--recipe", "modern", "--select", "prompt_pairs").stderr
        assert few.startswith("Error: 1 model of the modern recipe cannot be run here:\n  prompt_rewriter ")


class TestPull:
    def test_what_is_fetched_is_named_by_its_commit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, str | None, str]] = []

        def fetch(model: str, revision: str | None, dtype: str) -> Fetched:
            asked.append((model, revision, dtype))
            return Fetched(Path("/cache"), None if model.endswith(".pth") else COMMIT)

        monkeypatch.setattr("resources.backends.library.fetch", fetch)
        result = call("models", "pull", "--recipe", "paper", "--roles", "pair_generator", "segmenter")
        assert result.exit_code == 0
        sdxl = ("stabilityai/stable-diffusion-xl-base-1.0", "main", "float16")
        assert asked == [sdxl, ("sam_vit_h_4b8939.pth", None, "float16")]
        assert "pair_generator: fetching stabilityai/stable-diffusion-xl-base-1.0, 6.9 GB" in result.stderr
        # What is printed can be put into a recipe as it is.
        import yaml

        assert yaml.safe_load(result.stdout) == {"models": {"pair_generator": {"revision": COMMIT}}}
        assert answer("models", "pull", "--recipe", "paper", "--roles", "segmenter")[1] == {"segmenter": None}

    def test_the_miniature_needs_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resources.backends.library.fetch", lambda *_: pytest.fail("fetched"))
        result = call("models", "pull")
        assert result.exit_code == 0
        assert result.stderr.count("on this machine, nothing to fetch") == len(ROLES)

    def test_a_failure_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> Fetched:
            raise DownloadFailed("team/model: not there")

        monkeypatch.setattr("resources.backends.library.fetch", fail)
        result = call("models", "pull", "--set", "captioner.model=team/model", "--roles", "captioner")
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Error: team/model: not there")
        assert "the roles are prompt_rewriter, " in call("models", "pull", "--roles", "nobody").stderr


class TestServed:
    """A model behind a server that is not there: nothing listens on port 9."""

    SERVED = ("--set", "captioner.base_url=http://127.0.0.1:9/v1", "captioner.model=team/captioner")

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)

    def test_it_is_missing_with_what_to_do(self) -> None:
        status, states = answer("models", "list", *self.SERVED)
        state = states[5]
        assert (status, state["present"], state["fetchable"]) == (1, False, False)
        assert (state["backend"], state["where"]) == ("server", "http://127.0.0.1:9/v1")
        assert (state["dtype"], state["disk_bytes"], state["licence"]) == (None, None, "not known here")
        text = call("models", "list", *self.SERVED).stdout
        assert "start it, or correct the field `base_url`" in text
        assert "server   not usable  not known here" in text

    def test_the_doctor_names_it_among_the_problems_and_counts_no_memory_for_it(self) -> None:
        _, report = answer("doctor", *self.SERVED)
        (problem,) = report["recipes"][0]["problems"]
        assert "The server http://127.0.0.1:9/v1 cannot be reached" in problem
        assert report["recipes"][0]["to_fetch"] == 0
        assert report["recipes"][0]["together"] < answer("doctor")[1]["recipes"][0]["together"]

    def test_nothing_of_it_is_fetched_and_a_check_fails(self) -> None:
        assert (
            "captioner: team/captioner is behind a server, nothing to fetch"
            in call("models", "pull", *self.SERVED).stderr
        )
        status, (checked,) = answer("models", "check", "--roles", "captioner", *self.SERVED)
        assert (status, checked["device"]) == (1, "server")
        assert "cannot be reached" in checked["failure"]


class TestCheck:
    def test_every_role_has_a_probe(self) -> None:
        assert PROBES.keys() == RoleModels.model_fields.keys()

    def test_each_model_loads_and_answers(self) -> None:
        status, results = answer("models", "check")
        assert status == 0
        assert [result["role"] for result in results] == list(ROLES)
        for result in results:
            assert result["failure"] is None
            assert result["answer"]
            assert 0 < result["load_seconds"] < 600
            assert result["peak_memory"] > 10_000_000
            assert result["device"].startswith(("cpu (", "cuda:"))
        assert results[5]["answer"] == "'a red ball'"
        assert not devices._loaded

    def test_one_that_fails_does_not_keep_the_others_from_being_checked(self, tmp_path: Path) -> None:
        broken = shutil.copytree(weights.MINIATURE_FOLDER / "segmenter", tmp_path / "broken")
        (broken / "model.safetensors").write_bytes(b"no tensors")
        result = call(
            *("models", "check", "--roles", "segmenter", "image_text_encoder", "image_text_matcher"),
            *("--set", f"segmenter.model={broken}", "image_text_matcher.model=team/nowhere"),
        )
        encoder, matcher, segmenter = result.stdout.splitlines()
        assert result.exit_code == 1
        assert encoder.startswith("image_text_encoder  loaded in ")
        assert segmenter.startswith(f"segmenter           FAILED  The model '{broken}' is not loaded: ")
        assert "fetch it with `imgdiff models pull`" in matcher


class TestDoctor:
    @pytest.mark.parametrize(
        ("memory", "recipe", "fits"),
        [(80 * GB, "modern", "together"), (80 * GB, "paper", "in_turn"), (40 * GB, "paper", "in_turn"),
         (24 * GB, "modern", "in_turn"), (24 * GB, "paper", "no"), (1 * GB, "miniature", "together")],
    )  # fmt: skip
    def test_which_recipe_fits(self, memory: int, recipe: str, fits: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices, "resolve", lambda device: "cuda:0")
        values = load_recipe(recipe)
        report = examine_recipe(values, model_states(values), [Device("cuda:0", "a GPU", memory, memory)])
        assert report.fits == fits
        too_large = [problem for problem in report.problems if "has room for" in problem]
        assert bool(too_large) == (fits == "no")
        if too_large:
            assert too_large[0].startswith(
                "captioner takes 27 GB, and cuda:0 has room for 18 GB: take a smaller model"
            )

    def test_the_chosen_recipe_comes_first_and_decides(self) -> None:
        status, report = answer("doctor")
        assert status == 0
        assert [each["recipe"] for each in report["recipes"]] == [
            "miniature",
            "kinds",
            "modern",
            "paper",
            "served",
            "small",
        ]
        assert report["recipes"][0] | {"largest": 0, "together": 0} == {
            "recipe": "miniature",
            "present": 7,
            "models": 7,
            "to_fetch": 0,
            "largest": 0,
            "together": 0,
            "fits": "together",
            "problems": [],
            "remarks": [],
        }
        assert all(0 < device["free"] <= device["total"] for device in report["devices"])
        status, report = answer("doctor", "--recipe", "modern")
        assert status == 1
        assert report["recipes"][0]["recipe"] == "modern"
        _, changed = answer("doctor", "--recipe", "modern", "--set", "removed_pairs.enabled=true")
        assert changed["recipes"][0]["models"] == report["recipes"][0]["models"] + 1
        missing = report["recipes"][0]["problems"][-1]
        assert missing == "6 models missing, 45 GB: fetch with `imgdiff models pull --recipe modern`"

    def test_a_model_that_two_roles_share_is_in_memory_once(self) -> None:
        values = load_recipe("modern")
        states = model_states(values)
        klein = [state.memory_bytes for state in states if state.role in ("editor", "image_generator")]
        assert klein[0] == klein[1] is not None
        report = examine_recipe(values, states, [Device("cpu", "a CPU", 80 * GB, 80 * GB)])
        assert report.together == sum(state.memory_bytes or 0 for state in states) - (klein[0] or 0)
        others = load_recipe("modern", ["image_generator.revision=other"])
        apart = examine_recipe(others, model_states(others), [Device("cpu", "a CPU", 80 * GB, 80 * GB)])
        assert apart.together == report.together + (klein[0] or 0)

    def test_a_server_that_two_roles_ask_is_told_of_once(self) -> None:
        values = load_recipe("served", ["captioner.base_url=http://127.0.0.1:9/v1"])
        states = [state for state in model_states(values) if state.role in ("editor", "image_generator", "captioner")]
        assert len(states) == 3
        told = examine_recipe(values, states, []).problems
        assert len(told) == len(set(told)) == 2

    def test_the_text_says_it_all(self, tmp_path: Path) -> None:
        text = call("doctor").output
        assert "Recipe miniature: runs here; 7 of 7 models present; all models fit at once" in text
        assert "  problem: 6 models missing, 65 GB: fetch with `imgdiff models pull --recipe paper`" in text
        assert f"{tmp_path / 'hub'}: " in text
        assert "torch " in text

    def test_a_device_that_is_not_there_is_a_problem(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        text = (Path(downloads.__file__).parents[2] / "imgdiff_assets/recipe/shipped/miniature.yaml").read_text(
            encoding="utf-8"
        )
        file.write_text(text.replace("segmenter:\n", "segmenter:\n    device: cuda:99\n"), encoding="utf-8")
        status, report = answer("doctor", "--recipe", str(file))
        assert status == 1
        assert report["recipes"][0]["problems"][0].startswith(
            "segmenter: The field `device` is 'cuda:99', but torch sees"
        )
