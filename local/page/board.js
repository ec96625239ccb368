// The lanes: one for each status, with the newest job on top.

import { returning } from "./buttons.js";
import { byId, calm, duration, make, write } from "./dom.js";

export const STATUSES = {
  Created: "recorded and claimed",
  Queued: "waiting, because the number of jobs is limited",
  Dispatched: "being acknowledged",
  InProgress: "with the worker",
  Succeeded: "CodePipeline has the result",
  Failed: "CodePipeline has the failure",
  TimedOut: "a time limit passed",
};
export const ENDED = new Set(["Succeeded", "Failed", "TimedOut"]);

const SHOWN = 12;
const MORE = 50;
const MOST_MOVES = 40;

export class Board {
  constructor(open) {
    this.jobs = new Map();
    this.cards = new Map();
    this.behind = 0;
    this.dead = "";
    this.finds = null;
    this.open = open;
    this.lanes = new Map(Object.keys(STATUSES).map((status) => [status, this.lane(status)]));
    byId("lanes").append(...[...this.lanes.values()].map((lane) => lane.section));
    byId("lanes").addEventListener("keydown", (event) => this.go(event));
    setInterval(() => this.age(), 1000);
  }

  lane(status) {
    const count = make("span", { class: "count" }, "0");
    const list = make("ul", { "aria-label": status });
    const more = make("button", { type: "button", class: "more", hidden: true });
    const head = make("h3", { title: STATUSES[status] }, make("span", {}, status), count);
    const fewer = make("button", { type: "button", class: "more", hidden: true, onclick: () => show(SHOWN) }, `Show ${SHOWN} only`);
    const lane = { status, count, list, more, fewer, ids: [], total: 0, most: SHOWN };
    const show = (most) => {
      lane.most = most;
      this.fill(lane);
    };
    lane.section = make("section", { class: `lane ${status} empty` }, head, make("div", { class: "cards" }, list, more, fewer));
    more.addEventListener("click", () => show(lane.most + MORE));
    return lane;
  }

  // Apply changes: jobs by id, null for a job that is gone.
  take(changes, now) {
    this.behind = now - Date.now();
    const touched = new Set();
    const moved = [];
    for (const [id, job] of changes) {
      const before = this.jobs.get(id);
      if (before) touched.add(before.status);
      if (job) {
        touched.add(job.status);
        if (before && before.status !== job.status) moved.push(id);
        this.jobs.set(id, job);
      } else {
        this.jobs.delete(id);
        this.cards.get(id)?.element.remove();
        this.cards.delete(id);
      }
    }
    if (!touched.size) return;
    const from = this.places(moved);
    const [focused, back] = [document.activeElement, returning()];
    this.sort(touched);
    for (const status of touched) this.fill(this.lanes.get(status));
    if (focused !== document.activeElement) back();
    this.slide(from);
  }

  clear() {
    this.take(new Map([...this.jobs.keys()].map((id) => [id, null])), Date.now() + this.behind);
  }

  // Show only the jobs that match `finds`, or all; the number of jobs shown.
  find(finds) {
    this.finds = finds;
    const all = new Set(this.lanes.keys());
    this.sort(all);
    for (const lane of this.lanes.values()) this.fill(lane);
    return [...this.lanes.values()].reduce((sum, lane) => sum + lane.ids.length, 0);
  }

  sort(touched) {
    for (const status of touched) Object.assign(this.lanes.get(status), { ids: [], total: 0 });
    for (const [id, job] of this.jobs) {
      if (!touched.has(job.status)) continue;
      const lane = this.lanes.get(job.status);
      lane.total += 1;
      if (!this.finds || this.finds(texts(id, job))) lane.ids.push(id);
    }
    for (const status of touched) {
      const since = (id) => this.jobs.get(id).times[status] ?? 0;
      this.lanes.get(status).ids.sort((one, other) => since(other) - since(one));
    }
  }

  // Put a lane's cards in order with as few changes as possible.
  fill(lane) {
    const ids = lane.ids.slice(0, lane.most);
    const wanted = new Set(ids);
    for (const item of [...lane.list.children])
      if (!wanted.has(item.dataset.job)) this.drop(item, lane);
    let place = lane.list.firstElementChild;
    for (const id of ids) {
      const card = this.card(id);
      if (card.element === place) place = place.nextElementSibling;
      else lane.list.insertBefore(card.element, place);
    }
    write(lane.count, this.finds ? `${lane.ids.length} of ${lane.total}` : String(lane.total));
    lane.section.classList.toggle("empty", lane.ids.length === 0);
    const left = lane.ids.length - lane.most;
    lane.more.hidden = left <= 0;
    write(lane.more, `… and ${left} more`);
    lane.fewer.hidden = lane.most === SHOWN;
    const buttons = [...lane.list.querySelectorAll("button")];
    const chosen = buttons.find((button) => button === document.activeElement) ?? buttons[0];
    for (const button of buttons) button.tabIndex = button === chosen ? 0 : -1;
  }

  // A card that another lane now shows has been moved there, or will be.
  drop(item, lane) {
    const job = this.jobs.get(item.dataset.job);
    if (item.parentElement !== lane.list) return;
    if (!job || job.status === lane.status || !this.lanes.get(job.status).ids.includes(item.dataset.job)) this.cards.delete(item.dataset.job);
    else if (this.lanes.get(job.status).ids.indexOf(item.dataset.job) >= this.lanes.get(job.status).most)
      this.cards.delete(item.dataset.job);
    else return;
    item.remove();
  }

  card(id) {
    const job = this.jobs.get(id);
    let card = this.cards.get(id);
    if (!card) {
      const action = make("strong");
      const where = make("span", { class: "where" });
      const age = make("span", { class: "age" });
      const why = make("span", { class: "why" });
      const button = make("button", { type: "button" }, action, where, age, why);
      button.addEventListener("click", () => this.open(id));
      card = { action, where, age, why, button, element: make("li", { "data-job": id }, button) };
      this.cards.set(id, card);
    }
    if (card.job !== job) {
      card.job = job;
      write(card.action, job.action || id);
      write(card.where, [job.pipeline, job.stage].filter(Boolean).join(" › "));
      card.element.className = job.status;
      this.tell(card);
    }
    return card;
  }

  tell(card) {
    const { job } = card;
    const times = Object.values(job.times);
    const end = ENDED.has(job.status) ? Math.max(...times) : Date.now() + this.behind;
    const notes = [duration(end - Math.min(...times))];
    if (job.percent !== undefined) notes.push(`${job.percent} %`);
    if (job.offers > 1) notes.push(`${job.offers} offers`);
    write(card.age, notes.join(" · "));
    const why = this.why(job);
    write(card.why, why);
    card.why.title = why;
    if (why) notes.push(why);
    const where = [job.action, job.pipeline && `pipeline ${job.pipeline}`, job.stage].filter(Boolean);
    card.button.setAttribute("aria-label", `${where.join(", ")}: ${job.status}, ${notes.join(", ")}`);
  }

  // Why a job failed, or may not end, in a sentence.
  why(job) {
    if (job.why) return job.why;
    if (job.status !== "InProgress") return "";
    if (this.dead) return "its worker has ended";
    if (!job.silent) return "";
    const seconds = (Date.now() + this.behind - job.silent.since) / 1000;
    return `no heartbeat for ${Math.floor(seconds)} of ${job.silent.limit} s`;
  }

  age() {
    if (document.hidden) return;
    for (const card of this.cards.values()) if (!ENDED.has(card.job.status)) this.tell(card);
  }

  places(ids) {
    const from = new Map();
    if (calm() || ids.length > MOST_MOVES) return from;
    for (const id of ids) {
      const card = this.cards.get(id);
      if (card?.element.isConnected) from.set(card, card.element.getBoundingClientRect());
    }
    return from;
  }

  slide(from) {
    for (const [card, before] of from) {
      if (!card.element.isConnected) continue;
      const after = card.element.getBoundingClientRect();
      const [x, y] = [before.x - after.x, before.y - after.y];
      card.element.animate(
        [{ transform: `translate(${x}px, ${y}px)`, zIndex: 1 }, { transform: "none", zIndex: 1 }],
        { duration: 450, easing: "cubic-bezier(.2, .7, .2, 1)" },
      );
    }
  }

  // Arrow keys go from card to card; the Tab key stops once in each lane.
  go(event) {
    const step = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    const lane = event.target.closest(".lane");
    if (!step || !lane || !event.target.closest("li")) return;
    const buttons = (section) => [...section.querySelectorAll("li button")];
    const at = buttons(lane).indexOf(event.target);
    let next = buttons(lane)[at + step[1]];
    if (step[0]) {
      const lanes = [...this.lanes.values()].map((each) => each.section).filter((each) => each.querySelector("li"));
      const beside = lanes[lanes.indexOf(lane) + step[0]];
      next = beside && (buttons(beside)[at] ?? buttons(beside).at(-1));
    }
    if (!next) return;
    event.preventDefault();
    for (const button of buttons(next.closest(".lane"))) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  }
}

function texts(id, { pipeline, stage, action, status, why = "" }) {
  return { pipeline, stage, action, status, why, id };
}
