// Small plots of totals and times, made from the data of the cards.

import { byId, draw, duration, make, write } from "./dom.js";
import { ENDED } from "./board.js";

const WIDTH = 240;
const HEIGHT = 44;
const BARS = 30;

export class Plots {
  constructor() {
    this.plots = new Map(
      ["Jobs", "Ended", "Time to acknowledge", "Total time"].map((title) => [title, plot(title)]),
    );
    byId("plots").append(...[...this.plots.values()].map((each) => each.figure));
  }

  show(jobs, now) {
    const all = [...jobs.values()];
    const counts = {};
    for (const job of all) counts[job.status] = (counts[job.status] ?? 0) + 1;
    this.totals(all, counts);
    this.ended(all, now);
    this.times("Time to acknowledge", all, (job) => job.times.InProgress);
    this.times("Total time", all, (job) => ENDED.has(job.status) && Math.max(...Object.values(job.times)));
  }

  totals(all, counts) {
    const each = this.plots.get("Jobs");
    const order = ["Created", "Queued", "Dispatched", "InProgress", "Succeeded", "Failed", "TimedOut"];
    const under = all.length - [...ENDED].reduce((sum, status) => sum + (counts[status] ?? 0), 0);
    let x = 0;
    const bars = order.map((status) => {
      const width = all.length ? ((counts[status] ?? 0) / all.length) * WIDTH : 0;
      const bar = draw("rect", { class: status, x, y: 12, width: Math.max(0, width - 1), height: 20, rx: 2 });
      x += width;
      return bar;
    });
    each.put(bars, String(all.length), `${under} in progress`, order.map((status) => `${counts[status] ?? 0} ${status}`).join(", "));
  }

  // How many jobs have ended in the last five minutes, or in the last minute if all jobs are newer.
  ended(all, now) {
    const each = this.plots.get("Ended");
    const ends = all.filter((job) => ENDED.has(job.status)).map((job) => [Math.max(...Object.values(job.times)), job.status]);
    const first = Math.min(...all.map((job) => Math.min(...Object.values(job.times))), now);
    const span = now - first > 60_000 ? 300_000 : 60_000;
    const bins = Array.from({ length: BARS }, () => ({ Succeeded: 0, Failed: 0, TimedOut: 0 }));
    let lately = 0;
    for (const [at, status] of ends) {
      const bin = BARS - 1 - Math.floor(((now - at) / span) * BARS);
      if (bin >= 0 && bin < BARS) {
        bins[bin][status] += 1;
        lately += 1;
      }
    }
    const most = Math.max(1, ...bins.map((bin) => bin.Succeeded + bin.Failed + bin.TimedOut));
    const bars = bins.flatMap((bin, at) => {
      let y = HEIGHT;
      return Object.entries(bin).map(([status, count]) => {
        const height = (count / most) * HEIGHT;
        y -= height;
        return rect(status, at, y, height);
      });
    });
    each.put(bars, String(lately), `in the last ${duration(span).replace(" 0 s", "")}`);
  }

  times(title, all, end) {
    const took = all.filter(end).map((job) => end(job) - Math.min(...Object.values(job.times)));
    took.sort((one, other) => one - other);
    const each = this.plots.get(title);
    if (!took.length) return each.put([], "–", "no jobs yet");
    const [low, high] = [Math.log(Math.max(took[0], 1)), Math.log(Math.max(took.at(-1), 2))];
    const bins = Array(BARS).fill(0);
    for (const value of took) {
      const part = high > low ? (Math.log(Math.max(value, 1)) - low) / (high - low) : 0.5;
      bins[Math.min(BARS - 1, Math.floor(part * BARS))] += 1;
    }
    const most = Math.max(...bins);
    const bars = bins.map((count, at) => rect("bar", at, HEIGHT - (count / most) * HEIGHT, (count / most) * HEIGHT));
    const at = (part) => took[Math.min(took.length - 1, Math.floor(part * took.length))];
    const range = `${duration(took[0])} to ${duration(took.at(-1))}`;
    return each.put(bars, duration(at(0.5)), `median; p95 ${duration(at(0.95))}`, `from ${range}`);
  }
}

function rect(kind, at, y, height) {
  const width = WIDTH / BARS;
  return draw("rect", { class: kind, x: at * width, y, width: width - 1.5, height, rx: 1 });
}

function plot(title) {
  const value = make("strong");
  const note = make("span", { class: "note" });
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title, preserveAspectRatio: "none" });
  const figure = make("figure", {}, make("figcaption", {}, make("span", {}, title), value, note), svg);
  let before = "";
  const put = (bars, number, words, more = "") => {
    write(value, number);
    write(note, words);
    svg.setAttribute("aria-label", `${title}: ${number}, ${words}${more && `, ${more}`}`);
    const after = bars.map((bar) => `${bar.getAttribute("x")} ${bar.getAttribute("height")} ${bar.getAttribute("width")}`).join();
    if (after !== before) svg.replaceChildren(...bars.filter((bar) => Number(bar.getAttribute("height")) && Number(bar.getAttribute("width"))));
    before = after;
  };
  return { figure, put };
}
