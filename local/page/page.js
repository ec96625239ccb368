// The page: one stream of changes, taken over by those who show them.

import { Board } from "./board.js";
import { byId, make, write } from "./dom.js";
import { JobView } from "./job.js";
import { Plots } from "./plots.js";
import { follow } from "./stream.js";

const CODEPIPELINE = "/_local/codepipeline/";
const WISHES = {
  succeeds: { configuration: { Outcome: "Succeed" } },
  fails: { configuration: { Outcome: "Fail" } },
  "hangs for 10 s": { configuration: { Outcome: "Hang", HeartbeatTimeoutSeconds: "10" } },
  "is offered twice": { offer_twice: true },
};
const MOST_PIPELINES = 20;

const view = new JobView();
const board = new Board((id) => view.open(id));
const plots = new Plots();
const pipelines = new Map();
const articles = new Map();
let allPipelines = false;

function take(event) {
  const changes = new Map();
  if (event.all) {
    for (const id of board.jobs.keys()) changes.set(id, null);
    pipelines.clear();
  }
  let morePipelines = event.all;
  for (const [name, value] of [...Object.entries(event.set), ...event.gone.map((name) => [name, null])]) {
    const [kind, id] = [name.split(" ", 1)[0], name.slice(name.indexOf(" ") + 1)];
    if (kind === "job") changes.set(id, value);
    else if (kind === "pipeline") {
      morePipelines = true;
      if (value) pipelines.set(id, value);
      else pipelines.delete(id);
    } else if (kind === "stack") stack(value);
    else if (kind === "notices") notices(value);
    else if (kind === "switches") behaviour(value);
    else if (kind === "nextJobs") wanted(value);
  }
  board.take(changes, event.now);
  byId("empty").hidden = board.jobs.size > 0;
  if (morePipelines) showPipelines();
  if (changes.size || event.all) replot();
}

// The plots and the totals read aloud need not be newer than a second, and five.
let plotting = null;
function replot() {
  plotting ??= setTimeout(() => {
    plotting = null;
    plots.show(board.jobs, Date.now() + board.behind);
  }, 300);
}
setInterval(() => {
  if (document.hidden || !board.jobs.size) return;
  replot();
  const counts = [...board.lanes.values()].filter((lane) => lane.ids.length);
  write(byId("totals"), counts.map((lane) => `${lane.ids.length} ${lane.status}`).join(", "));
}, 5000);

function stack(name) {
  write(byId("stack"), name ? `stack ${name}, ${location.host}` : `no stack is deployed on ${location.host}`);
}

function notices(sentences) {
  byId("notices").hidden = !sentences.length;
  write(byId("notices"), sentences.join(" "));
}

// -- Buttons ----------------------------------------------------------------------------------

async function ask(method, path, body, done) {
  const said = byId("said");
  try {
    const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const { message } = await answer.json();
    said.classList.toggle("bad", !answer.ok);
    write(said, answer.ok ? done : message);
    return answer.ok;
  } catch {
    said.classList.add("bad");
    write(said, "The local stack does not answer.");
    return false;
  }
}

for (const [words, wish] of Object.entries(WISHES))
  byId("wishes").append(
    make("button", { type: "button", onclick: () => ask("POST", `${CODEPIPELINE}next-jobs`, wish, `The next job ${words}.`) }, words),
  );

function wanted(wishes) {
  const words = wishes.map((wish) => wish.configuration.Outcome ?? (wish.offer_twice ? "offered twice" : "as it is"));
  write(byId("wanted"), words.length ? `Wanted of jobs to come: ${words.join(", ")}` : "");
}

// -- Pipelines --------------------------------------------------------------------------------

function showPipelines() {
  const all = [...pipelines.values()];
  // Where not all are shown, those that run are.
  if (all.length > MOST_PIPELINES) all.sort((one, other) => (other.status === "InProgress") - (one.status === "InProgress"));
  const shown = allPipelines ? all : all.slice(0, MOST_PIPELINES);
  for (const name of articles.keys()) if (!pipelines.has(name)) articles.delete(name);
  const parts = shown.map(pipeline);
  if (all.length > shown.length)
    parts.push(
      make("button", { type: "button", class: "more", onclick: () => ((allPipelines = true), showPipelines()) }, `… and ${all.length - shown.length} more`),
    );
  if (!all.length) parts.push(make("p", { class: "none" }, "There is no pipeline yet: aws codepipeline create-pipeline makes one."));
  const box = byId("pipelines");
  if (parts.length !== box.children.length || parts.some((part, at) => part !== box.children[at])) box.replaceChildren(...parts);
}

// The article of a pipeline is kept, so that its button can be pressed while all moves.
function pipeline({ name, status, stages }) {
  if (!articles.has(name)) {
    const start = () => ask("POST", "start", { pipeline: name }, `Pipeline ${name} is started.`);
    const parts = {
      status: make("span"),
      stages: make("ol", { class: "stages" }),
      button: make("button", { type: "button", "aria-label": `Start ${name}`, onclick: start }, "Start"),
    };
    parts.head = make("div", { class: "head" }, make("h3", {}, name), parts.status, parts.button);
    parts.article = make("article", { class: "pipeline" }, parts.head, parts.stages);
    articles.set(name, parts);
  }
  const parts = articles.get(name);
  const shown = JSON.stringify([status, stages]);
  if (parts.shown !== shown) {
    parts.shown = shown;
    parts.status.className = `status ${status ?? "None"}`;
    write(parts.status, status ?? "never run");
    parts.stages.replaceChildren(...stages.map(stage));
  }
  return parts.article;
}

function stage({ name, status, actions }) {
  const items = actions.map((action) =>
    make("li", { class: action.status ?? "None", title: action.status ?? "not begun" }, action.name, make("span", { class: "hidden" }, `: ${action.status ?? "not begun"}`)),
  );
  return make("li", { class: status ?? "None" }, make("h4", {}, name), make("ul", {}, ...items));
}

// -- Switches ---------------------------------------------------------------------------------

byId("clock").append(
  ...[60, 3600].map((seconds) =>
    make(
      "button",
      { type: "button", onclick: () => ask("POST", `${CODEPIPELINE}clock`, { advance_seconds: seconds }, "CodePipeline’s clock was advanced.") },
      seconds === 60 ? "Advance its clock by a minute" : "… by an hour",
    ),
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
    // What somebody is typing stays, unless this very switch was turned elsewhere.
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
      // Not JSON: CodePipeline says what it may be.
    }
    const turned = await ask("PATCH", `${CODEPIPELINE}behaviour`, { [name]: wish }, `${name} is ${field.value} now.`);
    if (!turned) field.value = written({ value: controls.get(name).known, choices: each.choices });
  });
  const label = make("label", {}, make("code", {}, name), field, make("small", {}, each.allowed));
  return { label, field, known: undefined };
}

// -- The stream -------------------------------------------------------------------------------

follow("events", take, (state) => {
  write(byId("connection"), state === "open" ? "live" : "not connected");
  byId("connection").className = state;
});
