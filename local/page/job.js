// Everything about a job, in a dialog: its statuses, what happened, and its place in the state machine.

import { copy, returning } from "./buttons.js";
import { byId, duration, make, write } from "./dom.js";
import { ENDED, STATUSES } from "./board.js";
import { picture } from "./machine.js";
import { follow } from "./stream.js";

const ADDRESS = "#job=";

// The id of the job that the address names, or "".
function named() {
  if (!location.hash.startsWith(ADDRESS)) return "";
  try {
    return decodeURIComponent(location.hash.slice(ADDRESS.length));
  } catch {
    return "";
  }
}

export class JobView {
  constructor() {
    this.dialog = byId("job");
    byId("job-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("close", () => {
      this.stream?.close();
      this.stream = null;
      this.back();
      if (named()) history.replaceState(null, "", location.pathname);
    });
    byId("job-link").addEventListener("click", () => copy(location.href));
  }

  // Open the job that the address names, now and whenever the address changes.
  followAddress() {
    const look = () => (named() ? this.open(named()) : this.dialog.close());
    addEventListener("hashchange", look);
    if (named()) look();
  }

  open(id) {
    if (named() !== id) history.replaceState(null, "", `${ADDRESS}${encodeURIComponent(id)}`);
    this.known = new Map();
    this.drawn = null;
    this.definition = null;
    write(byId("job-title"), "…");
    byId("job-body").replaceChildren();
    this.stream?.close();
    this.stream = follow(`events?job=${encodeURIComponent(id)}`, (event) => this.take(event, id));
    if (this.dialog.open) return;
    this.back = returning();
    this.dialog.showModal();
  }

  take(event, id) {
    if (event.all) this.known.clear();
    for (const [name, value] of Object.entries(event.set)) this.known.set(name, value);
    for (const name of event.gone) this.known.delete(name);
    this.render(id);
  }

  render(id) {
    const job = this.known.get("job");
    const offers = [...this.known].filter(([name]) => name.startsWith("offer ")).map(([name, offer]) => ({ name: name.slice(6), ...offer }));
    offers.sort((one, other) => one.began.localeCompare(other.began));
    if (!job && !offers.length) {
      write(byId("job-title"), `Job ${id}`);
      byId("job-body").replaceChildren(make("p", {}, "The job table has no row for this job: Intake has not taken it yet, or it belongs to another stack."));
      return;
    }
    write(byId("job-title"), job ? job.action || id : id);
    const body = byId("job-body");
    const scrolled = body.scrollTop;
    const focused = body.contains(document.activeElement) && document.activeElement.parentElement.dataset.name;
    const open = new Set([...body.querySelectorAll("details[open]")].map((each) => each.dataset.name));
    const left = make(
      "div",
      { class: "told" },
      job && steps(job),
      job && job.error && make("p", { class: "error" }, make("strong", {}, job.error), ` ${job.cause ?? ""}`),
      job && worker(job),
      facts(job, id, offers.length, this.known.get("codepipeline")),
      table("Configuration", this.known.get("configuration")),
      table("Time limits, in seconds", this.known.get("timeouts")),
      make("h3", {}, "What happened"),
      story(offers),
      log(this.known.get("log")),
    );
    body.replaceChildren(left, this.machine(job, offers, body.clientWidth));
    for (const each of body.querySelectorAll("details")) each.open = open.has(each.dataset.name);
    if (focused) [...body.querySelectorAll("details")].find((each) => each.dataset.name === focused)?.firstElementChild.focus();
    body.scrollTop = scrolled;
  }

  // The state machine, with the path of the execution that has the job: the last that did not stand down.
  machine(job, offers) {
    const definition = this.known.get("machine");
    if (!definition) return "";
    if (!this.drawn) this.drawn = picture(definition);
    const working = offers.filter((offer) => offer.states.at(-1) !== "StandDown").at(-1) ?? offers.at(-1);
    this.drawn.show(working?.states ?? [], working?.status === "RUNNING");
    this.section ??= make("section", { class: "drawing", tabindex: 0, "aria-label": "State machine" });
    if (this.section.firstChild !== this.drawn.svg) this.section.replaceChildren(this.drawn.svg);
    return this.section;
  }
}

function steps(job) {
  const reached = Object.keys(STATUSES).filter((status) => status in job.times);
  const first = Math.min(...Object.values(job.times));
  return make(
    "ol",
    { class: "steps", "aria-label": "Statuses" },
    ...reached.map((status, at) => {
      const note = at ? `+${duration(job.times[status] - first)}` : new Date(first).toLocaleTimeString();
      const here = status === job.status && !ENDED.has(status) ? "step" : null;
      return make("li", { class: status, "aria-current": here }, make("strong", {}, status), make("span", {}, note));
    }),
  );
}

// What is wrong with a job's worker, and what to do.
function worker({ dead, silent }) {
  const since = silent && new Date(silent.since).toLocaleTimeString();
  if (dead) return make("p", { class: "error" }, `${dead} When it runs again, it receives the job within two minutes.`);
  if (silent) return make("p", { class: "error" }, `Its worker has sent no heartbeat since ${since}. If the worker has died, restart it: the job will be delivered again. After ${silent.limit} s without a heartbeat the job ends as TimedOut.`);
  return null;
}

function facts(job, id, offers, codepipeline) {
  const action = codepipeline?.action ?? {};
  const said = [action.status, action.summary, action.status === "InProgress" && action.percentComplete !== undefined && `${action.percentComplete} %`, action.errorDetails?.code];
  const told = [...new Set(said.filter(Boolean))].join(" · ");
  const rows = {
    Job: id,
    Pipeline: job && [job.pipeline, job.stage, job.action].filter(Boolean).join(" › "),
    "Action type": job?.actionType,
    Client: job?.clientId,
    Offers: job && `${job.offers}, with ${offers} execution${offers === 1 ? "" : "s"}`,
    "Acknowledge calls": job && String(job.acknowledgeCalls),
    "Worker’s progress": job && [job.percent !== undefined && `${job.percent} %`, job.summary].filter(Boolean).join(" · "),
    "CodePipeline’s job": codepipeline && `${codepipeline.status}${codepipeline.withdrawn ? ", withdrawn" : ""}`,
    "CodePipeline’s action": told,
  };
  return list(rows);
}

function list(rows) {
  const shown = Object.entries(rows).filter(([, value]) => value);
  return make("dl", {}, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function table(title, values) {
  if (!values || !Object.keys(values).length) return null;
  const texts = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  return make("div", {}, make("h3", {}, title), list(texts));
}

function log(lines) {
  if (!lines?.length) return null;
  return make("div", {}, make("h3", {}, "The worker’s log"), make("pre", { class: "log" }, lines.join("\n")));
}

function story(offers) {
  const all = offers.flatMap((offer, at) =>
    offer.happened.map((entry, number) => ({ ...entry, offer: at + 1, name: `${offer.name} ${number}` })),
  );
  all.sort((one, other) => one.at.localeCompare(other.at));
  const first = all.length ? Date.parse(all[0].at) : 0;
  return make(
    "ol",
    { class: "story" },
    ...all.map((entry) => {
      const bad = /fail|timed out|abort|error/.test(entry.what);
      return make(
        "li",
        { class: [entry.who.replaceAll(" ", ""), bad && "bad"].filter(Boolean).join(" ") },
        make("time", { datetime: entry.at }, `+${((Date.parse(entry.at) - first) / 1000).toFixed(2)}`),
        make("span", { class: "who" }, offers.length > 1 ? `${entry.who} (offer ${entry.offer})` : entry.who),
        make("span", { class: "what" }, entry.what, text(entry)),
      );
    }),
  );
}

function text(entry) {
  if (!entry.text) return null;
  if (entry.text.length < 120) return make("code", {}, entry.text.replace(/\s+/g, " "));
  return make("details", { "data-name": entry.name }, make("summary", {}, "more"), make("pre", {}, entry.text));
}
