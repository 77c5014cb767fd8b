// What a run hangs together with: commit, image, steps as they followed each other, checkpoint, other runs.

const BOX = { width: 150, height: 46, gapX: 26, gapY: 12 };

const LEAST = 0.72; // so small it may be drawn, before it is scrolled

function graph(run) {
  const columns = columnsOf(run);
  const nodes = [];
  columns.forEach((column, x) => column.forEach((node, y) => nodes.push({ ...node, x, y })));
  const most = Math.max(...columns.map((column) => column.length));
  const width = columns.length * (BOX.width + BOX.gapX) - BOX.gapX + 4;
  const height = most * (BOX.height + BOX.gapY) - BOX.gapY + 4;
  for (const node of nodes) {
    const shift = ((most - columns[node.x].length) * (BOX.height + BOX.gapY)) / 2;
    node.left = 2 + node.x * (BOX.width + BOX.gapX);
    node.top = 2 + shift + node.y * (BOX.height + BOX.gapY);
  }
  const label = `${run.run}: ${columns.map((column) => column.map((node) => node.title).join(", ")).join("; then ")}`;
  const picture = svg("svg", { class: "graph", width, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  picture.style.minWidth = `${Math.round(width * LEAST)}px`;
  for (const to of nodes) for (const from of nodes.filter((node) => node.x === to.x - 1)) picture.append(edge(from, to));
  picture.append(...nodes.map(drawn));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Graph" }, picture);
}

function columnsOf(run) {
  const commit = commitOf.get(run.commit);
  const first = run.commit
    ? [{ title: short(run.commit), text: commit?.subject ?? "commit", kind: "commit", href: commit && `#/commit/${run.commit}` }]
    : [];
  for (const [name, how] of [
    [run.parent, "started it"],
    [run.retried, "was retried"],
  ])
    if (name) first.push(other(name, how));
  const image = run.digest
    ? [
        [
          {
            title: digest(run.digest),
            text: commit?.image?.digest === run.digest ? `image, ${bytes(commit.image.size)}` : "image",
            kind: "image",
          },
        ],
      ]
    : [];
  const last = run.checkpoint
    ? [
        {
          title: digest(run.checkpoint[0]),
          text: run.checkpoint[1] ? `checkpoint, ${bytes(run.checkpoint[1])}` : "checkpoint",
          kind: "checkpoint",
        },
      ]
    : [];
  for (const child of childrenOf.get(run.run) ?? []) last.push(other(child, "came of it"));
  return [...(first.length ? [first] : []), ...image, ...stepColumns(run.steps), ...(last.length ? [last] : [])];
}

function other(name, how) {
  const run = runOf.get(name);
  return {
    title: name,
    text: run ? `${how}, ${run.state}` : how,
    kind: run ? `run ${shade(run.state)}` : "run",
    href: run && `#/run/${encodeURIComponent(name)}`,
  };
}

// Steps that were done at the same time stand in one column.
function stepColumns(steps) {
  const columns = [];
  let ends = -Infinity;
  for (const step of steps) {
    const words = [step.state, took(step), step.job && `job ${step.job}`].filter(Boolean).join(", ");
    const node = { title: step.step, text: words, kind: `step ${shade(step.state)}`, sign: sign(step.state) };
    const family = columns.at(-1)?.[0].family;
    if (columns.length && ((step.started ?? 0) < ends || (family === stem(step.step) && step.step !== family)))
      columns.at(-1).push({ ...node, family: stem(step.step) });
    else {
      columns.push([{ ...node, family: stem(step.step) }]);
      ends = Infinity;
    }
    ends = Math.min(ends, step.ended ?? Infinity);
  }
  return columns;
}

const stem = (step) => step.split("-")[0];

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.left + BOX.width, from.top + BOX.height / 2, to.left, to.top + BOX.height / 2];
  const bend = BOX.gapX / 2;
  return svg("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
}

function drawn(node) {
  const box = svg(
    "g",
    { class: `node ${node.kind}` },
    svg("title", null, `${node.title}: ${node.text}`),
    svg("rect", { x: node.left, y: node.top, width: BOX.width, height: BOX.height, rx: 6 }),
    svg("text", { class: "title", x: node.left + 10, y: node.top + 19 }, `${node.sign ? `${node.sign} ` : ""}${cut(node.title, 17)}`),
    svg("text", { class: "text", x: node.left + 10, y: node.top + 36 }, cut(node.text, 23)),
  );
  return node.href ? svg("a", { href: node.href, "aria-label": `${node.title}: ${node.text}` }, box) : box;
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
