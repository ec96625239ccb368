// The pipelines, with their buttons.

import { asking, choose, renew, returning } from "./buttons.js";
import { byId, make, write } from "./dom.js";
import { aws } from "./requests.js";

const MOST = 20;
const RUNNING = ["InProgress", "Stopping"];

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
    for (const name of this.cards.keys()) if (!this.all.has(name)) this.cards.delete(name);
    // If not all are shown, running pipelines are; but all stay in the same order.
    const chosen = new Set([...found].sort((one, other) => (count(other) > 0) - (count(one) > 0)).slice(0, this.most));
    const parts = found.filter((each) => chosen.has(each)).map((each) => this.card(each));
    const left = found.length - parts.length;
    if (left > 0) {
      const more = () => ((this.most = Infinity), this.show());
      parts.push(make("button", { type: "button", class: "more", onclick: more }, `… and ${left} more`));
    }
    const none = this.all.size ? "No pipeline matches." : "There are no pipelines yet. Create one with aws codepipeline create-pipeline.";
    if (!found.length) parts.push(make("p", { class: "none" }, none));
    const box = byId("pipelines");
    if (parts.length !== box.children.length || parts.some((part, at) => part !== box.children[at])) box.replaceChildren(...parts);
  }

  // A pipeline's article is reused, so that its buttons can be pressed during updates.
  card(pipeline) {
    const { name, status, stages } = pipeline;
    if (!this.cards.has(name)) {
      const start = asking("Start", {
        label: `Start ${name}`,
        request: () => aws("codepipeline", "StartPipelineExecution", { name }),
        done: `Started the pipeline ${name}.`,
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
      const hidden = count(pipeline) > 1 || (count(pipeline) && !RUNNING.includes(status));
      write(parts.status, (status ?? "never run") + (hidden ? ` · ${count(pipeline)} under way` : ""));
      const back = document.activeElement === parts.stop && returning();
      parts.stop.hidden = !count(pipeline);
      if (back) back();
      renew(parts.stages, stages.map((each) => this.stage(pipeline, each)));
    }
    return parts.article;
  }

  stage(pipeline, { name, status, held, execution, actions }) {
    const where = { pipelineName: pipeline.name, stageName: name };
    const release =
      held !== null &&
      asking("Release", {
        label: `Release ${pipeline.name}, ${name}`,
        request: () => aws("codepipeline", "EnableStageTransition", { ...where, transitionType: "Inbound" }),
        done: `Released the transition to ${name}.`,
      });
    const retry =
      ["Failed", "Stopped"].includes(status) &&
      asking("Retry", {
        label: `Retry ${pipeline.name}, ${name}`,
        request: () =>
          aws("codepipeline", "RetryStageExecution", { ...where, pipelineExecutionId: execution, retryMode: "FAILED_ACTIONS" }),
        done: `Retrying the stage ${name}.`,
      });
    return make(
      "li",
      { class: status ?? "None" },
      make("h4", {}, name, make("span", { class: "hidden" }, `: ${status ?? "not started"}`)),
      held !== null ? make("p", { class: "warn" }, `Held: ${held} `, release) : null,
      make("ul", {}, ...actions.map((each) => this.action(where, each))),
      retry || null,
    );
  }

  action(where, { name, status, type, jobId, jobStatus, token, error }) {
    const told = status ?? "not started";
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

  // The executions are fixed now: while the dialog is open, others may begin and end.
  stop(name) {
    const { underWay, stages } = this.all.get(name);
    const told = Object.keys(underWay).filter((each) => !underWay[each]).map((each) => make("p", {}, `Execution ${each} waits for a stage. It can't be stopped now.`));
    const stoppable = Object.keys(underWay).filter((each) => underWay[each]);
    const choices = stoppable.flatMap((pipelineExecutionId) => {
      const which = Object.keys(underWay).length > 1 ? `${name}, execution ${pipelineExecutionId},` : name;
      const stage = stages.find((each) => each.execution === pipelineExecutionId && RUNNING.includes(each.status));
      const where = `Execution ${pipelineExecutionId}${stage ? `, in ${stage.name}` : ""}: `;
      const choice = (label, more, done) => ({
        label,
        request: () => aws("codepipeline", "StopPipelineExecution", { pipelineName: name, pipelineExecutionId, ...more }),
        done,
      });
      return [
        ["Stop and wait", `${where}jobs in progress finish; no others start.`, choice(`Stop ${which} and wait`, {}, `The pipeline ${name} stops when its jobs have ended.`)],
        ["Stop and abandon", `${where}jobs in progress are abandoned, and their results are lost.`, choice(`Stop ${which} and abandon`, { abandon: true }, `Stopped the pipeline ${name} and abandoned its jobs.`)],
      ];
    });
    choose(`Stop ${name}?`, told, choices);
  }

  review({ pipelineName, stageName }, actionName, token) {
    const summary = make("input", { id: "summary", maxlength: 512, autocomplete: "off" });
    const choice = (status, done) => ({
      label: `${done} ${actionName}`,
      request: () => aws("codepipeline", "PutApprovalResult", { pipelineName, stageName, actionName, result: { summary: summary.value, status }, token }),
      done: `${actionName} is ${status === "Approved" ? "approved" : "rejected"}.`,
    });
    choose(`Review ${actionName} of ${pipelineName}`, [make("label", {}, "Summary ", summary)], [
      ["Approve", "The pipeline continues.", choice("Approved", "Approve")],
      ["Reject", "The stage fails.", choice("Rejected", "Reject")],
    ]);
  }
}

// The number of executions under way.
function count({ underWay }) {
  return Object.keys(underWay).length;
}

function texts({ name, status, stages, underWay }) {
  return { pipeline: name, status: [status, ...Object.values(underWay)].join(" "), action: stages.flatMap((stage) => stage.actions.map((each) => each.name)).join(" ") };
}
