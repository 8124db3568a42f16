"""An evaluation as one HTML page that can be mailed: what was scored, and what was answered worst and best."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment
from PIL import Image

from imgdiff_assets.training.held_out import Item

SHOWN = 12
"""Answers of a task that are shown."""

HIGH = 180
"""Pixels; larger images are shown smaller."""

TEMPLATE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evaluation of {{ about.model }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1b1b1f }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: left }
th { border-bottom: 2px solid #888 } td { border-bottom: 1px solid #ccc } td.n { text-align: right }
.items { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem }
.item { border: 1px solid #bbb; border-left: .4rem solid #b3261e; border-radius: .3rem; padding: .6rem;
  font-size: .9rem }
.item.right { border-left-color: #2e7d32 } .item img { max-width: 48%; image-rendering: pixelated }
.item p { margin: .3rem 0; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #16161a; color: #e6e6ea } }
</style></head><body>
<h1>Evaluation of {{ about.model }}</h1>
<p>On {{ about.on }}, {{ about.split }}.</p>
<table><tr><th>task</th><th>questions</th><th>score</th><th>right</th><th>95 %</th><th>d′</th><th>says A</th></tr>
{% for task, told in tasks.items() %}
<tr><td>{{ task }}</td><td class="n">{{ told.count }}</td><td class="n">{{ "%.3f"|format(told.score) }}</td>
<td class="n">{{ "%.3f"|format(told.right) }}</td>
<td class="n">{{ "%.3f to %.3f"|format(*told.right_95) }}</td>
<td class="n">{{ "%.2f"|format(told.d_prime) if told.d_prime is defined and told.d_prime is not none }}</td>
<td class="n">{{ "%.2f"|format(told.says_A) if told.says_A is defined }}</td></tr>
{% endfor %}</table>
<p>The score is exact for choices, intersection over union for boxes, agreement with what both sides show for
differences, and F1 of the words for other texts. d′ is how many standard deviations apart pairs that differ and pairs
that do not are told.</p>
{% for task, shown in examples.items() %}
<h2>{{ task }}</h2><p>The worst answers, then the best.</p><div class="items">
{% for each in shown %}
<div class="item{{ " right" if each.score >= 0.999 }}">{% for image in each.images %}<img src="{{ image }}" alt="">
{% endfor %}<p>{{ each.question }}</p><p><b>Said</b> {{ each.said or "nothing" }}</p>
<p><b>Right</b> {{ each.right }}</p>
<p>{{ "%.2f"|format(each.score) }} · <code>{{ each.sample_id }}</code></p></div>
{% endfor %}</div>
{% endfor %}
</body></html>
"""
)


def page(
    about: Mapping[str, Any],
    tasks: Mapping[str, Any],
    items: Sequence[Item],
    answers: Sequence[str],
    scores: Sequence[float],
) -> str:
    """The page's HTML; pictures are inside, and it loads nothing."""
    examples = {}
    for task in tasks:
        rows = sorted((number for number, item in enumerate(items) if item.task == task), key=lambda row: scores[row])
        most = len(rows) if len(rows) <= SHOWN else SHOWN
        worst = rows[: most - most // 3]
        examples[task] = [
            _shown(items[row], answers[row], scores[row]) for row in (*worst, *rows[len(rows) - most // 3 :])
        ]
    return TEMPLATE.render(about=about, tasks=tasks, examples=examples)


def _shown(item: Item, said: str, score: float) -> dict[str, Any]:
    return {
        "images": [_data_uri(image) for image in item.encoded],
        "question": item.question,
        "said": said,
        "right": item.answer,
        "score": score,
        "sample_id": item.sample_id,
    }


def _data_uri(encoded: bytes) -> str:
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    image.thumbnail((2 * HIGH, HIGH))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
