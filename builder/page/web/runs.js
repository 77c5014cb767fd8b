// All runs. Some can be chosen, to have their loss curves in one picture.

const keptRuns = {};
const chosen = new Set();

function runsView(main) {
  const table = new Table("Runs", RUN_COLUMNS, keptRuns);
  const compare = h("p", { class: "compare" });
  main.append(compare, table.element);
  table.back();

  function tell() {
    const href = `#/losses?runs=${[...chosen].map(encodeURIComponent).join(",")}`;
    compare.replaceChildren(
      ...(chosen.size
        ? [
            `${counted(chosen.size, "run")} chosen: `,
            h("a", { href }, "compare their losses"),
            " ",
            h("button", { type: "button", onclick: none }, "choose none"),
          ]
        : []),
    );
    compare.hidden = !chosen.size;
  }

  function none() {
    chosen.clear();
    table.draw(true);
    tell();
  }

  function choose(run) {
    if (!run) return;
    if (!chosen.delete(run.run)) chosen.add(run.run);
    table.draw(true);
    tell();
  }

  table.element.addEventListener("change", (event) => {
    if (event.target.matches(".choose input")) choose(runOf.get(event.target.value));
  });
  tell();
  return {
    table,
    key: (name) => name === "x" && (choose(table.current), true),
    search(words) {
      const found = words.length ? runs.filter((run) => meansRun(run, words)) : runs;
      table.show(found);
      return `${found.length.toLocaleString("en")} of ${counted(runs.length, "run")}`;
    },
  };
}

const RUN_COLUMNS = [
  { title: "state", name: "state", cell: (run) => chip(run.state) },
  { title: "run", name: "run", cell: (run) => link("run", run.run) },
  {
    title: "commit",
    name: "sha of",
    cell: (run) => (commitOf.has(run.commit) ? link("commit", run.commit, short(run.commit)) : short(run.commit ?? "")),
  },
  { title: "subject", name: "about", cell: (run) => h("bdi", null, commitOf.get(run.commit)?.subject ?? run.subject ?? "") },
  { title: "who", name: "who", cell: (run) => run.who ?? run.schedule ?? "" },
  { title: "where", name: "where", cell: (run) => run.where ?? "" },
  { title: "started", name: "date", cell: (run) => time(run.started) },
  { title: "took", name: "took", cell: (run) => took(run, brief) },
  { title: "loss", name: "loss", cell: (run) => number(run.loss) },
  { title: "scores", name: "scores", cell: (run) => scoreWords(run) },
  {
    title: "curve",
    name: "choose",
    cell: (run) =>
      run.curve
        ? h("input", { type: "checkbox", value: run.run, checked: chosen.has(run.run), "aria-label": `Compare the loss of ${run.run}` })
        : "",
  },
];
