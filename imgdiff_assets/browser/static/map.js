// The map: points written straight into a picture's pixels, which needs no graphics card; a lasso lists what it holds.
"use strict";

const PALETTE = ["#4c8bf5", "#e58c3a", "#2ca474", "#c964cf", "#d9534f", "#8a7ae0", "#b0a12c", "#29a3b8", "#e06fa0", "#7f8790"];
const SIDE = 1000;
const MOST_CORNERS = 48;

const rgba = (hex) => (255 << 24) | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16);

for (const section of document.querySelectorAll("[data-map]")) {
  const canvas = section.querySelector("canvas");
  const context = canvas.getContext("2d");
  const said = section.querySelector("[data-said]");
  const view = { scale: 1, x: 0, y: 0 };
  let points = { count: 0 };
  let colours = new Uint32Array();
  let image = null;
  let lasso = null;
  let asked = false;

  function size() {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    image = context.createImageData(canvas.width, canvas.height);
    draw();
  }

  // From the plane (0 to 1) to pixels, a square in the middle.
  function frame() {
    const side = Math.min(canvas.width, canvas.height) * 0.94 * view.scale;
    return { side, left: (canvas.width - side) / 2 + view.x, top: (canvas.height - side) / 2 + view.y };
  }

  function paint() {
    const began = performance.now();
    const { width, height } = canvas;
    const { side, left, top } = frame();
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0);
    const thick = points.count > 20000 ? 2 : points.count > 2000 ? 4 : 8;
    for (let number = 0; number < points.count; number++) {
      const x = (left + points.x[number] * side) | 0;
      const y = (top + points.y[number] * side) | 0;
      if (x < 0 || y < 0 || x + thick > width || y + thick > height) continue;
      const colour = colours[number];
      for (let row = 0; row < thick; row++) {
        const at = (y + row) * width + x;
        for (let column = 0; column < thick; column++) pixels[at + column] = colour;
      }
    }
    context.putImageData(image, 0, 0);
    if (lasso) {
      context.beginPath();
      for (const [x, y] of lasso) context.lineTo(x, y);
      context.closePath();
      context.strokeStyle = getComputedStyle(canvas).color;
      context.lineWidth = 2;
      context.stroke();
    }
    canvas.dataset.milliseconds = (performance.now() - began).toFixed(1);
  }

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      paint();
    });
  }

  function scored(value, low, high) {
    if (Number.isNaN(value)) return rgba("#7f8790");
    const share = Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low || 1))));
    return (255 << 24) | ((255 - share) << 16) | (90 << 8) | share;
  }

  function legend(entries) {
    section.querySelector("[data-legend]").replaceChildren(
      ...entries.map(([colour, text]) => {
        const item = document.createElement("li");
        item.innerHTML = '<svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2"></rect></svg> ';
        item.querySelector("rect").setAttribute("fill", colour);
        item.append(text);
        return item;
      }),
    );
  }

  async function load() {
    const coloured = section.querySelector("[data-coloured]").value;
    const answer = await fetch(`${section.dataset.points}?coloured=${encodeURIComponent(coloured)}`);
    if (!answer.ok) {
      said.textContent = "The map cannot be read; reload the page.";
      return;
    }
    const data = await answer.arrayBuffer();
    const end = new Uint8Array(data).indexOf(10) + 1;
    const head = JSON.parse(new TextDecoder().decode(data.slice(0, end)));
    const array = (place) => new Float32Array(data, end + 4 * place * head.count, head.count);
    points = { count: head.count, x: array(0), y: array(1), value: array(2) };
    if (head.names.length) {
      const counts = new Uint32Array(head.names.length);
      for (const value of points.value) counts[value]++;
      const order = [...counts.keys()].sort((one, other) => counts[other] - counts[one]);
      const places = order.map((_, code) => Math.min(order.indexOf(code), PALETTE.length - 1));
      const table = Uint32Array.from(places, (place) => rgba(PALETTE[place]));
      colours = Uint32Array.from(points.value, (value) => table[value]);
      legend(order.slice(0, 12).map((code, place) => [PALETTE[Math.min(place, PALETTE.length - 1)], `${head.names[code]} (${counts[code].toLocaleString("en")})`]));
    } else {
      let [low, high] = [Infinity, -Infinity];
      for (const value of points.value) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      colours = Uint32Array.from(points.value, (value) => scored(value, low, high));
      legend([["#005aff", `least: ${low.toPrecision(3)}`], ["#ff5a00", `most: ${high.toPrecision(3)}`]]);
    }
    said.textContent = `${head.count.toLocaleString("en")} samples` + (head.left_out ? `; ${head.left_out.toLocaleString("en")} came later: imgdiff map` : "");
    draw();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.x) * canvas.width) / box.width, ((event.clientY - box.y) * canvas.height) / box.height];
  }

  function zoom(factor, [atX, atY] = [canvas.width / 2, canvas.height / 2]) {
    const before = frame();
    const scale = factor === 0 ? 1 : Math.min(Math.max(view.scale * factor, 0.5), 200);
    const [x, y] = [(atX - before.left) / before.side, (atY - before.top) / before.side];
    view.scale = scale;
    if (factor === 0) view.x = view.y = 0;
    else {
      view.x = view.y = 0;
      const after = frame();
      view.x = atX - x * after.side - after.left;
      view.y = atY - y * after.side - after.top;
    }
    draw();
  }

  function list(corners) {
    const { side, left, top } = frame();
    const step = Math.max(1, Math.ceil(corners.length / MOST_CORNERS));
    const told = corners.filter((_, number) => number % step === 0).flatMap(([x, y]) => [Math.round(((x - left) / side) * SIDE), Math.round(((y - top) / side) * SIDE)]);
    location.href = `${section.dataset.gallery}?verdict=all&area=${told.join(",")}`;
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    lasso = [place(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!lasso) return;
    lasso.push(place(event));
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    const drawn = lasso;
    lasso = null;
    draw();
    if (drawn && drawn.length > 4) list(drawn);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, place(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (!step) return;
    event.preventDefault();
    view.x += step[0];
    view.y += step[1];
    draw();
  });
  section.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.dataset.zoom) zoom(Number(button.dataset.zoom));
    if (button && "here" in button.dataset) list([[0, 0], [canvas.width, 0], [canvas.width, canvas.height], [0, canvas.height]]);
  });
  section.querySelector("[data-coloured]").addEventListener("change", load);
  addEventListener("resize", size);
  size();
  load();
}
