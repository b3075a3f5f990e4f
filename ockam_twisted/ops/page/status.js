// Asks the node how it is, again and again, and shows it.

import { picture } from "./picture.js";
import { element, named, rate, roundTrip, short, size, some, span, tone } from "./words.js";

const EVERY = 2000;
const TIMEOUT = 8000;
const MOST_STREAMS = 100;
const MOST_CONNECTIONS = 100;
const TELLING = { waiting: "down" };

const $ = (id) => document.getElementById(id);
const unfolded = new Set();
let before = null;
let latest = null;

// ------------------------------------------------------------------- rates

function counted(connections) {
  const [found, seen] = [new Map(), new Map()];
  for (const each of connections) {
    seen.set(each.peer, (seen.get(each.peer) ?? 0) + 1);
    found.set(`${each.peer} ${seen.get(each.peer)}`, each);
  }
  return found;
}

// How many bytes went each second since the last answer.
function ratesOf(status, now) {
  const seconds = before ? (now - before.now) / 1000 : 0;
  const earlier = new Map((before?.status.open ?? []).map((each) => [each.number, each]));
  const per = (current, previous) => (seconds > 0 && previous !== undefined ? Math.max(0, current - previous) / seconds : 0);
  const streams = new Map();
  for (const each of status.open ?? []) {
    const was = earlier.get(each.number);
    streams.set(each.number, { sent: per(each.sent, was?.sent), received: per(each.received, was?.received) });
  }
  const portals = (status.portals ?? []).map((portal, number) => {
    const was = before?.status.portals?.[number];
    return per((portal.sent ?? 0) + (portal.received ?? 0), was && (was.sent ?? 0) + (was.received ?? 0));
  });
  // Several may lead to one place; they stay in order.
  const peers = counted(before?.status.connections ?? []);
  const connections = [...counted(status.connections ?? [])].map(([key, each]) => {
    const was = peers.get(key);
    return { sent: per(each.sent, was?.sent), received: per(each.received, was?.received) };
  });
  const sessions = (status.sessions ?? []).map((session) => {
    let sum = 0;
    if (session.kind === "relay") {
      // What comes through it is not known, but what goes over its connection.
      const number = (status.connections ?? []).findIndex((each) => each.peer === session.hops?.[0]?.at);
      return number < 0 ? 0 : connections[number].sent + connections[number].received;
    }
    for (const each of status.open ?? []) {
      const its = streams.get(each.number);
      if (session.peer && each.peer === session.peer) sum += its.sent + its.received;
    }
    return sum;
  });
  const sum = (what) => (status.portals ?? []).reduce((total, portal, number) => {
    const was = before?.status.portals?.[number];
    return total + per(portal[what] ?? 0, was?.[what]);
  }, 0);
  // A node without portals passes on what others send.
  const add = (what) => connections.reduce((total, each) => total + each[what], 0);
  const [sent, received] = portals.length ? [sum("sent"), sum("received")] : [add("sent"), add("received")];
  return { streams, portals, sessions, connections, sent, received, total: sent + received, known: seconds > 0 };
}

// ----------------------------------------------------------------- sections

function pill(text, state) {
  return element("span", `pill ${state}`, text);
}

function verdict(status) {
  const sessions = status.sessions ?? [];
  const up = sessions.filter((each) => each.state.startsWith("up")).length;
  const isReady = status.ready ?? up === sessions.length;
  const ways = sessions.length ? `${up} of ${some(sessions.length, "way")} up` : "";
  return [isReady ? ways || "Ready" : `Not ready${ways ? `: ${ways}` : ""}`, isReady ? "up" : "down"];
}

function figures(status, rates) {
  const best = Math.min(...(status.sessions ?? []).map((each) => each.roundTrip ?? Infinity));
  const shown = [
    ["Running for", span(status.seconds ?? 0)],
    ["Sent", rates.known ? rate(rates.sent) : "…"],
    ["Received", rates.known ? rate(rates.received) : "…"],
  ];
  if ((status.portals ?? []).length) shown.splice(1, 0, ["Open streams", String(status.streams ?? 0)]);
  if (best < Infinity) shown.push(["Round trip", roundTrip(best)]);
  if (status.members) shown.push(["Members", String(status.members)]);
  if (status.relayed) shown.push(["Relayed names", String(status.relayed)]);
  if (status.channels) shown.push(["Channels", String(status.channels)]);
  if (status.lag) shown.push(["Late by", roundTrip(status.lag.last)]);
  return shown.map(([what, figure]) => element("div", "", element("dt", "", what), element("dd", "", figure)));
}

function chips(session) {
  const hops = session.hops ?? [];
  if (!hops.length) return session.way ? element("p", "way", named(session.way, "code")) : null;
  const list = element("ol", "hops", element("li", "", element("small", "", "from"), "here"));
  for (const hop of hops) {
    const at = hop.kind === "channel" && session.peer ? session.peer : hop.at;
    list.append(element("li", "", element("small", "", hop.kind), named(at, "code")));
  }
  return list;
}

function history(session) {
  const entries = [...(session.history ?? [])].reverse();
  if (!entries.length) return null;
  const list = element("ol", "history");
  for (const entry of entries) {
    const state = TELLING[entry.state] ?? entry.state;
    list.append(element("li", "", element("time", "", `${span(entry.ago)} ago`), pill(state, tone(entry.state)),
      entry.why ? named(entry.why) : null));
  }
  const details = element("details", "", element("summary", "", `History (${entries.length})`), list);
  const key = `history ${session.label}`;
  details.open = unfolded.has(key);
  details.addEventListener("toggle", () => unfolded[details.open ? "add" : "delete"](key));
  return details;
}

function wayCard(session, flow) {
  const isUp = session.state.startsWith("up");
  const facts = [];
  if (isUp) {
    facts.push(`for ${span(session.seconds)}`);
    if (session.roundTrip !== null && session.roundTrip !== undefined) facts.push(`round trip ${roundTrip(session.roundTrip)}`);
    if (session.inUse) facts.push("new streams go over it");
    if (session.streams) facts.push(some(session.streams, "open stream"));
    if (flow >= 1) facts.push(rate(flow));
  } else {
    facts.push(`no way for ${span(session.seconds)}`);
    const { nextTry } = session;
    if (session.state === "trying") facts.push("trying now");
    else if (nextTry !== null && nextTry !== undefined) facts.push(`next try in ${span(nextTry)}`);
  }
  return element("article", `card ${tone(session.state)}`,
    element("h3", "", pill(isUp ? session.state : session.state === "idle" ? "idle" : "down", tone(session.state)), named(session.label)),
    element("p", "facts", facts.join(" · ")),
    !isUp && session.why ? element("p", "why", named(session.why)) : null,
    chips(session), history(session));
}

// Columns: [heading, of a row its cell, class].
function table(rows, columns) {
  const head = element("tr", "", ...columns.map(([heading, , kind]) => element("th", kind ?? "", heading)));
  const body = rows.map((row) => element("tr", "", ...columns.map(([heading, cell, kind]) => {
    const made = element("td", kind ?? "", cell(row));
    if (made.textContent === "–") made.classList.add("none");
    made.dataset.label = heading;
    return made;
  })));
  return element("table", "card", element("thead", "", head), element("tbody", "", ...body));
}

function streamTable(status, rates) {
  const flow = (each) => rates.streams.get(each.number) ?? { sent: 0, received: 0 };
  const rows = [...(status.open ?? [])].sort((a, b) => {
    const [ours, theirs] = [flow(a), flow(b)];
    return theirs.sent + theirs.received - ours.sent - ours.received || a.number - b.number;
  });
  const portal = (each) => {
    const its = status.portals?.[each.portal];
    return its ? its.name || its.target || its.at : "";
  };
  const isDated = rows.some((each) => each.seconds !== undefined);
  return table(rows.slice(0, MOST_STREAMS), [
    ["Over", (each) => named(portal(each), "code")],
    ["With", (each) => (each.peer ? named(each.peer, "code") : "somebody")],
    ["State", (each) => each.state || ""],
    ...(isDated ? [["Open for", (each) => span(each.seconds ?? 0), "number"]] : []),
    ["Sends", (each) => rate(flow(each).sent), "number"],
    ["Receives", (each) => rate(flow(each).received), "number"],
    ["Sent", (each) => size(each.sent), "number"],
    ["Received", (each) => size(each.received), "number"],
    ["Waiting", (each) => (each.queued ? size(each.queued) : "–"), "number"],
  ]);
}

function connectionTable(status, rates) {
  const rows = status.connections.map((each, number) => ({ ...each, flow: rates.connections[number] }));
  rows.sort((a, b) => b.flow.sent + b.flow.received - a.flow.sent - a.flow.received);
  return table(rows.slice(0, MOST_CONNECTIONS), [
    ["With", (each) => named(each.peer, "code")],
    ["State", (each) => pill(each.isHeldBack ? "full" : "open", each.isHeldBack ? "wait" : "up")],
    ["Sends", (each) => rate(each.flow.sent), "number"],
    ["Receives", (each) => rate(each.flow.received), "number"],
    ["Sent", (each) => size(each.sent), "number"],
    ["Received", (each) => size(each.received), "number"],
    ["Waiting", (each) => (each.queued ? size(each.queued) : "–"), "number"],
  ]);
}

const LIMITS = { queued: "Waiting to be sent", windows: "Promised to streams" };

function limitMeters(limits) {
  return element("div", "card limits", ...Object.entries(limits).map(([what, [used, limit]]) => {
    const meter = element("meter");
    Object.assign(meter, { min: 0, max: limit, low: limit * 0.6, high: limit * 0.85, optimum: 0, value: used });
    const show = limit > 100000 ? size : String;
    return element("div", "", element("span", "", LIMITS[what] ?? what), element("span", "", `${show(used)} of ${show(limit)}`), meter);
  }));
}

function eventList(events) {
  return element("ul", "card events", ...Object.entries(events).sort(([, a], [, b]) => b - a).map(([what, count]) =>
    element("li", "", element("code", "", what), element("span", "count", String(count)))));
}

function portalTable(status, rates) {
  return table((status.portals ?? []).map((each, number) => ({ ...each, number })), [
    ["Kind", (each) => each.kind],
    ["At", (each) => named(each.at, "code")],
    ["Target", (each) => (each.target ? named(each.target, "code") : "–")],
    ["Open", (each) => String(each.streams), "number"],
    ["Ever", (each) => String(each.total ?? "–"), "number"],
    ["Now", (each) => rate(rates.portals[each.number] ?? 0), "number"],
    ["Sent", (each) => size(each.sent ?? 0), "number"],
    ["Received", (each) => size(each.received ?? 0), "number"],
  ]);
}

function attributes(each) {
  const pairs = Object.entries(each.attributes ?? {});
  return pairs.length ? element("span", "attributes", ...pairs.map(([key, value]) => element("code", "", `${key}=${value}`))) : "–";
}

function section(name, count, content, note = "") {
  $(`${name}-section`).hidden = !count;
  if (count) $(name).replaceChildren(content);
  const counted = $(`${name}-count`);
  if (counted) counted.textContent = note;
}

function partly(shown, all) {
  return shown < all ? `${shown} of ${all}` : String(all);
}

function show(status, rates) {
  const instance = status.instance && status.instance !== "default" ? ` ${status.instance}` : "";
  document.title = `${status.name}${instance}`;
  $("name").textContent = `${status.name}${instance}`;
  $("identifier").textContent = status.identifier;
  const [words, state] = verdict(status);
  $("verdict").textContent = words;
  $("verdict").className = `pill ${state}`;
  const reasons = status.ready === false ? status.reasons ?? [] : [];
  $("reasons").hidden = !reasons.length;
  $("reasons").replaceChildren(...reasons.map((each) => named(each, "li")));
  $("figures").replaceChildren(...figures(status, rates));
  drawPicture();
  const { sessions = [], open = [], portals = [], names = [], processes = [], membersShown = [], tickets = [] } = status;
  section("ways", sessions.length, element("div", "cards", ...sessions.map((each, number) => wayCard(each, rates.sessions[number]))),
    String(sessions.length));
  section("streams", open.length, open.length && streamTable(status, rates),
    partly(Math.min(open.length, MOST_STREAMS), Math.max(status.streams ?? 0, open.length)));
  section("portals", portals.length, portals.length && portalTable(status, rates));
  const { connections = [], limits = {}, events = {}, dropped = {} } = status;
  section("connections", connections.length, connections.length && connectionTable(status, rates),
    partly(Math.min(connections.length, MOST_CONNECTIONS), Math.max(status.hops ?? 0, connections.length)));
  section("limits", Object.keys(limits).length, limitMeters(limits));
  const happened = { ...events };
  for (const [reason, count] of Object.entries(dropped)) if (count) happened[`dropped: ${reason}`] = count;
  section("events", Object.keys(happened).length, eventList(happened));
  section("names", names.length, names.length && table(names, [
    ["Name", (each) => named(each.name, "code")],
    ["Of", (each) => (each.peer ? named(each.peer, "code") : "somebody")],
    ["Used by", (each) => String(each.senders ?? 0), "number"],
  ]), partly(names.length, Math.max(status.relayed ?? 0, names.length)));
  section("processes", processes.length, processes.length && table(processes, [
    ["Process", (each) => String(each.number)],
    ["PID", (each) => String(each.pid || "–")],
    ["State", (each) => pill(each.state, tone(each.state))],
    ["Connections", (each) => String(each.connections), "number"],
  ]));
  section("members", membersShown.length, membersShown.length && table(membersShown, [
    ["Identifier", (each) => named(each.identifier, "code")],
    ["Attributes", attributes],
    ["Added by", (each) => (each.by ? named(each.by, "code") : "–")],
    ["Since", (each) => (each.seconds === undefined ? "–" : span(each.seconds)), "number"],
  ]), partly(membersShown.length, Math.max(status.members ?? 0, membersShown.length)));
  section("tickets", tickets.length, tickets.length && table(tickets, [
    ["Ticket", (each) => element("code", "", each.id)],
    ["Good for", (each) => span(each.expires), "number"],
    ["Uses left", (each) => String(each.uses), "number"],
  ]));
}

function drawPicture() {
  if (latest) $("picture").replaceChildren(picture(latest.status, latest.rates, Math.max(260, $("picture").clientWidth - 20)));
}

// ------------------------------------------------------------------- asking

async function ask() {
  try {
    const answer = await fetch("status", { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(TIMEOUT) });
    if (!answer.ok) throw new Error(`it says ${answer.status}`);
    const status = await answer.json();
    const now = performance.now();
    latest = { status, rates: ratesOf(status, now) };
    before = { status, now };
    show(status, latest.rates);
    document.body.classList.remove("stale");
    $("updated").textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    // What was seen last stays, and is said to be old.
    document.body.classList.add("stale");
    $("verdict").textContent = `No answer: ${short(error.message)}`;
    $("verdict").className = "pill down";
  }
}

async function again() {
  if (!document.hidden) await ask();
  setTimeout(again, EVERY);
}

new ResizeObserver(drawPicture).observe($("picture"));
document.addEventListener("visibilitychange", () => document.hidden || ask());
again();
