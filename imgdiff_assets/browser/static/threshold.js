// A threshold as a line that is dragged: the line moves at once, and what it would keep follows as fast as it is told.
"use strict";

for (const form of document.querySelectorAll("[data-threshold]")) {
  const chart = form.querySelector("svg");
  const slider = form.elements.slid;
  const field = form.elements.value;
  const answer = document.querySelector("[data-answer]");
  const [low, high] = [Number(form.dataset.low), Number(form.dataset.high)];
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "tried");
  line.setAttribute("y1", "14");
  line.setAttribute("y2", "116");
  chart.append(line);
  let asking = false;
  let wanted = null;

  function show() {
    const share = Math.min(1, Math.max(0, (Number(field.value) - low) / (high - low)));
    for (const name of ["x1", "x2"]) line.setAttribute(name, (4 + 352 * share).toFixed(2));
    chart.setAttribute("aria-label", `${form.elements.of.value}: the line is at ${field.value}`);
  }

  // One question at a time: what was passed over on the way is not asked.
  async function ask() {
    if (asking || wanted === null) return;
    asking = true;
    const { value, since } = wanted;
    wanted = null;
    answer.setAttribute("aria-busy", "true");
    try {
      const told = await fetch(`${form.dataset.then}?${new URLSearchParams({ of: form.elements.of.value, value })}`);
      const text = await told.text();
      if (told.ok) answer.innerHTML = text;
      else answer.textContent = new DOMParser().parseFromString(text, "text/html").querySelector("main").textContent;
    } catch {
      answer.textContent = "The server does not answer.";
    }
    await new Promise(requestAnimationFrame);
    answer.dataset.milliseconds = (performance.now() - since).toFixed(0);
    answer.dataset.value = value;
    if (wanted === null) answer.setAttribute("aria-busy", "false");
    asking = false;
    ask();
  }

  function move(value) {
    field.value = value;
    slider.value = value;
    show();
    if (!field.validity.valid) return;
    wanted = { value: field.value, since: performance.now() };
    ask();
  }

  slider.addEventListener("input", () => move(slider.value));
  field.addEventListener("input", () => move(field.value));
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-value]");
    if (button) move(button.dataset.value);
  });

  function drag(event) {
    const box = chart.getBoundingClientRect();
    const share = ((event.clientX - box.x) / box.width - 4 / 360) * (360 / 352);
    slider.value = low + (high - low) * share;
    move(slider.value);
  }
  chart.addEventListener("pointerdown", (event) => {
    chart.setPointerCapture(event.pointerId);
    drag(event);
  });
  chart.addEventListener("pointermove", (event) => {
    if (chart.hasPointerCapture(event.pointerId)) drag(event);
  });
  move(field.value);
}
