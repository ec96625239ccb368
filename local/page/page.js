// The page: passes a stream of changes on to the parts that show them.

import { Board } from "./board.js";
import { asking, renew, run } from "./buttons.js";
import { byId, make, write } from "./dom.js";
import { finder } from "./find.js";
import { JobView } from "./job.js";
import { Pipelines } from "./pipelines.js";
import { Plots } from "./plots.js";
import { inRegion, invoke, local } from "./requests.js";
import { follow } from "./stream.js";

const WISHES = {
  succeeds: { configuration: { Outcome: "Succeed" } },
  fails: { configuration: { Outcome: "Fail" } },
  "hangs for 10 s": { configuration: { Outcome: "Hang", HeartbeatTimeoutSeconds: "10" } },
  "is offered twice": { offer_twice: true },
};

const view = new JobView();
const open = (id) => view.open(id);
const board = new Board(open);
const pipelines = new Pipelines(open);
const plots = new Plots();

function take(event) {
  const changes = new Map();
  if (event.all) {
    for (const id of board.jobs.keys()) changes.set(id, null);
    pipelines.all.clear();
  }
  let morePipelines = event.all;
  for (const [name, value] of [...Object.entries(event.set), ...event.gone.map((name) => [name, null])]) {
    const [kind, id] = [name.split(" ", 1)[0], name.slice(name.indexOf(" ") + 1)];
    if (kind === "job") changes.set(id, value);
    else if (kind === "pipeline") {
      morePipelines = true;
      if (value) pipelines.all.set(id, value);
      else pipelines.all.delete(id);
    } else if (kind === "region") inRegion(value);
    else if (kind === "stack") stack(value);
    else if (kind === "notices") {
      notices(value);
      morePipelines = true;
    } else if (kind === "worker") worker(value);
    else if (kind === "switches") behaviour(value);
    else if (kind === "nextJobs") wanted(value);
  }
  board.take(changes, event.now);
  byId("empty").hidden = board.jobs.size > 0;
  if (morePipelines) pipelines.show();
  if (changes.size || event.all) replot();
}

// The plots are updated within a second, and the totals for screen readers every five seconds.
let plotting = null;
function replot() {
  plotting ??= setTimeout(() => {
    plotting = null;
    plots.show(board.jobs, Date.now() + board.behind);
    write(byId("tally"), totals());
  }, 300);
}
function totals() {
  return [...board.lanes].filter(([, lane]) => lane.total).map(([status, lane]) => `${lane.total} ${status}`).join(", ");
}
setInterval(() => {
  if (document.hidden) return;
  replot();
  write(byId("totals"), totals());
}, 5000);

function stack(found) {
  write(byId("stack"), found ? `stack ${found.name}, ${location.host}` : `no stack is deployed on ${location.host}`);
  byId("types").hidden = !found;
  if (found) renew(byId("intake"), Object.entries(found.types).map(([type, paused]) => intake(found.intake, type, paused)));
}

function intake(name, type, paused) {
  const [words, kind] = paused ? ["Resume", "Resume Intake"] : ["Pause", "Pause Intake"];
  const button = asking(words, {
    label: `${words} ${type}`,
    key: type,
    request: () => invoke(name, { "detail-type": kind, detail: { actionTypes: [type] } }),
    done: `Intake of ${type} is ${paused ? "resumed" : "paused; CodePipeline keeps its jobs"}.`,
  });
  return make("li", {}, make("code", {}, type), make("span", { class: paused ? "TimedOut status" : "Succeeded status" }, paused ? "paused" : "active"), button);
}

function notices(sentences) {
  pipelines.notices = sentences;
  byId("notices").hidden = !Object.keys(sentences).length;
  byId("notices").replaceChildren(...Object.values(sentences).map((each) => make("p", {}, each)));
}

// Only the sample worker does what an action's configuration says.
function worker({ kind, ended }) {
  board.dead = ended;
  for (const pair of byId("wishes").children) pair.hidden = kind !== "sample" && !pair.dataset.any;
  board.age();
}

for (const [words, wish] of Object.entries(WISHES)) {
  const button = asking(words, { request: () => local("POST", "next-jobs", wish), done: `The next job ${words}.` });
  if (wish.offer_twice) button.dataset.any = "yes";
  byId("wishes").append(button);
}

function wanted(wishes) {
  const words = wishes.map((wish) => wish.configuration.Outcome ?? (wish.offer_twice ? "offered twice" : "unchanged"));
  write(byId("wanted"), words.length ? `Next jobs: ${words.join(", ")}` : "");
}

byId("find").addEventListener("input", () => {
  const text = byId("find").value;
  pipelines.finds = finder(text);
  pipelines.show();
  const found = board.find(text.trim() ? pipelines.finds : null);
  write(byId("found"), text.trim() ? `${found} of ${board.jobs.size} jobs` : "");
});

// -- Switches ---------------------------------------------------------------------------------

byId("clock").append(
  ...[60, 3600].map((seconds) =>
    asking(seconds === 60 ? "Advance the clock by a minute" : "… by an hour", {
      label: `Advance the clock by ${seconds === 60 ? "a minute" : "an hour"}`,
      request: () => local("POST", "clock", { advance_seconds: seconds }),
      done: "CodePipeline’s clock was advanced.",
    }),
  ),
);

const controls = new Map();

function behaviour(switches) {
  for (const [name, each] of Object.entries(switches)) {
    if (!controls.has(name)) {
      controls.set(name, control(name, each));
      byId("behaviour").append(controls.get(name).label);
    }
    const { field, known } = controls.get(name);
    // Keep what the user is typing, unless this switch was changed elsewhere.
    if (known !== each.value) field.value = written(each);
    controls.get(name).known = each.value;
  }
}

function written({ value, choices }) {
  return choices ? JSON.stringify(value) : String(value);
}

function control(name, each) {
  const field = each.choices
    ? make("select", {}, ...each.choices.map((choice) => make("option", { value: JSON.stringify(choice) }, String(choice))))
    : make("input", { spellcheck: "false", autocomplete: "off" });
  field.addEventListener("change", async () => {
    let wish = field.value;
    try {
      wish = JSON.parse(field.value);
    } catch {
      // Not JSON: the answer says which values are allowed.
    }
    const turned = await run(local("PATCH", "behaviour", { [name]: wish }), `${name} is now ${field.value}.`);
    if (!turned) field.value = written({ value: controls.get(name).known, choices: each.choices });
  });
  const label = make("label", {}, make("code", {}, name), field, make("small", {}, each.allowed));
  return { label, field, known: undefined };
}

// -- The stream, and the address of a job -----------------------------------------------------

follow("events", take, (state) => {
  write(byId("connection"), state === "open" ? "live" : "not connected");
  byId("connection").className = state;
});
view.followAddress();
