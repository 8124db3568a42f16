"""Train the miniature captioner: a LLaVA that says what a crop shows, and what is different between two crops."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import decoders
from transformers import (
    CLIPImageProcessor,
    CLIPTokenizer,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from resources.images.crops import squash
from resources.miniature.pictures import Phases, Pictures, Pixels, training_pictures
from resources.miniature.scene_pairs import phrase
from resources.miniature.scenes import SceneObject
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import END_OF_WORD, WORDS, build_tokenizer

SEED = 37
PHASES: Phases = (
    (("drawn", "reconstructed"), 2_000),
    (("drawn", "reconstructed", "repainted"), 1_500),
    (("drawn", "reconstructed", "repainted"), 1_000),
    (("reconstructed", "repainted"), 1_800),
)
REGIONS_PER_BATCH = 16
SIDE, PATCH = 48, 8
IMAGE_TOKENS = (SIDE // PATCH) ** 2
MEAN = STD = [0.5, 0.5, 0.5]
MAX_LENGTH = 192
IMAGE = "<image>"
WHAT_IS_IT = "what is this ?"
WHAT_IS_DIFFERENT = "what is different ?"
# Two images are announced as left and right. Every turn ends with the end-of-text token.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% set images = message['content'] | selectattr('type', 'equalto', 'image') | list %}"
    "{% set sides = ['left', 'right'] if images | length == 2 else ['', ''] %}"
    "{% for image in images %}{{ sides[loop.index0] }}" + IMAGE + "{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{{ eos_token }}{% endfor %}"
)


def difference(left: SceneObject | None, right: SceneObject | None) -> str:
    """The right answer about two crops."""
    if left == right:
        return "nothing is different"
    return f"the left image shows {phrase(left)} and the right image shows {phrase(right)}"


def build_processor(words: Sequence[str] = WORDS) -> LlavaProcessor:
    """Images squashed to one size, the miniature vocabulary with an image token, and the chat template."""
    tokenizer = build_tokenizer(MAX_LENGTH, words)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    # Beside a LLaVA the tokenizer is loaded as a general one, which decodes by what its file says alone.
    tokenizer.backend_tokenizer.decoder = decoders.BPEDecoder(END_OF_WORD)
    images = CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_mean=MEAN, image_std=STD
    )
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def build_model(tokenizer: CLIPTokenizer) -> LlavaForConditionalGeneration:
    """An untrained LLaVA of less than a million parameters."""
    width = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 3}
    vision = CLIPVisionConfig(image_size=SIDE, patch_size=PATCH, num_hidden_layers=4, projection_dim=64, **width)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=3,
        num_key_value_heads=3,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **width,
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
    )


def conversation(images: int, question: str, answer: str) -> list[dict[str, object]]:
    """A question about so many images, and its answer."""
    asked = [{"type": "image"}] * images + [{"type": "text", "text": question}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _batch(
    rng: random.Random, pictures: Pictures, differences: bool
) -> tuple[list[Pixels], list[list[dict[str, object]]]]:
    """Crops, and conversations about one of them each, or about two of them each."""
    crops: list[Pixels] = []
    conversations = []
    for _ in range(REGIONS_PER_BATCH):
        pair, things = pictures.crops(rng)
        crops += pair
        if differences:
            conversations.append(conversation(2, WHAT_IS_DIFFERENT, difference(*things)))
        else:
            conversations += [conversation(1, WHAT_IS_IT, phrase(thing)) for thing in things]
    return crops, conversations


def train(output: Path, first_phase: int = 0) -> None:
    """Train in phases and save model and processor to `output`; any phase can go on from the saved weights."""
    processor = build_processor()
    tokenizer = processor.tokenizer
    end = tokenizer.eos_token_id
    for phase, (views, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        rng = random.Random(SEED + phase)
        pictures = training_pictures(views, output.parent / "pair_generator")
        model = build_model(tokenizer)
        if phase:
            model = LlavaForConditionalGeneration.from_pretrained(output, dtype=torch.float32)
        model.train()
        optimisers = Optimisers(model, 1.2e-3, lambda name: "layers." in name)
        progress = Progress(f"captioner, phase {phase}", steps)
        for step in progress:
            crops, conversations = _batch(rng, pictures, differences=step % 2 == 1)
            texts = [
                processor.apply_chat_template(turns, tokenize=False).replace(IMAGE, IMAGE * IMAGE_TOKENS)
                for turns in conversations
            ]
            batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            # The answer lies between the first end token and the second, which it includes.
            ends_before = (batch.input_ids == end).cumsum(1) - (batch.input_ids == end).long()
            labels = batch.input_ids.masked_fill(ends_before != 1, -100)
            pixels = squash(crops, (SIDE, SIDE), MEAN, STD)
            loss = model(**batch, pixel_values=pixels, labels=labels).loss
            optimisers.step(loss, constant_then_linear(step, steps, constant=0.3))
            progress.report(loss.item())
        model.half().save_pretrained(output)
    processor.save_pretrained(output)
