// The first view: nights, what watch found, what goes on, sizes, and what could not be asked.

const KINDS = { base: "the base", deps: "dependencies", tool: "the tool", code: "code", config: "configurations" };

function overview(main) {
  const parts = [tiles(), nights(), found(), queue(), sizes(), notes()];
  main.append(h("div", { class: "overview" }, parts));
  return {};
}

function tiles() {
  const week = told.made - 7 * 86400;
  const lately = runs.filter((run) => run.started >= week);
  const ended = (state) => lately.filter((run) => run.state === state).length;
  const gone = told.found.filter((one) => one.kind !== "done").length;
  const one = (value, text, href, kind) => h("a", { class: `tile ${kind ?? ""}`, href }, h("strong", null, value), h("span", null, text));
  return h("section", { class: "tiles", "aria-label": "In short" }, [
    one(commits.length.toLocaleString("en"), "commits", "#/commits"),
    one(told.sizes.images.toLocaleString("en"), "have an image", "#/commits"),
    one(runs.filter((run) => run.open).length, "runs go on", "#/runs?q=is:open", "running"),
    one(ended("succeeded"), "succeeded in 7 days", "#/runs?q=state:succeeded", "succeeded"),
    one(ended("failed"), "failed in 7 days", "#/runs?q=state:failed", ended("failed") ? "failed" : ""),
    told.found.length || told.looked
      ? one(gone, gone === 1 ? "thing is wrong" : "things are wrong", "#/overview", gone ? "missed" : "")
      : one("–", "watch: not looked yet", "#/overview", "unknown"),
  ]);
}

function nights() {
  if (!told.nights.length) return section("Nights", h("p", { class: "note" }, "No schedule, and no run that one started."));
  const dates = told.nights[0].days.map((entry) => entry[0]);
  const month = (date, index) => (index === 0 || date.endsWith("-01") ? date.slice(5, 7) : "");
  const heads = dates.map((date, index) =>
    h("th", { scope: "col", title: date, class: month(date, index) && index ? "month" : "" }, date.slice(8)),
  );
  const months = h(
    "tr",
    { "aria-hidden": "true" },
    h("td"),
    groups(dates).map(([name, length]) => h("td", { colspan: length, class: "month" }, name)),
  );
  const rows = told.nights.map((one) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, scheduleName(one)),
      one.days.map((entry) => night(one, entry)),
    ),
  );
  const table = h(
    "table",
    { class: "nights" },
    h("thead", null, months, h("tr", null, h("th", { scope: "col" }, "schedule"), heads)),
    h("tbody", null, rows),
  );
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Nights" }, table);
  requestAnimationFrame(() => {
    scroll.scrollLeft = scroll.scrollWidth;
  });
  const legend = ["succeeded", "failed", "running", "stopped", "missed"].map((state) => [chip(state), " "]);
  return section("Nights", scroll, h("p", { class: "note" }, legend));
}

function groups(dates) {
  const found = [];
  for (const date of dates) {
    const name = new Date(`${date}T12:00:00Z`).toLocaleString("en", { month: "short", timeZone: "UTC" });
    if (found.at(-1)?.[0] === name) found.at(-1)[1] += 1;
    else found.push([name, 1]);
  }
  return found.map(([name, length]) => [length > 2 ? name : "", length]);
}

// Of a schedule whose runs write no records the last start is all that tells that it runs.
function scheduleName(one) {
  const started = one.last ? `started last ${clock(one.last)}` : null;
  const silent = one.days.every((entry) => !entry[1]);
  const lines = [one.cron && `${one.cron} ${one.timezone}`, one.paused && "paused", silent && one.last && `last ${clock(one.last).slice(5)}`];
  const name = runs.some((run) => run.schedule === one.schedule)
    ? h("a", { href: `#/runs?q=schedule:${one.schedule}`, title: started }, one.schedule)
    : h("span", { title: started }, one.schedule);
  return [name, lines.filter(Boolean).map((line) => h("small", null, line))];
}

function night(one, [date, state, started]) {
  if (!state) return h("td", { class: "none" });
  const text = `${one.schedule} ${date}: ${state}`;
  const run = started.at(-1);
  const inside = run
    ? h("a", { href: `#/run/${encodeURIComponent(run)}`, title: `${text} (${run})`, "aria-label": text }, sign(state))
    : h("span", { title: text, role: "img", "aria-label": text }, sign(state));
  return h("td", { class: shade(state) }, inside);
}

function found() {
  const looked = told.looked
    ? `watch looked last ${clock(told.looked)}, ${age(told.made - told.looked)} before this page was made.`
    : "[schedule.watch] has watch look by itself, `builder run watch` has it look once.";
  const note = h("p", { class: "note" }, looked);
  const nothing = told.looked ? chip("succeeded", "Nothing is wrong.") : chip("", "Not looked yet");
  if (!told.found.length) return section("What watch found", h("p", null, nothing), note);
  const rows = told.found.map((one) => [
    h("span", { class: `chip ${one.kind === "done" ? "succeeded" : "missed"}` }, one.title),
    subject(one.subject),
    one.text,
    time(one.since),
  ]);
  return section("What watch found", grid("What watch found", ["what", "of", "how", "seen first"], rows), note);
}

function subject(name) {
  return runOf.has(name) ? link("run", name) : name;
}

function queue() {
  const going = runs.filter((run) => run.open);
  const parts = [];
  if (going.length) {
    const rows = going.map((run) => [
      chip(run.state),
      link("run", run.run),
      run.where,
      run.who ?? run.schedule ?? "",
      run.step ?? "",
      run.detail ?? "",
      took(run, brief),
    ]);
    parts.push(grid("Runs that go on", ["state", "run", "where", "who", "step", "waits for", "since"], rows));
  }
  if (told.jobs.length) {
    const since = (job) => {
      const begun = job.waits ? job.submitted : job.starts;
      return begun ? age(told.made - begun) : "";
    };
    const rows = told.jobs.map((job) => [
      chip(job.waits ? "waiting" : "running", job.state.toLowerCase()),
      `${job.id} on ${job.cluster}`,
      job.run ? subject(job.run) : job.name,
      job.step,
      job.user,
      job.gpus ? String(job.gpus) : "",
      job.waits ? job.reason : job.nodes,
      since(job),
    ]);
    parts.push(
      h("h3", null, "Jobs in Slurm"),
      grid("Jobs in Slurm", ["state", "job", "run", "step", "user", "GPUs", "where, or why it waits", "since"], rows),
    );
  }
  return section("Queue", parts.length ? parts : h("p", { class: "note" }, "Nothing runs and nothing waits."));
}

function sizes() {
  const { images, tagged, alone, stored, kinds } = told.sizes;
  if (!images) return section("Sizes", h("p", { class: "note" }, "No image of these commits."));
  const parts = Object.entries(kinds)
    .sort((a, b) => b[1] - a[1])
    .map(([kind, size]) => [KINDS[kind] ?? kind, size, `kind-${kind}`]);
  const saved = alone ? Math.round(1000 * (1 - stored / alone)) / 10 : 0;
  const legend = parts.map(([name, size, kind]) => [h("span", { class: `key ${kind}` }, `${name} ${bytes(size)}`), " "]);
  const made = commits.filter((commit) => commit.image);
  const first = made.pop(); // which has all that the others build on
  const middle = made.map((commit) => commit.image.new).sort((a, b) => a - b)[Math.floor(made.length / 2)];
  const more = tagged > images ? ` The store has images of ${counted(tagged, "commit")} altogether.` : "";
  return section(
    "Sizes and savings",
    h(
      "p",
      { class: "lead" },
      `${counted(images, "image")} take `,
      h("strong", null, bytes(stored)),
      ` instead of ${bytes(alone)}: ${saved} % saved.`,
    ),
    bar("What is stored, by kind of layers", parts, stored),
    h("p", { class: "note" }, legend),
    made.length ? h("p", null, `A commit adds ${bytes(middle)} (the median).${more}`) : more,
    made.length > 1
      ? chart("Bytes that each commit added", [{ name: "added", points: made.map((commit) => [commit.date, commit.image.new]) }], {
          dates: true,
          height: 150,
          words: bytes,
        })
      : null,
    made.length > 1
      ? h("p", { class: "note" }, `What each commit's image added to the store; the first, with ${bytes(first.image.new)}, is not in the line.`)
      : null,
  );
}

function notes() {
  if (!told.notes.length) return null;
  return section(
    "What could not be asked",
    h(
      "ul",
      null,
      told.notes.map((note) => h("li", null, note)),
    ),
  );
}
