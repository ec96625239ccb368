// The pipelines, with what can be done to each.

import { asking, choose, renew } from "./buttons.js";
import { byId, make, write } from "./dom.js";
import { aws } from "./requests.js";

const MOST = 20;

export class Pipelines {
  constructor(open) {
    this.open = open;
    this.all = new Map();
    this.cards = new Map();
    this.notices = {};
    this.finds = () => true;
    this.most = MOST;
  }

  show() {
    const found = [...this.all.values()].filter((each) => this.finds(texts(each)));
    // Where not all are shown, those that run are.
    if (found.length > MOST) found.sort((one, other) => (other.status === "InProgress") - (one.status === "InProgress"));
    for (const name of this.cards.keys()) if (!this.all.has(name)) this.cards.delete(name);
    const parts = found.slice(0, this.most).map((each) => this.card(each));
    const left = found.length - parts.length;
    if (left > 0) {
      const more = () => ((this.most = Infinity), this.show());
      parts.push(make("button", { type: "button", class: "more", onclick: more }, `… and ${left} more`));
    }
    if (!this.all.size) parts.push(make("p", { class: "none" }, "There is no pipeline yet: create one with aws codepipeline create-pipeline."));
    const box = byId("pipelines");
    if (parts.length !== box.children.length || parts.some((part, at) => part !== box.children[at])) box.replaceChildren(...parts);
  }

  // The article of a pipeline is kept, so that its button can be pressed while all moves.
  card(pipeline) {
    const { name, status, stages } = pipeline;
    if (!this.cards.has(name)) {
      const start = asking("Start", {
        label: `Start ${name}`,
        request: () => aws("codepipeline", "StartPipelineExecution", { name }),
        done: `Pipeline ${name} is started.`,
      });
      const stop = make("button", { type: "button", "aria-label": `Stop ${name} …`, onclick: () => this.stop(name) }, "Stop …");
      const parts = { status: make("span"), stages: make("ol", { class: "stages" }), stop };
      const head = make("div", { class: "head" }, make("h3", { title: name }, name), parts.status, stop, start);
      parts.article = make("article", { class: "pipeline", "aria-label": `Pipeline ${name}` }, head, parts.stages);
      this.cards.set(name, parts);
    }
    const parts = this.cards.get(name);
    const shown = JSON.stringify([pipeline, this.notices]);
    if (parts.shown !== shown) {
      parts.shown = shown;
      parts.status.className = `status ${status ?? "None"}`;
      write(parts.status, status ?? "never run");
      parts.stop.hidden = !["InProgress", "Stopping"].includes(status);
      renew(parts.stages, stages.map((each) => this.stage(pipeline, each)));
    }
    return parts.article;
  }

  stage(pipeline, { name, status, held, actions }) {
    const where = { pipelineName: pipeline.name, stageName: name };
    const release =
      held !== null &&
      asking("Release", {
        label: `Release ${pipeline.name}, ${name}`,
        request: () => aws("codepipeline", "EnableStageTransition", { ...where, transitionType: "Inbound" }),
        done: `The transition to ${name} is released.`,
      });
    const retry =
      ["Failed", "Stopped"].includes(status) &&
      asking("Retry", {
        label: `Retry ${pipeline.name}, ${name}`,
        request: () =>
          aws("codepipeline", "RetryStageExecution", { ...where, pipelineExecutionId: pipeline.id, retryMode: "FAILED_ACTIONS" }),
        done: `Stage ${name} is retried.`,
      });
    return make(
      "li",
      { class: status ?? "None" },
      make("h4", {}, name, make("span", { class: "hidden" }, `: ${status ?? "not begun"}`)),
      held !== null ? make("p", { class: "warn" }, `Held: ${held} `, release) : null,
      make("ul", {}, ...actions.map((each) => this.action(where, each))),
      retry || null,
    );
  }

  action(where, { name, status, type, jobId, jobStatus, token, error }) {
    const told = status ?? "not begun";
    const parts = [name, make("span", { class: "hidden" }, `: ${told}`)];
    const waits = status === "InProgress" && ["Created", "Queued", "Dispatched"].includes(jobStatus);
    const unserved = waits && Object.keys(this.notices).some((about) => about.split("?")[0] === type);
    return make(
      "li",
      { class: status ?? "None", title: [told, error].filter(Boolean).join(": ") },
      jobId
        ? make("button", { type: "button", class: "link", "data-key": `${where.stageName} ${name}`, onclick: () => this.open(jobId) }, ...parts)
        : make("span", {}, ...parts),
      unserved ? make("span", { class: "warn" }, " its type is not served") : null,
      token
        ? make("button", { type: "button", "data-key": `Review ${name}`, "aria-label": `Review ${name} …`, onclick: () => this.review(where, name, token) }, "Review …")
        : null,
    );
  }

  // As long as the dialog is open another execution may become the latest: this one is meant.
  stop(name) {
    const pipelineExecutionId = this.all.get(name).id;
    const choice = (label, more, done) => ({
      label,
      request: () => aws("codepipeline", "StopPipelineExecution", { pipelineName: name, pipelineExecutionId, ...more }),
      done,
    });
    choose(`Stop ${name}?`, [make("p", { class: "faint" }, `Execution ${pipelineExecutionId}`)], [
      ["Stop and wait", "Jobs in progress run to their end; no others are started.", choice(`Stop ${name} and wait`, {}, `Pipeline ${name} stops when its jobs have ended.`)],
      ["Stop and abandon", "Jobs in progress are abandoned, and their results are lost.", choice(`Stop ${name} and abandon`, { abandon: true }, `Pipeline ${name} is stopped, and its jobs are abandoned.`)],
    ]);
  }

  review({ pipelineName, stageName }, actionName, token) {
    const summary = make("input", { id: "summary", maxlength: 512, autocomplete: "off" });
    const choice = (status, done) => ({
      label: `${done} ${actionName}`,
      request: () => aws("codepipeline", "PutApprovalResult", { pipelineName, stageName, actionName, result: { summary: summary.value, status }, token }),
      done: `${actionName} is ${status === "Approved" ? "approved" : "rejected"}.`,
    });
    choose(`Review ${actionName} of ${pipelineName}`, [make("label", {}, "Summary ", summary)], [
      ["Approve", "The pipeline goes on.", choice("Approved", "Approve")],
      ["Reject", "The stage fails.", choice("Rejected", "Reject")],
    ]);
  }
}

function texts({ name, status, stages }) {
  return { pipeline: name, status: status ?? "", action: stages.flatMap((stage) => stage.actions.map((each) => each.name)).join(" ") };
}
