// The picture of a node: what is beside it on the left, the node, and each way
// from hop to hop on the right; on a narrow screen the same as a tree.

import { short, size, some, tone } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const NARROW = 720;
const [HEIGHT, GAP, INDENT] = [50, 14, 18];
const MOST = 12;

function draw(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------ what there is

class Box {
  constructor(title, sub, state, kind) {
    Object.assign(this, { title: String(title), sub: String(sub), state, kind, children: [], rate: 0 });
  }

  // Ways that begin alike share what they share.
  child(key, title, sub, state, kind) {
    let found = this.children.find((each) => each.key === key);
    if (!found) {
      found = new Box(title, sub, state, kind);
      found.key = key;
      this.children.push(found);
    } else if (state === "up" || found.state === "idle") {
      found.state = state;
    }
    return found;
  }
}

function addWay(node, session, number, traffic) {
  const state = tone(session.state);
  const hops = session.hops ?? [];
  if (!hops.length) {
    // Several ways may be called the same.
    const last = node.child(`way ${number}`, session.label, state === "up" ? session.way : session.why, state, "far");
    last.rate += traffic;
    return;
  }
  const isRelay = session.kind === "relay";
  let at = node;
  let key = "";
  hops.forEach((hop, place) => {
    key += `/${hop.kind}=${hop.at}`;
    const [before, next] = [hops[place - 1], hops[place + 1]];
    if (hop.kind === "connection") {
      const kind = isRelay || next?.kind === "name" ? "relay" : "connection";
      at = at.child(key, hop.at, state === "down" ? session.why : kind, state, "relay");
    } else if (hop.kind === "channel" && !isRelay) {
      at = at.child(key, session.peer || hop.at, "far node, secure channel", state, "far");
    } else if (hop.kind === "worker" && !isRelay) {
      at = at.child(key, hop.at, "worker at the far node", state, "worker");
    } else if (hop.kind === "name" && isRelay && at !== node) {
      at.sub = `relay · knows us as ${hop.at}`;
    } else if (hop.kind === "name" && before?.kind !== "connection") {
      at = at.child(key, hop.at, "relay name", state, "relay");
    }
    at.rate += traffic;
  });
}

function beside(status, rates) {
  const found = [];
  for (const [number, portal] of (status.portals ?? []).entries()) {
    const isInlet = portal.kind === "inlet";
    const title = isInlet ? portal.at || "not listening" : portal.target || portal.at;
    const what = isInlet ? "clients" : `target of ${portal.at}`;
    const box = new Box(title, `${what} · ${some(portal.streams, "stream")}`, title ? "up" : "down", "local");
    box.rate = rates.portals[number] ?? 0;
    found.push(box);
  }
  for (const text of status.listeners ?? []) found.push(new Box(text, "listens for nodes", "up", "local"));
  return found;
}

function shortened(boxes) {
  if (boxes.length <= MOST) return boxes;
  const rest = boxes.slice(MOST - 1);
  const worst = rest.some((each) => each.state === "down") ? "down" : "idle";
  return [...boxes.slice(0, MOST - 1), new Box(`${rest.length} more`, "see below", worst, "more")];
}

function graph(status, rates) {
  const node = new Box(status.name, status.identifier || "no identity yet", status.ready === false ? "wait" : "up", "self");
  for (const [number, session] of (status.sessions ?? []).entries()) addWay(node, session, number, rates.sessions[number] ?? 0);
  for (const name of status.names ?? []) node.children.push(new Box(name.name, name.peer || "somebody", "up", "name"));
  for (const each of status.processes ?? []) {
    if (each.number) node.children.push(new Box(`process ${each.number}`, each.state, tone(each.state), "process"));
  }
  node.children = shortened(node.children);
  return { node, left: shortened(beside(status, rates)) };
}

// ---------------------------------------------------------- where it stands

function depth(box) {
  return 1 + Math.max(0, ...box.children.map(depth));
}

function wide({ node, left }, width) {
  const columns = depth(node) + (left.length ? 1 : 0);
  const step = Math.min(width / columns, 300);
  const [boxWidth, line] = [Math.min(step - 44, 230), HEIGHT + GAP];
  const margin = (width - step * (columns - 1) - boxWidth) / 2;
  const x = (column) => margin + column * step;
  let row = 0;
  const place = (box, column) => {
    Object.assign(box, { x: x(column), width: boxWidth });
    if (!box.children.length) {
      box.y = row * line;
      row += 1;
    } else {
      for (const child of box.children) place(child, column + 1);
      box.y = (box.children[0].y + box.children.at(-1).y) / 2;
    }
  };
  place(node, left.length ? 1 : 0);
  const rows = Math.max(row, left.length);
  const down = ((rows - row) * line) / 2;
  const move = (box) => {
    box.y += down + 2;
    box.children.forEach(move);
  };
  move(node);
  const middle = node.y + HEIGHT / 2;
  const top = Math.max(2, Math.min(middle - (left.length * line - GAP) / 2, rows * line - left.length * line + 2));
  left.forEach((box, number) => Object.assign(box, { x: x(0), width: boxWidth, y: top + number * line }));
  return { height: rows * line - GAP + 4, link: curved };
}

function curved(from, to) {
  const [x1, y1] = [from.x + from.width, from.y + HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + HEIGHT / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

function tree({ node, left }, width) {
  let row = 0;
  const put = (box, level) => {
    box.x = 2 + level * INDENT;
    box.width = width - 4 - level * INDENT;
    box.y = 2 + row * (HEIGHT + GAP);
    row += 1;
    for (const child of box.children) put(child, level + 1);
  };
  // What is beside the node stands above it, and leads down to it.
  for (const box of left) put(box, 1);
  put(node, 0);
  return { height: row * (HEIGHT + GAP) - GAP + 4, link: elbow };
}

function elbow(from, to) {
  const [parent, child] = from.x < to.x ? [from, to] : [to, from];
  const x = parent.x + INDENT / 2;
  const start = parent.y < child.y ? parent.y + HEIGHT : parent.y;
  return `M${x} ${start} V${child.y + HEIGHT / 2} H${child.x}`;
}

// ------------------------------------------------------------- how it looks

// There is no ellipsis in SVG: characters are about so wide.
function fitted(text, width, character) {
  const room = Math.floor(width / character);
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 1))}…`;
}

function boxOf(box) {
  const [x, y] = [Math.round(box.x), Math.round(box.y)];
  const room = box.width - 30;
  const title = draw("title", {});
  title.textContent = `${box.title}\n${box.sub}`;
  const first = draw("text", { x: x + 22, y: y + 21, class: "title" });
  first.textContent = fitted(short(box.title), room, 8);
  const second = draw("text", { x: x + 22, y: y + 38, class: "sub" });
  second.textContent = fitted(short(box.sub), room, 6.3);
  const frame = { x, y, width: Math.round(box.width), height: HEIGHT, rx: 10 };
  const mark = box.state === "down" ? draw("path", { class: "mark", d: `M${x + 8} ${y + 13} l7 7 m0 -7 l-7 7` })
    : draw("circle", { class: "mark", cx: x + 11.5, cy: y + 16.5, r: 4 });
  return draw("g", { class: `box ${box.kind} ${box.state}` }, title, draw("rect", frame), mark, first, second);
}

function linkOf(from, to, state, rate, link) {
  const group = draw("g", { class: `link ${state}${rate >= 1 ? " flowing" : ""}` });
  const thick = 1.5 + Math.min(4, Math.log10(1 + rate) / 2);
  group.append(draw("path", { d: link(from, to), "stroke-width": thick.toFixed(1) }));
  return group;
}

export function picture(status, rates, width) {
  const whole = graph(status, rates);
  const { height, link } = width < NARROW ? tree(whole, width) : wide(whole, width);
  const lines = whole.left.map((box) => linkOf(box, whole.node, box.state, box.rate, link));
  const boxes = whole.left.map(boxOf);
  const visit = (box) => {
    boxes.push(boxOf(box));
    for (const child of box.children) {
      lines.push(linkOf(box, child, child.state, child.rate, link));
      visit(child);
    }
  };
  visit(whole.node);
  const label = `${status.name}: ${some((status.sessions ?? []).length, "way")}, ${some(status.streams ?? 0, "stream")}, `
    + `${size(rates.total)} each second`;
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...lines, ...boxes);
}
