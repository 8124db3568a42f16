// A box is drawn by dragging in either image; the corners follow, and both images show it.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

for (const part of document.querySelectorAll("[data-correct]")) {
  const box = part.querySelector("[data-box]");
  const frames = [...document.querySelectorAll("[data-viewer] .sheet")];
  if (!box || !frames.length) continue;
  const corners = [...box.querySelectorAll("input")];
  const size = [Number(box.dataset.width), Number(box.dataset.height)];
  const drawn = frames.map((frame) => {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", "drawn");
    frame.querySelector("svg").append(rect);
    return rect;
  });

  function show() {
    const [x1, y1, x2, y2] = corners.map((corner) => Number(corner.value) || 0);
    for (const rect of drawn) {
      rect.toggleAttribute("hidden", !part.open || x2 <= x1 || y2 <= y1);
      const values = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
      for (const [name, value] of Object.entries(values)) rect.setAttribute(name, value);
    }
    for (const frame of frames) frame.classList.toggle("drawing", part.open);
  }

  const inside = (value, limit) => Math.min(Math.max(value, 0), limit);
  function place(event, frame) {
    const shown = frame.getBoundingClientRect();
    return [
      inside(((event.clientX - shown.x) * size[0]) / shown.width, size[0]),
      inside(((event.clientY - shown.y) * size[1]) / shown.height, size[1]),
    ];
  }

  let begun = null;
  for (const frame of frames) {
    frame.addEventListener("pointerdown", (event) => {
      if (!part.open || event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      begun = { at: place(event, frame), frame };
    }, true);
    // The picture below is a link to its region.
    frame.addEventListener("click", (event) => {
      if (part.open) event.preventDefault();
    }, true);
  }
  addEventListener("pointermove", (event) => {
    if (!begun) return;
    const [x, y] = place(event, begun.frame);
    const [atX, atY] = begun.at;
    const values = [Math.min(x, atX), Math.min(y, atY), Math.max(x, atX), Math.max(y, atY)];
    if (Math.abs(x - atX) < 1 || Math.abs(y - atY) < 1) return;
    corners.forEach((corner, number) => (corner.value = values[number].toFixed(1)));
    show();
  });
  addEventListener("pointerup", () => (begun = null));
  box.addEventListener("input", show);
  part.addEventListener("toggle", () => {
    show();
    // What was opened by a key is written by keys.
    if (part.open) part.querySelector("textarea")?.focus();
  });
  show();
}
