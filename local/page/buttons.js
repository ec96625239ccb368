// Buttons that send a request, each with a button that copies the equivalent command.

import { byId, draw, make, write } from "./dom.js";

const SAID_MS = 20_000;
let clearing = null;

export function say(text, bad = false) {
  const said = byId("said");
  // Screen readers ignore what is outside an open modal dialog.
  const place = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (said.parentElement !== place) place.append(said);
  said.classList.toggle("bad", bad);
  write(said, text);
  clearTimeout(clearing);
  clearing = setTimeout(() => write(said, ""), SAID_MS);
}

export async function run(request, done) {
  const refused = await request.send();
  say(refused || done, Boolean(refused));
  return !refused;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text}`);
  } catch {
    say(text); // The user can copy it from there.
  }
}

// A button with a text; `request` makes its request, and `done` is the message on success.
// A button that replaces it afterwards has the same `key`.
export function asking(words, { label = words, key = label, request, done, then = () => {} }) {
  const press = async () => {
    if (await run(request(), done)) then();
  };
  return make(
    "span",
    { class: "pair" },
    make("button", { type: "button", "aria-label": label, "data-key": key, onclick: press }, words),
    make(
      "button",
      { type: "button", class: "copy", "aria-label": `Copy the command: ${label}`, title: "Copy the command", "data-key": `Copy ${key}`, onclick: () => copy(request().command) },
      draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("path", { d: "M5 5V2h9v9h-3M2 5h9v9H2z" })),
    ),
  );
}

// Ask in a dialog: each choice is an argument of `asking`; closing the dialog does nothing.
export function choose(title, parts, choices) {
  const dialog = byId("ask");
  const close = () => dialog.close();
  write(byId("ask-title"), title);
  byId("ask-body").replaceChildren(
    ...parts,
    ...choices.map(([words, note, choice]) => make("p", { class: "choice" }, asking(words, { ...choice, then: close }), make("span", {}, note))),
  );
  dialog.addEventListener("close", returning(), { once: true });
  dialog.showModal();
  (dialog.querySelector("input") ?? byId("ask-close")).focus();
}

for (const id of ["ask", "job"]) byId(id).addEventListener("close", () => document.body.append(byId("said")));
byId("ask-close").addEventListener("click", () => byId("ask").close());

// A function that returns the focus to where it is now, to the element's replacement, or near it.
export function returning() {
  const place = document.activeElement;
  const home = place.closest("article, .lane, #intake");
  return () => {
    const near = [place, ...(home?.querySelectorAll("button") ?? [])].filter((each) => each.checkVisibility());
    const again = near.find((each) => each === place || (place.dataset.key && each.dataset.key === place.dataset.key));
    (again ?? near[0] ?? byId("lanes")).focus();
  };
}

// The browser drops a click whose element is replaced, or moved by what is above it, between press
// and release, so replacements wait for the release.
let pressed = null;
const postponed = new Map();
addEventListener("pointerdown", (event) => (pressed = event.target), true);
for (const end of ["pointerup", "pointercancel", "blur"]) {
  addEventListener(end, () => {
    pressed = null;
    setTimeout(() => [...postponed].forEach(([element, children]) => renew(element, children)));
  }, end !== "blur"); // the window's own: a press takes the focus from another element
}

// Replace the children of an element, and keep the focus.
export function renew(element, children) {
  if (pressed) return void postponed.set(element, children);
  postponed.delete(element);
  const back = element.contains(document.activeElement) && returning();
  element.replaceChildren(...children);
  if (back) back();
}
