// Which view is shown, by what stands after the # of the address: #/commits?q=words, #/run/NAME.

const VIEWS = [
  { name: "overview", title: "Overview", make: overview },
  { name: "commits", title: "Commits", make: commitsView },
  { name: "runs", title: "Runs", make: runsView },
  { name: "scores", title: "Scores", make: scoresView },
  { name: "losses", title: "Losses", make: lossesView },
];
const DETAILS = { commit: commitView, run: runView };
const ABOVE = { commit: "commits", run: "runs" };

const main = document.getElementById("main");
let view = {};
let shownAt = {};
let from = "#/overview";

function where() {
  const [path, tail = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [kind, ...rest] = path.split("/");
  return { kind: kind || "overview", name: safely(rest.join("/")), query: tail };
}

function safely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  const at = where();
  const known = VIEWS.find((one) => one.name === at.kind);
  if (known) from = location.hash || "#/overview";
  view.table?.close();
  main.replaceChildren();
  shownAt = at;
  query.value = new URLSearchParams(at.query).get("q") ?? "";
  const make = known?.make ?? DETAILS[at.kind] ?? overview;
  view = make(main, at) ?? {};
  main.className = view.table ? "listed" : "";
  for (const one of document.querySelectorAll("#views a")) {
    const current = one.dataset.name === (ABOVE[at.kind] ?? at.kind);
    if (current) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  if (!main.querySelector("h1")) main.prepend(h("h1", { class: "unseen" }, known?.title ?? "Overview"));
  document.title = [at.name || known?.title, told.name].filter(Boolean).join(" - ");
  filter();
  if (view.table) view.table.back();
  else main.scrollTop = 0;
  if (!document.activeElement || document.activeElement === document.body) main.focus({ preventScroll: true });
}

function redraw() {
  view.table?.draw(true);
}

function filter() {
  say(view.search?.(asked(query.value)) ?? "");
}

// Searching is part of the address; a view that cannot be searched gives way to the commits.
function search(text) {
  query.value = text;
  const kind = view.search ? shownAt.kind : "commits";
  const kept = kind === shownAt.kind ? new URLSearchParams(shownAt.query) : new URLSearchParams();
  if (text) kept.set("q", text);
  else kept.delete("q");
  const tail = kept.toString();
  const address = `#/${kind}${tail ? `?${tail}` : ""}`;
  if (view.search) {
    history.replaceState(null, "", address);
    shownAt.query = tail;
    from = address;
    filter();
  } else if (text) location.hash = address;
}

function leave() {
  if (shownAt.kind in DETAILS) location.hash = from;
  else if (query.value) search("");
  else return false;
  return true;
}

function turn() {
  const kept = document.documentElement.dataset.shade;
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.shade = dark ? "light" : "dark";
  try {
    localStorage.setItem("builder-shade", document.documentElement.dataset.shade);
  } catch {
    // a page from a file may keep nothing: it asks the system again
  }
}

function begin() {
  try {
    const kept = localStorage.getItem("builder-shade");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.shade = kept;
  } catch {
    // as above
  }
  document.getElementById("home").textContent = told.name;
  document.getElementById("shade").textContent = "◐";
  document.getElementById("shade").addEventListener("click", turn);
  document.getElementById("views").append(...VIEWS.map((one) => h("a", { href: `#/${one.name}`, "data-name": one.name }, one.title)));
  document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
  query.addEventListener("input", () => search(query.value));
  const missing = told.notes.length
    ? h("a", { href: "#/overview" }, `${counted(told.notes.length, "thing")} could not be asked`)
    : "Everything could be asked.";
  const places = h(
    "span",
    { class: "places" },
    `by \`builder status --html\`; data root ${told.root}${told.store ? `, images ${told.store}` : ""}. `,
  );
  document.getElementById("foot").append("made ", time(told.made), " ", places, missing);
  addEventListener("hashchange", show);
  show();
}

begin();
