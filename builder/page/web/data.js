// What the page tells: the JSON that builder/page/document.py makes, and ways through it.

const told = JSON.parse(document.getElementById("data").textContent);
const OPEN = new Set(["starting", "submitting", "submitted", "waiting", "running"]);

const commits = told.commits;
const runs = told.runs;
const commitOf = new Map(commits.map((commit) => [commit.sha, commit]));
const runOf = new Map(runs.map((run) => [run.run, run]));
const runsOf = new Map(commits.map((commit) => [commit.sha, []]));
const childrenOf = new Map();

commits.forEach((commit, index) => {
  commit.index = index;
});
for (const run of runs) {
  run.scores ??= {};
  run.steps ??= [];
  run.open = OPEN.has(run.state);
  runsOf.get(run.commit)?.push(run);
  for (const child of run.children ?? []) add(childrenOf, run.run, child);
  if (run.parent) add(childrenOf, run.parent, run.run);
}

function add(map, key, value) {
  if (!map.has(key)) map.set(key, new Set());
  map.get(key).add(value);
}

const flows = [...new Set(runs.map((run) => run.flow).filter(Boolean))].sort();

// The values of one flow and action, the oldest first; `among` has the newest first.
function scored(flow, action, among) {
  const found = among.filter((run) => run.flow === flow && run.started && action in run.scores).reverse();
  return found.sort((a, b) => a.started - b.started);
}

// Without those of commits that are older than one that ran before: such a run looks back, as those of a search do.
function forward(found) {
  let newest = commits.length;
  return found.filter((run) => {
    const at = commitOf.get(run.commit)?.index ?? newest;
    if (at > newest) return false;
    newest = at;
    return true;
  });
}

function actionsOf(flow, among) {
  const found = new Set(among.filter((run) => run.flow === flow).flatMap((run) => Object.keys(run.scores)));
  return [...found].sort();
}
