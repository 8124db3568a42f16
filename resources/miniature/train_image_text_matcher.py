"""Train the miniature image-text matcher: a BLIP that says whether a crop shows what a text names.

Texts are bare names ("ice cream") and phrases ("a red ice cream"). Its two scores are trained together, as in the
paper: the contrastive one (ITC) on every crop against every name and the batch's phrases, the matching head (ITM) on
right texts and on wrong ones that are easily confused. Bare background matches nothing.
"""

import random
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor, BlipProcessor

from resources.images.crops import squash
from resources.miniature.pictures import Phases, Pictures, Pixels, training_pictures
from resources.miniature.scenes import COLOURS, OBJECTS, SceneObject
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import CHARACTERS, WORDS

SEED = 35
PHASES: Phases = ((("drawn", "reconstructed"), 1_800), (("drawn", "reconstructed", "repainted"), 1_000))
REGIONS_PER_BATCH = 16
SIDE = 48
MEAN = STD = [0.5, 0.5, 0.5]
# A cosine above the margin means that crop and text match; the scale says how sharply. Fixed, so that the score keeps
# one meaning.
SCALE, MARGIN = 12.0, 0.4


def build_tokenizer() -> BertTokenizer:
    """A BERT tokenizer of the miniature world's words; it spells all others."""
    spelled = [*CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    tokens = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *spelled])
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=32)


def build_model(tokenizer: BertTokenizer) -> BlipForImageTextRetrieval:
    """An untrained BLIP of a few hundred thousand parameters."""
    vision = {"image_size": SIDE, "patch_size": 8, "num_hidden_layers": 4, "initializer_range": 0.02}
    text = {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "max_position_embeddings": 32,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    width = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 3}
    return BlipForImageTextRetrieval(
        BlipConfig(text_config=text | width, vision_config=vision | width, image_text_hidden_size=64)
    )


def _wrong_texts(rng: random.Random, thing: SceneObject | None, partner: SceneObject | None) -> tuple[str, str]:
    """A wrong name and a wrong phrase; if possible the object that the other image has, or one word off."""
    names = [name for name in OBJECTS if thing is None or name != thing.name]
    name = rng.choice(names)
    if thing is not None and partner is not None and partner.name != thing.name and rng.random() < 0.5:
        name = partner.name
    if thing is None:
        return name, SceneObject(rng.choice(names), rng.choice(tuple(COLOURS))).phrase
    if rng.random() < 0.5:
        return name, SceneObject(rng.choice(names), thing.colour).phrase
    return name, SceneObject(thing.name, rng.choice([each for each in COLOURS if each != thing.colour])).phrase


def _batch(
    rng: random.Random, pictures: Pictures
) -> tuple[list[Pixels], list[SceneObject | None], list[tuple[int, str, bool]]]:
    """Crops, what they show, and questions to the matching head: (crop, text, whether it fits)."""
    crops: list[Pixels] = []
    contents: list[SceneObject | None] = []
    questions = []
    for _ in range(REGIONS_PER_BATCH):
        pair, things = pictures.crops(rng)
        for crop, thing, partner in zip(pair, things, things[::-1], strict=True):
            questions += [(len(crops), text, False) for text in _wrong_texts(rng, thing, partner)]
            if thing is not None:
                questions.append((len(crops), rng.choice((thing.name, thing.phrase)), True))
            crops.append(crop)
            contents.append(thing)
    return crops, contents, questions


def contrastive_loss(
    model: BlipForImageTextRetrieval, tokenizer: BertTokenizer, states: Tensor, contents: list[SceneObject | None]
) -> Tensor:
    """Each crop picks its name among all names, and its phrase among the batch's phrases, or none of them.

    "None" has the cosine MARGIN.
    """
    phrases = list(dict.fromkeys(thing.phrase for thing in contents if thing is not None))
    inputs = tokenizer([*OBJECTS, *phrases], padding=True, return_tensors="pt", return_token_type_ids=False)
    vectors = functional.normalize(model.text_proj(model.text_encoder(**inputs).last_hidden_state[:, 0]), dim=-1)
    cosines = functional.normalize(model.vision_proj(states[:, 0]), dim=-1) @ vectors.T
    logits = SCALE * (cosines - MARGIN)
    none = torch.zeros(len(contents), 1)
    names, others = logits[:, : len(OBJECTS)], logits[:, len(OBJECTS) :]
    name_numbers = [0 if thing is None else 1 + OBJECTS.index(thing.name) for thing in contents]
    phrase_numbers = [0 if thing is None else 1 + phrases.index(thing.phrase) for thing in contents]
    return functional.cross_entropy(
        torch.cat([none, names], 1), torch.tensor(name_numbers)
    ) + functional.cross_entropy(torch.cat([none, others], 1), torch.tensor(phrase_numbers))


def matching_loss(
    model: BlipForImageTextRetrieval, tokenizer: BertTokenizer, states: Tensor, questions: list[tuple[int, str, bool]]
) -> Tensor:
    """Cross-entropy of the matching head, the text reading the crop through cross-attention."""
    rows, texts, answers = (list(column) for column in zip(*questions, strict=True))
    inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    read = model.text_encoder(
        **inputs,
        encoder_hidden_states=states[rows],
        encoder_attention_mask=torch.ones(len(rows), states.shape[1], dtype=torch.long),
    ).last_hidden_state
    return functional.cross_entropy(model.itm_head(read[:, 0]), torch.tensor(answers).long())


def train(output: Path, first_phase: int = 0) -> None:
    """Train in phases and save model and processor to `output`; any phase can go on from the saved weights."""
    tokenizer = build_tokenizer()
    processor = BlipProcessor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}, image_mean=MEAN, image_std=STD), tokenizer
    )
    for phase, (views, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        rng = random.Random(SEED + phase)
        pictures = training_pictures(views, output.parent / "pair_generator")
        model = build_model(tokenizer)
        if phase:
            model = BlipForImageTextRetrieval.from_pretrained(output, dtype=torch.float32)
        model.train()
        optimisers = Optimisers(model, 1e-3, lambda name: False)
        progress = Progress(f"image_text_matcher, phase {phase}", steps)
        for step in progress:
            crops, contents, questions = _batch(rng, pictures)
            states = model.vision_model(pixel_values=squash(crops, (SIDE, SIDE), MEAN, STD)).last_hidden_state
            loss = contrastive_loss(model, tokenizer, states, contents)
            loss = loss + matching_loss(model, tokenizer, states, questions)
            optimisers.step(loss, constant_then_linear(step, steps, constant=0.3))
            progress.report(loss.item())
        model.half().save_pretrained(output)
    processor.save_pretrained(output)
