// One run: how it stands and why, its graph, its steps in time, what it is measured by, its loss.

function runView(main, { name }) {
  const run = runOf.get(name);
  if (!run) {
    main.append(
      section("No such run", h("p", null, `The page has no run ${name}: it holds the newest ${runs.length.toLocaleString("en")}.`)),
    );
    return {};
  }
  const commit = commitOf.get(run.commit);
  main.append(
    h(
      "article",
      null,
      h("h1", null, run.run, " ", chip(run.state)),
      why(run),
      facts([
        ["flow", run.flow],
        ["commit", commit ? [link("commit", commit.sha, short(commit.sha)), " ", h("bdi", null, commit.subject)] : run.commit],
        ["image", run.digest ? copied(run.digest) : ""],
        ["started", run.started ? [time(run.started), run.who || run.schedule ? ` by ${run.who ?? run.schedule}` : ""] : ""],
        ["took", took(run)],
        ["where", run.where],
        ["changed by hand", run.overrides?.join(" ")],
        [
          "checkpoint",
          run.checkpoint
            ? [
                copied(run.checkpoint[0]),
                run.checkpoint[1] ? ` ${bytes(run.checkpoint[1])}` : "",
                run.checkpoint[2] ? "" : ", made by another run",
              ]
            : "",
        ],
        ["parent", run.parent ? maybe(run.parent) : ""],
        ["goes on from", run.retried ? maybe(run.retried) : ""],
        ["came of it", childrenOf.has(run.run) ? [...childrenOf.get(run.run)].map((child) => [maybe(child), " "]) : ""],
        ["links", run.links ? Object.entries(run.links).map(([title, place]) => [outside(title, place), " "]) : ""],
      ]),
      section("Graph", graph(run)),
      scoresSection(run),
      stepsSection(run),
      run.curve ? section("Loss", chart(`Loss of ${run.run}`, [{ name: run.run, points: run.curve }], { height: 260 })) : null,
    ),
  );
  const at = runs.indexOf(run);
  return {
    step: (by) => {
      const to = runs[at + by];
      if (to) location.hash = `#/run/${encodeURIComponent(to.run)}`;
    },
  };
}

function maybe(name) {
  return runOf.has(name) ? link("run", name) : name;
}

// Only what a browser opens by itself is a link.
function outside(title, place) {
  if (!/^https?:\/\//.test(place)) return copied(place, title);
  return h("a", { href: place, rel: "noreferrer noopener", target: "_blank" }, `${title} ↗`);
}

function why(run) {
  const lines = [run.end, ...(run.error ?? [])].filter(Boolean);
  if (!lines.length && !run.holes) return run.detail ? h("p", { class: "note" }, run.detail) : null;
  return h(
    "div",
    { class: `why ${lines.length ? "failed" : "missed"}` },
    run.step ? h("p", null, h("strong", null, `step ${run.step}`), lines.length ? `: ${lines[0]}` : "") : h("p", null, lines[0] ?? ""),
    lines.slice(1).map((line) => h("p", null, line)),
    run.log ? h("pre", { tabindex: 0, "aria-label": "The last lines of its log" }, run.log.join("\n")) : null,
    (run.holes ?? []).map((hole) => h("p", null, `it went on without ${hole}`)),
    run.hint ? h("p", { class: "note" }, run.hint) : null,
  );
}

function scoresSection(run) {
  const actions = Object.entries(run.scores);
  if (!actions.length) return null;
  const before = runOf.get(run.baseline);
  const rows = actions.map(([action, value]) => {
    const was = before?.scores[action] ?? null;
    const change = value !== null && was !== null ? value - was : null;
    const compared = [was === null ? "" : score(was), change === null ? "" : `${change > 0 ? "+" : ""}${score(change)}`];
    return [action, score(value), ...(before ? compared : [])];
  });
  const against = run.baseline ? h("p", { class: "note" }, "Green before it: ", maybe(run.baseline)) : null;
  return section("Scores", grid("Scores", ["action", "score", ...(before ? ["green before", "change"] : [])], rows), against);
}

function stepsSection(run) {
  if (!run.steps.length) return null;
  const begin = Math.min(...run.steps.map((step) => step.started ?? Infinity));
  const end = Math.max(...run.steps.map((step) => step.ended ?? (step.started ? told.made : 0)), begin + 1);
  const rows = run.steps.map((step) => [
    step.step,
    chip(step.state),
    took(step),
    span(step, begin, end),
    step.job ?? step.nodes ?? "",
    [step.tries ? `${step.tries} tries` : "", step.kept ? `kept from ${step.kept}` : ""].filter(Boolean).join(", "),
  ]);
  return section("Steps", grid("Steps", ["step", "state", "took", "when", "where", "notes"], rows));
}

function span(step, begin, end) {
  const piece = h("span", { class: shade(step.state) });
  const from = step.started ?? begin;
  const to = step.ended ?? (OPEN.has(step.state) ? end : from);
  piece.style.left = `${(100 * (from - begin)) / (end - begin)}%`;
  piece.style.width = `${Math.max(0.5, (100 * (to - from)) / (end - begin))}%`;
  return h("div", { class: "span", "aria-hidden": "true" }, piece);
}
