// The two images: side by side, swapped, blinking, overlaid or subtracted; zoomed and moved together; boxes lit together.
"use strict";

const BLINK_MILLISECONDS = 600;
const LARGEST_SCALE = 16;

for (const viewer of document.querySelectorAll("[data-viewer]")) {
  const pan = viewer.querySelector("[data-pan]");
  const sheets = [...viewer.querySelectorAll(".sheet")];
  const mix = viewer.querySelector("[data-mix]");
  const place = { scale: 1, x: 0, y: 0 };
  let blinking = 0;

  function show() {
    const frame = sheets[0].parentElement;
    const limit = (value, size) => Math.min(0, Math.max(value, size * (1 - place.scale)));
    place.x = limit(place.x, frame.clientWidth);
    place.y = limit(place.y, frame.clientHeight);
    for (const sheet of sheets) sheet.style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
    viewer.dataset.scale = place.scale.toFixed(2);
  }

  function zoom(factor, x, y) {
    const frame = sheets[0].parentElement;
    const [atX, atY] = [x ?? frame.clientWidth / 2, y ?? frame.clientHeight / 2];
    const scale = factor === 0 ? 1 : Math.min(Math.max(place.scale * factor, 1), LARGEST_SCALE);
    place.x = atX - ((atX - place.x) * scale) / place.scale;
    place.y = atY - ((atY - place.y) * scale) / place.scale;
    place.scale = scale;
    show();
  }

  function look(mode) {
    viewer.dataset.mode = mode;
    for (const button of viewer.querySelectorAll("button[data-mode]"))
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    mix.hidden = mode !== "overlay";
    viewer.querySelector(".second").style.opacity = mode === "overlay" ? mix.value / 100 : "";
    clearInterval(blinking);
    viewer.classList.remove("at-first", "at-second");
    if (mode === "blink") {
      viewer.classList.add("at-first");
      blinking = setInterval(() => {
        viewer.classList.toggle("at-first");
        viewer.classList.toggle("at-second");
      }, BLINK_MILLISECONDS);
    }
    show();
  }

  viewer.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    // Pressed once more, a way of looking gives way to the plain one.
    if (button.dataset.mode) look(viewer.dataset.mode === button.dataset.mode ? "side" : button.dataset.mode);
    if (button.dataset.zoom) zoom(Number(button.dataset.zoom));
    if ("boxes" in button.dataset) {
      const hidden = viewer.classList.toggle("no-boxes");
      button.setAttribute("aria-pressed", String(!hidden));
    }
  });
  mix.addEventListener("input", () => look("overlay"));

  pan.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (!step || place.scale === 1) return;
    event.preventDefault();
    place.x += step[0];
    place.y += step[1];
    show();
  });
  pan.addEventListener("wheel", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame || !(event.ctrlKey || place.scale > 1)) return;
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - box.x, event.clientY - box.y);
  }, { passive: false });
  pan.addEventListener("dblclick", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    zoom(2, event.clientX - box.x, event.clientY - box.y);
  });

  let held = null;
  pan.addEventListener("pointerdown", (event) => {
    if (place.scale > 1 && event.target.closest(".frame")) held = { x: event.clientX - place.x, y: event.clientY - place.y, moved: false };
  });
  addEventListener("pointermove", (event) => {
    if (!held) return;
    held.moved = true;
    place.x = event.clientX - held.x;
    place.y = event.clientY - held.y;
    show();
  });
  addEventListener("pointerup", () => setTimeout(() => (held = null)));
  // A drag that ends on a box does not open it.
  pan.addEventListener("click", (event) => held && held.moved && event.preventDefault(), true);
  addEventListener("resize", show);
}

function light(region, on) {
  for (const element of document.querySelectorAll("[data-region]"))
    if (element.dataset.region === region) element.classList.toggle("lit", on);
}
for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
  document.addEventListener(begin, (event) => {
    const element = event.target.closest?.("[data-region]");
    if (element) light(element.dataset.region, true);
  });
  document.addEventListener(end, (event) => {
    const element = event.target.closest?.("[data-region]");
    if (element) light(element.dataset.region, false);
  });
}
