// Buttons that ask the stack for something, each with one that copies the command for it.

import { byId, draw, make, write } from "./dom.js";

const SAID_MS = 20_000;
let clearing = null;

export function say(text, bad = false) {
  const said = byId("said");
  // Behind an open dialog nobody would hear it.
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
    say(text); // It can be copied from there.
  }
}

// A button by its words; `request` gives what it asks for, `done` what is said when that is done.
export function asking(words, { label = words, request, done, then = () => {} }) {
  const press = async () => {
    if (await run(request(), done)) then();
  };
  return make(
    "span",
    { class: "pair" },
    make("button", { type: "button", "aria-label": label, "data-key": label, onclick: press }, words),
    make(
      "button",
      { type: "button", class: "copy", "aria-label": `Copy the command: ${label}`, title: "Copy the command", "data-key": `Copy ${label}`, onclick: () => copy(request().command) },
      draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, draw("path", { d: "M5 5V2h9v9h-3M2 5h9v9H2z" })),
    ),
  );
}

// Ask once: each choice is one of `asking`; closing the dialog does nothing.
export function choose(title, parts, choices) {
  const dialog = byId("ask");
  const close = () => dialog.close();
  write(byId("ask-title"), title);
  byId("ask-body").replaceChildren(
    ...parts,
    ...choices.map(([words, note, choice]) => make("p", { class: "choice" }, asking(words, { ...choice, then: close }), make("span", {}, note))),
  );
  dialog.showModal();
}

for (const id of ["ask", "job"]) byId(id).addEventListener("close", () => document.body.append(byId("said")));
byId("ask-close").addEventListener("click", () => byId("ask").close());

// Put new children into an element, without taking the focus from the button that stays.
export function renew(element, children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  element.replaceChildren(...children);
  if (key) [...element.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
}
