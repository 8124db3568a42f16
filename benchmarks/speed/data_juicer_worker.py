"""Runs Data-Juicer's two Img-Diff operators in a virtual environment of their own, for `benchmarks.speed.stages`.

Reads one JSON object with the models and the pairs from the file named on the command line, then a line for each turn
(`areas` or `captions`) and answers with a line of JSON: seconds, and what was found.

Three things are bridged from outside, none of which does the operators' work for them:

- their CLIP calls expect tensors, and transformers 5 answers with an output object: it is opened;
- NLTK's data cannot be fetched: words that name objects are nouns, and every word is its own lemma;
- FastSAM's weights cannot be had: the segmenter is handed the boxes that our side is handed too, at no cost.
"""

import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any


def bridge(job: dict[str, Any]) -> None:
    """Put the bridges in place; before the operators are made."""
    import nltk
    import numpy as np
    import torch
    import transformers

    nouns = set(job["nouns"])
    nltk.pos_tag = lambda words: [(word, "NN" if word in nouns else "DT") for word in words]
    nltk.stem.WordNetLemmatizer = type("Lemmas", (), {"lemmatize": lambda self, word: word})
    for name in ("get_image_features", "get_text_features"):
        original = getattr(transformers.CLIPModel, name)

        def opened(self: Any, *arguments: Any, original: Any = original, **options: Any) -> Any:
            return original(self, *arguments, **options).pooler_output

        setattr(transformers.CLIPModel, name, opened)

    class FastSAM:
        def __init__(self, path: str) -> None: ...

        def to(self, device: str) -> "FastSAM":
            return self

        def __call__(self, image: str, **options: Any) -> list[Any]:
            boxes = torch.tensor(np.array(job["proposals"][image], np.float32).reshape(-1, 4))
            return [types.SimpleNamespace(boxes=types.SimpleNamespace(xywh=boxes))]

    sys.modules["ultralytics"] = types.ModuleType("ultralytics")
    sys.modules["ultralytics"].FastSAM = FastSAM  # type: ignore[attr-defined]


def operators(job: dict[str, Any]) -> dict[str, Any]:
    """Both operators with the thresholds of the job; what the job leaves open is as they have it."""
    from data_juicer.ops.load import load_ops

    models, limits = job["models"], job["limits"]
    matching = {"hf_blip": models["matcher"], "min_score": limits["min_match"], "num_proc": 1}
    areas = {
        "image_pair_similarity_filter_args": {
            "hf_clip": models["encoder"],
            "min_score_1": limits["min_pair_similarity"],
            "max_score_1": limits["max_pair_similarity"],
            "min_score_2": -1.0,
            "max_score_2": limits["max_region_similarity"],
        },
        "image_segment_mapper_args": {"model_path": __file__},
        "image_text_matching_filter_args": dict(matching),
    }
    captions = {
        "mllm_mapper_args": {
            "hf_model": models["captioner"],
            "max_new_tokens": limits["max_new_tokens"],
            "temperature": None,
        },
        "image_text_matching_filter_args": {**matching, "min_score": 0.0},
        "text_pair_similarity_filter_args": {"hf_clip": models["encoder"], "min_score": -1.0, "max_score": 1.1},
    }
    made = load_ops(
        [
            {"imgdiff_difference_area_generator_mapper": areas},
            {"imgdiff_difference_caption_generator_mapper": captions},
        ]
    )
    return dict(zip(("areas", "captions"), made, strict=True))


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ["DATA_JUICER_ASSETS_CACHE"] = job["scratch"]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the operators' own messages are not answers
    import torch

    bridge(job)
    from data_juicer.utils.constant import Fields, MetaKeys

    made = operators(job)
    torch.set_num_threads(job["threads"])  # the operators set one of their own
    one_thread = job["threads"] == 1 and not torch.cuda.is_available()
    clock = time.process_time if one_thread else time.perf_counter
    for line in sys.stdin:
        stage, found = line.strip(), []
        started = clock()
        for pair in job["pairs"]:
            sample = {name: pair[name] for name in ("image_path1", "image_path2", "caption1", "caption2")}
            if stage == "captions":
                sample[Fields.meta] = {MetaKeys.bbox_tag: pair["boxes"]}
                if not pair["boxes"]:
                    continue
            with torch.inference_mode():
                meta = made[stage].process_single(sample)[Fields.meta]
            found.append([[float(value) for value in box] for box in meta[MetaKeys.bbox_tag]])
        answers.write(json.dumps({"seconds": clock() - started, "found": found}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
