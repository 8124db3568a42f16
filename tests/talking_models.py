"""A rewriter and a captioner that talk as real models do: what they mean is known, how they say it varies.

They answer what `tests.answering_server.answering` is asked. `SCENES` is what they know; each scene meets another
manner of each kind, so that all of them meet many.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REGION_QUESTION = "Name the object in this picture: {object}."
"""What the captioner is asked, so that it knows which; of erased regions it is not told."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A caption, the same with one thing replaced, both things as captions name them and as one sees them."""

    caption: str
    target: str
    replaced: str
    replacement: str
    seen: tuple[str, str]
    edit: str


def _scene(lines: tuple[str, str]) -> Scene:
    caption, change, seen, edit = (part.strip() for line in lines for part in line.split("|"))
    replaced, replacement = change.split(" > ")
    before, after = seen.split(" > ")
    article = "an" if replacement[0] in "aeiou" else "a"
    target = re.sub(rf"\b(a)n? {replaced}", rf"\1{article[1:]} {replacement}", caption, count=1, flags=re.IGNORECASE)
    return Scene(caption, target.replace(replaced, replacement), replaced, replacement, (before, after), edit)


TOLD = """
A brown dog lies on a sofa. | dog > cat
    a brown dog lying on a sofa > a brown cat lying on a sofa | Replace the brown dog with a brown cat.
A woman holding a wine glass | wine glass > beer mug
    a wine glass filled with red wine > a beer mug | Replace the wine glass with a beer mug.
A red fire hydrant on the sidewalk | fire hydrant > mailbox
    a red fire hydrant > a blue mailbox | Replace the red fire hydrant with a red mailbox.
Two dogs playing in the snow. | dogs > cats
    two dogs playing in the snow > two cats playing in the snow | Replace the two dogs with two cats.
An umbrella leaning on a wall | umbrella > guitar
    a black umbrella > a wooden guitar | Replace the umbrella with a guitar.
A bathroom with a toilet, a sink and a bathtub. | bathtub > shower
    a white bathtub > a glass shower | Replace the bathtub with a shower.
A tennis racket lies on the court. | tennis racket > tennis ball
    a tennis racket > a yellow tennis ball | Replace the tennis racket with a tennis ball.
A man riding a wave on top of a surfboard. | surfboard > paddleboard
    a man on a white surfboard > a man on a paddleboard | Replace the surfboard with a paddleboard.
A piece of chocolate cake on a plate | chocolate cake > carrot cake
    chocolate cake > carrot cake | Replace the piece of chocolate cake with a piece of carrot cake.
The old clock tower in the town square | clock tower > fountain
    an old clock tower > a stone fountain | Replace the old clock tower with the old fountain.
A man and his goat on the beach | goat > llama
    a goat running on the sand > a brown llama | Replace his goat with his llama.
A bowl of soup on a table | soup > salad
    a bowl of tomato soup > a bowl of green salad | Replace the bowl of soup with a bowl of salad.
A boat on the lake | boat > swan
    a small white boat > a white swan | Replace the boat with a swan.
A laptop next to a cup of coffee | laptop > notebook
    an open laptop > an open notebook | Replace the laptop with a notebook.
A bus parked in front of a building. | bus > truck
    a red double-decker bus > a delivery truck | Replace the bus with a truck.
A child eating an apple | apple > orange
    a shiny green apple > an orange | Replace the apple with an orange.
Several zebras grazing on a field. | zebras > horses
    several zebras grazing > several horses | Replace several zebras with several horses.
A kite flying in the sky above the Eiffel Tower | kite > drone
    a colourful kite > a black drone | Replace the kite with a drone.
A person on a skateboard at the park | skateboard > scooter
    a skateboard > an electric scooter | Replace the skateboard with a scooter.
A vase of flowers by the window | vase of flowers > lamp
    a vase of flowers > a lamp | Replace the vase of flowers with a lamp.
A traffic light hanging over a street | traffic light > street sign
    a traffic light > a green street sign | Replace the traffic light with a street sign.
A black crow sits on the hood of a car. | crow > pigeon
    a black crow > a small pigeon | Replace the black crow with a black pigeon.
A young girl with a teddy bear | teddy bear > doll
    a brown teddy bear > a doll in a pink dress | Replace the teddy bear with a doll.
Some fruit in a basket | basket > bowl
    some fruit in a basket > some fruit in a bowl | Replace the basket with a bowl.
A chef cutting an onion on a board | onion > carrot
    an onion > a carrot | Replace the onion with a carrot.
The bedroom has a large bed and a chair. | chair > desk
    a wooden chair > a desk with a lamp | Replace the chair with a desk.
A steam train crossing a bridge | steam train > tram
    a black steam train > a yellow tram | Replace the steam train with a tram.
A giraffe stands near a tree | giraffe > elephant
    a tall giraffe > a grey elephant | Replace the giraffe with an elephant.
A pizza with cheese on a wooden table | pizza > pie
    pizza with melted cheese > an apple pie | Replace the pizza with a pie.
A motorcycle in a garage | motorcycle > bicycle
    a parked motorcycle > a bicycle | Replace the motorcycle with a bicycle.
A street at night with an ambulance | ambulance > taxi
    a white ambulance > a yellow taxi | Replace the ambulance with a taxi.
People sitting on benches in a park | benches > blankets
    people sitting on benches > people sitting on blankets | Replace the benches with blankets.
"""
SCENES = tuple(map(_scene, re.findall(r"(.+)\n +(.+)", TOLD)))

Manner = Callable[..., str]


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _named(scene: Scene) -> str:
    names = {"replaced": scene.replaced, "replacement": scene.replacement, "kind": "object"}
    return json.dumps({"caption": scene.target, **names})


LONG = "It is a lovely day and everything looks very nice indeed here. " * 100

REWRITES: tuple[Manner, ...] = (
    lambda scene: _named(scene),
    lambda scene: f"Sure! Here is the JSON:\n```json\n{_named(scene).replace('}', ',}')}\n```",
    lambda scene: f"<think>\nThe {scene.replaced} could become anything.\n</think>\n\n{_named(scene)}",
    lambda scene: f"Sure, here you go:\n\n**{scene.target}**\n\nLet me know if you want another!",
    lambda scene: f"1. {scene.target}",
    lambda scene: f"Original: {scene.caption}\nRewritten: {scene.target}",
    lambda scene: f'Here is the new caption: "{scene.target}"',
    lambda scene: f"{scene.target}<|im_end|>\n<|im_start|>user",
    lambda scene: f"[INST] {scene.target} [/INST]</s>",
    lambda scene: f"{scene.target}\n{scene.target}",
    lambda scene: str({"caption": scene.target, "replaced": scene.replaced, "replacement": scene.replacement}),
    lambda scene: f"Caption: {scene.target} <image>",
)
USELESS_REWRITES: tuple[str, ...] = (
    "",
    "I'm sorry, but I cannot help with that.",
    LONG,
    '{"caption": "A',
    "<think>Let me see. What could",
)

REGIONS: tuple[Manner, ...] = (
    lambda seen: seen,
    lambda seen: sentence(seen),
    lambda seen: f"The image shows {seen}.",
    lambda seen: f"**{sentence(seen)}**",
    lambda seen: f"Sure! The object is {seen}.",
    lambda seen: f"There is {seen} in the picture.",
    lambda seen: f"Object: {seen}",
    lambda seen: f'"{sentence(seen)}"',
    lambda seen: f"{sentence(seen)}<|im_end|>",
    lambda seen: f"<image> {seen}</s>",
    lambda seen: f"In this image, we can see {seen}. It is in the centre of the frame.",
    lambda seen: f"<think>\nIt could be many things.\n</think>\n\n{sentence(seen)}",
    lambda seen: f'```json\n{{"object": "{seen}",}}\n```',
    lambda seen: f"{sentence(seen)}\n{sentence(seen)}",
    lambda seen: f"{sentence(seen)} {LONG}",
    lambda seen: f"1. {sentence(seen)}\n2. Nothing else.",
    lambda seen: f"I see {seen}!",
    lambda seen: f"### Answer\n- {seen}",
    lambda seen: f"This is a close-up photo of {seen}.",
    lambda seen: f"The main subject of the photo appears to be {seen}, which is in focus.",
    lambda seen: f"[INST] What is it? [/INST] {sentence(seen)}",
)
USELESS_REGIONS: tuple[str, ...] = (
    "",
    "I'm sorry, I can't identify the object in this image.",
    "Nothing is visible in the picture.",
    "The image is too blurry to tell.",
)

DIFFERENCES: tuple[Manner, ...] = (
    lambda old, new: f"The left picture shows {old}, while the right one shows {new}.",
    lambda old, new: f"{sentence(old)[:-1]} was replaced by {new}",
    lambda old, new: f"Sure! In the right picture there is {new} instead of {old}.",
    lambda old, new: f"**Difference:** the left box shows {old}, the right box shows {new}.",
    lambda old, new: f"<think>Hm.</think>On the left there is {old}; on the right there is {new}.",
    lambda old, new: f"The object changed from {old} to {new}.<|im_end|>",
    lambda old, new: f"1. The left picture has {old}.\n2. The right picture has {new}.",
    lambda old, new: f"The left box shows {old} and the right box shows {new}. Everything else is",
    lambda old, new: f'The left one shows "{old}" while the right one shows "{new}".',
    lambda old, new: f'The left one shows "{old} and the right one shows {new}.',
    lambda old, new: f"The left picture shows {old}, the right picture shows {new}. {LONG}",
    lambda old, new: f"- Left: {old}\n- Right: {new}",
    lambda old, new: f"The left picture shows {old} , while the right picture shows {new} !!",
    lambda old, new: f"### Difference\n\nThe left picture shows `{old}`, the right picture shows `{new}`.",
)
USELESS_DIFFERENCES: tuple[str, ...] = (
    "",
    "I cannot see any images.",
    "There is no difference between the two pictures.",
)


def answer(request: Mapping[str, Any]) -> str:
    """What is said to a request, by its question; to one about erased regions by its picture."""
    content = request["messages"][0]["content"]
    if isinstance(content, str):
        return _rewriter(content)
    question = content[-1]["text"]
    told = REGION_QUESTION.partition("{object}")[0]
    if "red box" in question:
        return _difference(question)
    if question.startswith(told):
        named = question.removeprefix(told).removesuffix(".")
        for place, scene in enumerate(SCENES):
            for side, name in enumerate((scene.replaced, scene.replacement)):
                if name == named:
                    return _said(REGIONS, USELESS_REGIONS, 3 * place + 11 * side, scene.seen[side])
    number = int(hashlib.sha256(content[0]["image_url"]["url"].encode()).hexdigest(), 16)
    return _said(REGIONS, USELESS_REGIONS, number, SCENES[number % len(SCENES)].seen[0])


def _rewriter(question: str) -> str:
    for place, scene in enumerate(SCENES):
        if f"Old caption: {scene.caption}\n" in question:
            return f"Sure:\n{_named(scene)}" if place % 2 else f"The {scene.replaced} became a {scene.replacement}."
        if question.endswith(f": {scene.caption}"):
            return _said(REWRITES, USELESS_REWRITES, 5 * place, scene)
    return "{}"


def _difference(question: str) -> str:
    for place, scene in enumerate(SCENES):
        if all(seen.lower() in question.lower() for seen in scene.seen):
            return _said(DIFFERENCES, USELESS_DIFFERENCES, 3 * place, *scene.seen)
    return "I do not know."


def _said(manners: tuple[Manner, ...], useless: tuple[str, ...], number: int, *meant: Any) -> str:
    number %= len(manners) + len(useless)
    return manners[number](*meant) if number < len(manners) else useless[number - len(manners)]
