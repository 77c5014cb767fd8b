// Which commits and runs a search means: all of its words must be there.

const WHERE = new Map([
  ["state", (run) => run.state],
  ["flow", (run) => run.flow],
  ["who", (run) => run.who],
  ["schedule", (run) => run.schedule],
  ["on", (run) => run.where],
]);

for (const run of runs) {
  const commit = commitOf.get(run.commit);
  run.words = [
    run.run,
    run.flow,
    run.state,
    run.who,
    run.schedule,
    run.where,
    run.commit,
    run.digest,
    run.detail,
    commit?.subject ?? run.subject,
    commit?.author,
    ...(run.overrides ?? []),
    ...(run.error ?? []),
    ...Object.keys(run.scores),
    run.checkpoint?.[0],
  ]
    .filter(Boolean)
    .join(" ")
    .toLowerCase();
}

for (const commit of commits) {
  const own = [commit.sha, commit.subject, commit.author, ...(commit.refs ?? []), commit.image?.digest, day(commit.date)];
  commit.words = [...own, ...runsOf.get(commit.sha).map((run) => `${run.run} ${run.state}`)].filter(Boolean).join(" ").toLowerCase();
}

function asked(query) {
  return query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word && word !== "-")
    .map((word) => {
      const not = word.startsWith("-");
      const [, field, value] = /^([a-z]+):(.*)$/.exec(not ? word.slice(1) : word) ?? [];
      return { not, field, value, text: not ? word.slice(1) : word };
    });
}

function meansRun(run, words) {
  return words.every((word) => runHas(run, word) !== word.not);
}

function runHas(run, { field, value, text }) {
  if (field === "is") return value === "open" ? run.open : value === run.state;
  if (field === "commit") return run.commit?.startsWith(value) ?? false;
  if (WHERE.has(field)) return (WHERE.get(field)(run) ?? "").toLowerCase().includes(value);
  return run.words.includes(text);
}

// What is asked of runs holds for a commit when it holds for one of its runs.
function meansCommit(commit, words) {
  return words.every((word) => commitHas(commit, word) !== word.not);
}

function commitHas(commit, word) {
  if (word.field === "commit") return commit.sha.startsWith(word.value);
  if (word.field === "is" || WHERE.has(word.field)) {
    const author = word.field === "who" && commit.author.toLowerCase().includes(word.value);
    return author || runsOf.get(commit.sha).some((run) => runHas(run, word));
  }
  return commit.words.includes(word.text);
}
