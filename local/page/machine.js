// The picture of the state machine: layers from top to bottom, made from its definition.

import { draw } from "./dom.js";

const BOX = { width: 132, height: 26 };
const GAP = { x: 9, y: 20 };
const LONG_NAME = 16;
const SWEEPS = 24;

// The position of each state of {start, states: {name: {type, comment, next, catch}}}.
export function layout({ start, states }) {
  const edges = forward(start, states);
  const layers = rank(states, edges);
  const nodes = new Map();
  for (const name of Object.keys(states)) nodes.set(name, { name, layer: layers.get(name), width: BOX.width, up: [], down: [] });
  for (const edge of edges) edge.points = path(edge, nodes);
  const rows = [];
  for (const node of nodes.values()) (rows[node.layer] ??= []).push(node);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) order(rows, sweep % 2 === 0 ? "up" : "down");
  place(rows);
  return { nodes, edges, rows };
}

// All transitions; those that would close a cycle are marked as `back`.
function forward(start, states) {
  const edges = [];
  const state = new Map();
  const visit = (name) => {
    state.set(name, "open");
    for (const kind of ["next", "catch"])
      for (const to of states[name][kind]) {
        if (kind === "catch" && states[name].next.includes(to)) continue;
        edges.push({ from: name, to, kind, back: state.get(to) === "open" });
        if (!state.has(to)) visit(to);
      }
    state.set(name, "closed");
  };
  visit(start);
  for (const name of Object.keys(states)) if (!state.has(name)) visit(name);
  return edges;
}

// The layer of each state: the length of the longest path to it.
function rank(states, edges) {
  const into = new Map(Object.keys(states).map((name) => [name, []]));
  for (const edge of edges) if (!edge.back) into.get(edge.to).push(edge.from);
  const layers = new Map();
  const depth = (name) => {
    if (!layers.has(name)) layers.set(name, Math.max(-1, ...into.get(name).map(depth)) + 1);
    return layers.get(name);
  };
  for (const name of into.keys()) depth(name);
  return layers;
}

// The nodes that an edge passes: one for each layer between its ends, to reserve space for it.
function path(edge, nodes) {
  let [from, to] = [nodes.get(edge.from), nodes.get(edge.to)];
  if (edge.back) [from, to] = [to, from];
  if (edge.kind === "catch" && !edge.back) {
    from.down.push({ node: to, weight: 0.3 });
    to.up.push({ node: from, weight: 0.3 });
    return [from, to];
  }
  const points = [from];
  for (let layer = from.layer + 1; layer < to.layer; layer += 1) {
    const bend = { layer, width: 3, up: [], down: [] };
    nodes.set(`${edge.from} ${edge.to} ${layer}`, bend);
    points.push(bend);
  }
  points.push(to);
  for (let at = 1; at < points.length; at += 1) {
    points[at - 1].down.push({ node: points[at], weight: 1 });
    points[at].up.push({ node: points[at - 1], weight: 1 });
  }
  return edge.back ? points.reverse() : points;
}

function mean(neighbours, value) {
  let [sum, weights] = [0, 0];
  for (const { node, weight } of neighbours) {
    sum += value(node) * weight;
    weights += weight;
  }
  return weights ? sum / weights : null;
}

// Sort each row by the positions of its neighbors above or below.
function order(rows, side) {
  for (const row of rows) row.forEach((node, at) => (node.at = at - row.length / 2));
  for (const row of side === "up" ? rows : [...rows].reverse()) {
    for (const node of row) node.wish = mean(node[side], (other) => other.at) ?? node.at;
    row.sort((one, other) => one.wish - other.wish);
    row.forEach((node, at) => (node.at = at - row.length / 2));
  }
}

// Find the center of each node: close to its neighbors, without overlap in its row.
function place(rows) {
  for (const row of rows) spread(row, (_, at) => (at - row.length / 2) * BOX.width);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1)
    for (const row of sweep % 2 ? rows : [...rows].reverse())
      spread(row, (node) => mean([...node.up, ...node.down], (other) => other.x) ?? node.x);
  const left = Math.min(...rows.flat().map((node) => node.x - node.width / 2));
  for (const node of rows.flat()) {
    node.x += GAP.x - left;
    node.y = GAP.y + node.layer * (BOX.height + GAP.y);
  }
}

function spread(row, wish) {
  const wishes = row.map(wish);
  const distance = (at) => (row[at - 1].width + row[at].width) / 2 + GAP.x;
  const [right, left] = [[...wishes], [...wishes]];
  for (let at = 1; at < row.length; at += 1) right[at] = Math.max(right[at], right[at - 1] + distance(at));
  for (let at = row.length - 2; at >= 0; at -= 1) left[at] = Math.min(left[at], left[at + 1] - distance(at + 1));
  row.forEach((node, at) => (node.x = (right[at] + left[at]) / 2));
}

function curve(points) {
  const [first, ...rest] = points;
  let [x, y] = [first.x, first.y];
  let way = `M${x} ${y}`;
  for (const point of rest) {
    const middle = (y + point.y) / 2;
    way += ` C${x} ${middle} ${point.x} ${middle} ${point.x} ${point.y}`;
    [x, y] = [point.x, point.y];
  }
  return way;
}

// The picture; `show` marks the states that were entered, and the current one.
export function picture(machine) {
  const { nodes, edges, rows } = layout(machine);
  const boxes = [...nodes.values()].filter((node) => node.name);
  const width = Math.max(...rows.flat().map((node) => node.x + node.width / 2)) + GAP.x;
  const height = Math.max(...boxes.map((node) => node.y)) + BOX.height + GAP.y;
  const ways = edges.map((edge) => {
    const points = edge.points.map((node, at) => {
      const last = edge.points.length - 1;
      const low = edge.back ? at === last : at === 0;
      const high = edge.back ? at === 0 : at === last;
      return { x: node.x, y: node.y + (low ? BOX.height : high ? 0 : BOX.height / 2) };
    });
    return { edge, element: draw("path", { class: edge.kind, d: curve(points) }) };
  });
  const states = new Map(
    boxes.map((node) => {
      const { type, comment } = machine.states[node.name];
      const box = draw("rect", { x: node.x - BOX.width / 2, y: node.y, width: BOX.width, height: BOX.height, rx: type === "Choice" ? 13 : 5 });
      const name = draw("text", { x: node.x, y: node.y + BOX.height / 2, class: node.name.length > LONG_NAME && "long" }, node.name);
      const note = draw("title", {}, comment || node.name);
      return [node.name, draw("g", { class: `state ${type}`, "data-state": node.name }, note, box, name)];
    }),
  );
  const svg = draw(
    "svg",
    { class: "machine", viewBox: `0 0 ${width} ${height}`, role: "img" },
    ...ways.map((way) => way.element),
    ...states.values(),
  );
  const show = (entered, running) => {
    const seen = new Set(entered);
    const steps = new Set(entered.map((name, at) => `${entered[at - 1]} ${name}`));
    const present = entered.at(-1);
    for (const [name, element] of states) {
      element.classList.toggle("entered", seen.has(name));
      element.classList.toggle("present", name === present);
      element.classList.toggle("running", name === present && running);
    }
    for (const { edge, element } of ways) {
      const taken = steps.has(`${edge.from} ${edge.to}`);
      element.classList.toggle("taken", taken);
      if (taken) states.values().next().value.before(element);
    }
    const where = running ? `it is in ${present}` : `it ended in ${present}`;
    svg.setAttribute("aria-label", `The state machine; ${entered.length ? where : "it has not started"}. It entered ${entered.join(", ")}.`);
  };
  return { svg, show };
}
