// Every page: keyboard shortcuts (whatever carries aria-keyshortcuts), their list, copying, forms that submit themselves.
"use strict";

const NAMES = { ArrowLeft: "←", ArrowRight: "→", Backspace: "⌫" };

function withShortcut(key) {
  return [...document.querySelectorAll("[aria-keyshortcuts]")].find(
    (element) => element.getAttribute("aria-keyshortcuts") === key && element.offsetParent !== null,
  );
}

function activate(element) {
  if (element.matches("input:not([type=checkbox]), select, textarea")) element.focus();
  else element.click();
}

function moveBetweenCards(step) {
  const cards = [...document.querySelectorAll("[data-cards] > li > a")];
  if (!cards.length) return false;
  const at = cards.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : cards.length - 1) : Math.min(Math.max(at + step, 0), cards.length - 1);
  cards[next].focus();
  return true;
}

function showShortcuts() {
  const dialog = document.getElementById("shortcuts");
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  const add = (key, what) => {
    const term = document.createElement("dt");
    const sign = document.createElement("kbd");
    const text = document.createElement("dd");
    sign.textContent = NAMES[key] || key;
    text.textContent = what;
    term.append(sign);
    list.append(term, text);
  };
  for (const element of document.querySelectorAll("[aria-keyshortcuts]")) {
    if (element.offsetParent === null || element.id === "help") continue;
    const label = element.closest("label");
    const what = element.dataset.help || element.getAttribute("aria-label") || element.textContent.trim() || (label && label.textContent.trim());
    add(element.getAttribute("aria-keyshortcuts"), what);
  }
  if (document.querySelector("[data-cards]")) add("j k", "Next and previous card");
  if (document.querySelector("[data-bulk] [name=id]")) add("m", "Select the card");
  add("?", "This list");
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox], [type=range], [type=radio]), select, textarea");
  if (event.key === "Escape" && typing) event.target.blur();
  // A note is finished by Enter; the verdict is a key of its own.
  if (event.key === "Enter" && typing && event.target.closest("[data-review]")) {
    event.preventDefault();
    event.target.blur();
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if ((event.key === "j" || event.key === "k") && moveBetweenCards(event.key === "j" ? 1 : -1)) {
    event.preventDefault();
    return;
  }
  const found = withShortcut(event.key);
  // Where arrow keys move something else, they keep their meaning.
  if (!found || event.defaultPrevented) return;
  event.preventDefault();
  activate(found);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (event.target.closest("#help")) showShortcuts();
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
});

// The pictures of what comes next are fetched while this is looked at.
addEventListener("load", () => {
  for (const part of document.querySelectorAll("[data-ahead]")) new Image().src = part.dataset.ahead;
});

// Whoever gave a name once need not type it again.
const NAME = "imgdiff reviewer";
for (const field of document.querySelectorAll("[data-reviewer]")) {
  if (!field.value) field.value = localStorage.getItem(NAME) || "";
  field.form.addEventListener("submit", () => {
    if (field.type === "hidden" && !field.value) field.value = localStorage.getItem(NAME) || prompt("Your name") || "";
    localStorage.setItem(NAME, field.value.trim());
  });
}

for (const form of document.querySelectorAll("[data-bulk]")) {
  const boxes = [...form.querySelectorAll("[name=id]")];
  const all = form.querySelector("[data-all]");
  if (!all) continue;
  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    form.querySelector("[data-count]").textContent = count ? `${count} selected` : "select";
    all.checked = count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    for (const part of form.querySelectorAll("[data-selected]")) part.hidden = !count;
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => {
    const tags = event.submitter && "tags" in event.submitter.dataset;
    form.querySelector("[name=tag]").disabled = !tags;
    const reason = form.querySelector("[name=reason]");
    if (reason) reason.disabled = tags || event.submitter.value !== "reject";
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) if (field.name) field.disabled = false;
    show();
  });
  document.addEventListener("keydown", (event) => {
    const card = document.activeElement.closest?.("[data-cards] > li");
    if (event.key !== "m" || !card || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    const box = card.querySelector("[name=id]");
    box.checked = !box.checked;
    show();
    event.preventDefault();
  });
}

for (const fold of document.querySelectorAll("[data-fold]")) fold.open = innerWidth >= 704;

for (const form of document.querySelectorAll("form[data-submits]")) {
  form.addEventListener("change", (event) => {
    const stage = form.querySelector("[name=stage]");
    const [verdict, reason] = ["verdict", "reason"].map((name) => form.querySelector(`[name=${name}]`));
    // What is chosen last holds: no row is kept and rejected by something.
    if (event.target === reason && reason.value && verdict.value === "kept") verdict.value = "rejected";
    if (event.target === verdict && reason && verdict.value === "kept") reason.value = "";
    // Another stage has other reasons and scores.
    if (event.target === stage) for (const field of form.elements) if (field !== stage) field.disabled = true;
    form.requestSubmit();
  });
  // What is empty stays out of the address.
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-submits] :disabled")) field.disabled = false;
});
