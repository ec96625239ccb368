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
// The one that takes its place when that is done has the same `key`.
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

// Ask once: each choice is one of `asking`; closing the dialog does nothing.
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

// What brings the focus back to where it is now, to what has taken the place of that, or beside it.
export function returning() {
  const place = document.activeElement;
  const home = place.closest("article, .lane, #intake");
  return () => {
    const near = [place, ...(home?.querySelectorAll("button") ?? [])].filter((each) => each.checkVisibility());
    const again = near.find((each) => each === place || (place.dataset.key && each.dataset.key === place.dataset.key));
    (again ?? near[0] ?? byId("lanes")).focus();
  };
}

// Put new children into an element, without taking the focus from where it is.
export function renew(element, children) {
  const back = element.contains(document.activeElement) && returning();
  element.replaceChildren(...children);
  if (back) back();
}
