// Figures and names as people say them, and elements made of text.
//
// Whatever comes from the node is set as text, never as markup: names in it
// may be chosen by others.

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function span(seconds) {
  const whole = Math.floor(seconds);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

export function rate(perSecond) {
  return perSecond < 1 ? "–" : `${size(perSecond)}/s`;
}

export function roundTrip(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const ms = seconds * 1000;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export function some(count, what) {
  return count === 1 ? `1 ${what}` : `${count} ${what}s`;
}

// Identifiers are 65 characters: the beginning tells them apart for people.
export function short(text) {
  return String(text ?? "").replace(/I[0-9a-f]{64}/g, (found) => `${found.slice(0, 9)}…`);
}

// What is shown short can be seen whole by pointing at it.
export function named(text, tag = "span", className = "") {
  const shown = element(tag, className, short(text));
  if (shown.textContent !== String(text ?? "")) shown.title = text;
  return shown;
}

// up, wait (something is being done about it), down, or idle.
export function tone(state) {
  if (!state) return "idle";
  if (state === "up" || state === "running") return "up";
  if (state.startsWith("up") || state === "trying" || state === "starting") return "wait";
  if (state === "renewing" || state === "moved") return "wait";
  return state === "idle" ? "idle" : "down";
}
