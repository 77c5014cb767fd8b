// All commits, and one of them.

const keptCommits = {};

function commitsView(main, state) {
  const table = new Table("Commits", COMMIT_COLUMNS, keptCommits);
  main.append(table.element);
  table.back();
  return {
    table,
    search(words) {
      const found = words.length ? commits.filter((commit) => meansCommit(commit, words)) : commits;
      table.show(found);
      return `${found.length.toLocaleString("en")} of ${counted(commits.length, "commit")}`;
    },
  };
}

const COMMIT_COLUMNS = [
  { title: "commit", name: "sha", cell: (commit) => link("commit", commit.sha, short(commit.sha)) },
  { title: "subject", name: "subject", cell: (commit) => [refs(commit), h("bdi", { title: commit.subject }, commit.subject)] },
  { title: "author", name: "author", cell: (commit) => h("bdi", null, commit.author) },
  { title: "date", name: "date", cell: (commit) => time(commit.date) },
  {
    title: "image",
    name: "image",
    cell: (commit) => (commit.image ? h("code", { title: commit.image.digest }, digest(commit.image.digest)) : ""),
  },
  { title: "new", name: "new", cell: (commit) => (commit.image ? bytes(commit.image.new) : "") },
  { title: "runs", name: "runs", cell: (commit) => marks(runsOf.get(commit.sha)) },
  { title: "scores", name: "scores", cell: (commit) => scoresOf(runsOf.get(commit.sha)) },
];

function refs(commit) {
  return (commit.refs ?? []).map((ref) => [h("span", { class: "ref" }, ref.replace("HEAD -> ", "")), " "]);
}

const SHOWN = 5;

function marks(found) {
  const signs = found
    .slice(0, SHOWN)
    .map((run) =>
      h(
        "a",
        {
          href: `#/run/${encodeURIComponent(run.run)}`,
          class: `mark ${shade(run.state)}`,
          title: `${run.run} ${run.state}`,
          "aria-label": `${run.run} ${run.state}`,
        },
        sign(run.state),
      ),
    );
  return found.length > SHOWN ? [...signs, h("small", null, ` +${found.length - SHOWN}`)] : signs;
}

// Of the newest run that has some.
function scoresOf(found) {
  const run = found.find((one) => Object.keys(one.scores).length);
  return run ? scoreWords(run) : "";
}

function scoreWords(run) {
  return Object.entries(run.scores).map(([action, value]) => h("span", { class: "score" }, h("small", null, `${action} `), score(value)));
}

function commitView(main, { name }) {
  const commit = commitOf.get(name) ?? commits.find((one) => one.sha.startsWith(name));
  if (!commit) {
    main.append(section("No such commit", h("p", null, `The page has no commit ${name}.`)));
    return {};
  }
  const near = [commits[commit.index - 1], commits[commit.index + 1]];
  main.append(
    h(
      "article",
      null,
      h("h1", null, h("bdi", null, commit.subject || short(commit.sha))),
      facts([
        ["commit", copied(commit.sha)],
        ["author", commit.author],
        ["date", time(commit.date)],
        ["names", refs(commit)],
        ["newer", near[0] ? link("commit", near[0].sha, `${short(near[0].sha)} ${near[0].subject}`) : ""],
        ["older", near[1] ? link("commit", near[1].sha, `${short(near[1].sha)} ${near[1].subject}`) : ""],
      ]),
      imageSection(commit),
      runsSection(commit),
    ),
  );
  return {
    step: (by) => {
      const to = commits[commit.index + by];
      if (to) location.hash = `#/commit/${to.sha}`;
    },
  };
}

function imageSection({ image, sha }) {
  if (!image) return section("Image", h("p", null, "None. ", h("code", null, `builder image ${short(sha)}`), " makes it."));
  const kinds = Object.entries(image.kinds);
  const rows = kinds.map(([kind, [count, size, fresh]]) => [
    h("span", { class: `key kind-${kind}` }, KINDS[kind] ?? kind),
    String(count),
    bytes(size),
    bytes(fresh),
  ]);
  return section(
    "Image",
    facts([
      ["reference", copied(`${told.store}@${image.digest}`)],
      ["size", bytes(image.size)],
      ["new", `${bytes(image.new)}; the rest older commits have, too`],
    ]),
    bar(
      "The image, by kind of layers",
      kinds.map(([kind, [, size]]) => [KINDS[kind] ?? kind, size, `kind-${kind}`]),
      image.size,
    ),
    grid("Layers", ["layers", "how many", "size", "new with this commit"], rows),
  );
}

function runsSection({ sha }) {
  const found = runsOf.get(sha);
  if (!found.length) return section("Runs", h("p", null, "None. ", h("code", null, `builder run FLOW@${short(sha)}`), " starts one."));
  const rows = found.map((run) => [
    chip(run.state),
    link("run", run.run),
    run.who ?? run.schedule ?? "",
    run.where,
    time(run.started),
    took(run),
    number(run.loss),
    scoreWords(run),
  ]);
  return section("Runs", grid("Runs", ["state", "run", "who", "where", "started", "took", "loss", "scores"], rows));
}
