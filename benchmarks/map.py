"""How fast the map moves: `python -m benchmarks.map [--points N] [--json FILE]`.

The page's own script in headless Chromium without a graphics card, over made-up points in 40 heaps. Each frame is a
step to the side, and all points are drawn again; a frame is the time between two that the browser shows.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np

STATIC = Path(__file__).parent.parent / "imgdiff_assets" / "browser" / "static"
HEAPS = 40
FRAMES = 60
PAGE = (
    "<link rel=stylesheet href=/site.css><main><section data-map data-points=/points data-gallery=/gallery>"
    "<select data-coloured><option>kind</select><span data-said></span><canvas tabindex=0></canvas>"
    "<ul data-legend></ul></section></main><script src=/map.js></script>"
)
MOVE = """async (count) => {
  const canvas = document.querySelector("canvas"), frames = [], drawn = [];
  let last = performance.now();
  for (let number = 0; number < count; number++) {
    const key = number % 2 ? "ArrowLeft" : "ArrowRight";
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const now = performance.now();
    frames.push((now - last) / 2);
    last = now;
    drawn.push(Number(canvas.dataset.milliseconds));
  }
  return [frames, drawn];
}"""


def points(count: int) -> bytes:
    """What `/map/points` answers, for made-up points."""
    noise = np.random.default_rng(0)
    centres = noise.random((HEAPS, 2))
    places = np.clip(centres[noise.integers(0, HEAPS, count)] + noise.normal(0, 0.05, (count, 2)), 0, 1)
    head = json.dumps({"count": count, "names": ["one", "two", "three", "four"], "left_out": 0}).encode()
    head += b" " * (-(len(head) + 1) % 4) + b"\n"
    arrays = (places[:, 0], places[:, 1], noise.integers(0, 4, count))
    return head + b"".join(np.asarray(array, "<f4").tobytes() for array in arrays)


def measure(count: int) -> dict[str, Any]:
    """Milliseconds of a frame and of drawing all points. Raises SystemExit without Chromium."""
    from playwright.sync_api import Route, sync_playwright

    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("no chromium on the PATH; Debian: apt-get install chromium")
    data = points(count)

    def answer(route: Route) -> None:
        name = route.request.url.partition("localhost/")[2].partition("?")[0]
        if not name:
            route.fulfill(body=PAGE, content_type="text/html")
        elif name == "points":
            route.fulfill(body=data)
        else:
            route.fulfill(path=STATIC / name) if (STATIC / name).is_file() else route.fulfill(status=404)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/*", answer)
        page.goto("http://localhost/")
        page.wait_for_function("document.querySelector('[data-said]').textContent.includes('samples')")
        frames, drawn = page.evaluate(MOVE, FRAMES)
        browser.close()
    return {
        "points": count,
        "milliseconds_per_frame": {"median": round(statistics.median(frames), 1), "worst": round(max(frames), 1)},
        "milliseconds_of_drawing": {"median": round(statistics.median(drawn), 1), "worst": round(max(drawn), 1)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures = measure(arguments.points)
    print(json.dumps(figures, indent=1))
    if arguments.json:
        command = f"python -m benchmarks.map --points {arguments.points}"
        arguments.json.write_text(json.dumps({"command": command, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
