// Makes elements, and writes numbers and times. Text is always text: nothing of the page reads markup.

const SVG = "http://www.w3.org/2000/svg";

// h("a", { href: "#", class: "x", onclick: f }, "text", node, [more], null)
function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

// Powers of 1000, as disks and registries are sold.
function bytes(count) {
  let value = count;
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (Math.abs(value) < 999.95 || unit === "TB") return unit === "B" ? `${value}\u00a0B` : `${value.toFixed(1)}\u00a0${unit}`;
    value /= 1000;
  }
}

function counted(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : (many ?? `${one}s`)}`;
}

function number(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

const two = (count) => String(count).padStart(2, "0");

// In lists, where numbers are compared by their column.
function score(value) {
  return value === null ? "none" : Math.abs(value) < 1000 ? value.toFixed(3) : number(value);
}

function day(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function clock(seconds) {
  const date = new Date(seconds * 1000);
  return `${day(seconds)} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function time(seconds) {
  if (!seconds) return null;
  const exact = new Date(seconds * 1000).toISOString();
  return h("time", { datetime: exact, title: exact }, clock(seconds));
}

function age(seconds) {
  for (const [unit, length, most] of [
    ["s", 1, 60],
    ["min", 60, 3600],
    ["h", 3600, 172800],
  ]) {
    if (seconds < most) return `${Math.floor(Math.max(0, seconds) / length)} ${unit}`;
  }
  return `${Math.floor(seconds / 86400)} d`;
}

// `54 min`, `1 h 27`, `3 d`: for lists.
function brief(seconds) {
  return seconds < 3600 || seconds >= 172800 ? age(seconds) : `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(Math.round(seconds % 60))} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}

// How long a run or a step took, or takes by the time at which the page was made.
function took(thing, words = duration) {
  if (!thing.started) return "";
  if (!thing.ended) return OPEN.has(thing.state) ? words(Math.max(0, told.made - thing.started)) : "";
  return words(Math.max(0, thing.ended - thing.started));
}

const SIGNS = { succeeded: "✓", failed: "✗", lost: "?", stopped: "■", missed: "!", missing: "–", running: "●" };

function sign(state) {
  return SIGNS[state] ?? (OPEN.has(state) ? "○" : "·");
}

function chip(state, text) {
  return h("span", { class: `chip ${shade(state)}` }, h("span", { "aria-hidden": "true" }, `${sign(state)} `), text ?? state);
}

function shade(state) {
  if (state in SIGNS) return state;
  return OPEN.has(state) ? "waiting" : "";
}

const short = (sha) => sha.slice(0, 7);
const digest = (text) => text.replace("sha256:", "").slice(0, 12);

function link(kind, name, text) {
  return h("a", { href: `#/${kind}/${encodeURIComponent(name)}` }, text ?? name);
}

// A text that is copied when it is pressed.
function copied(text, shown) {
  const button = h("button", { type: "button", class: "copy", title: `Copy ${text}` }, shown ?? text);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      getSelection().selectAllChildren(button); // the browser does not let us: a key press does the rest
      say("Selected");
    }
  });
  return button;
}

function say(text) {
  document.getElementById("count").textContent = text;
}

function section(title, ...inside) {
  return h("section", null, h("h2", null, title), ...inside);
}

// A table of few rows.
function grid(label, headings, rows) {
  const head = h(
    "tr",
    null,
    headings.map((text) => h("th", { scope: "col" }, text)),
  );
  const body = rows.map((cells) =>
    h(
      "tr",
      null,
      cells.map((cell) => h("td", null, cell)),
    ),
  );
  return h("div", { class: "scroll" }, h("table", { "aria-label": label }, h("thead", null, head), h("tbody", null, body)));
}

function facts(pairs) {
  const there = pairs.filter(([, value]) => value && value.length !== 0);
  return h(
    "dl",
    { class: "facts" },
    there.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}
