// Loss curves of several runs in one picture.

const AT_FIRST = 5;
const LISTED = 60;
let logarithmic = false;

function lossesView(main, state) {
  const asked = new URLSearchParams(state.query).get("runs");
  const named = (asked ?? "")
    .split(",")
    .map(decodeURIComponent)
    .filter((name) => runOf.get(name)?.curve);
  const picture = h("div");
  const list = h("ul", { class: "curves" });
  const log = h("button", { type: "button", "aria-pressed": String(logarithmic) }, "logarithmic");
  let shown = new Set(named);
  log.addEventListener("click", () => {
    logarithmic = !logarithmic;
    log.setAttribute("aria-pressed", String(logarithmic));
    draw();
  });
  main.append(h("section", null, h("h2", null, "Loss by step ", log), picture, list));

  function draw() {
    const series = [...shown].map((name) => ({ name, points: runOf.get(name).curve.map(([x, y]) => [x, y, name]) }));
    picture.replaceChildren(chart("Loss by step", series, { log: logarithmic, height: 380 }));
    const order = [...shown];
    for (const item of list.children)
      item
        .querySelector(".swatch")
        .setAttribute("class", `swatch ${order.includes(item.dataset.run) ? `c${order.indexOf(item.dataset.run) % COLOURS}` : ""}`);
  }

  function entry(run) {
    const box = h("input", {
      type: "checkbox",
      "aria-label": `The loss of ${run.run}`,
      checked: shown.has(run.run),
      onchange: () => {
        if (box.checked) shown.add(run.run);
        else shown.delete(run.run);
        draw();
      },
    });
    const commit = commitOf.get(run.commit);
    const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
    const last = score(run.curve.at(-1)[1]);
    return h(
      "li",
      { "data-run": run.run },
      h("label", null, box, swatch),
      link("run", run.run),
      ` ${last} `,
      chip(run.state),
      " ",
      h("bdi", { class: "note" }, commit?.subject ?? ""),
    );
  }

  return {
    search(words) {
      const with_curve = runs.filter((run) => run.curve && meansRun(run, words));
      if (!asked || words.length) shown = new Set([...(asked ? named : []), ...with_curve.slice(0, AT_FIRST).map((run) => run.run)]);
      const others = with_curve.filter((run) => !shown.has(run.run));
      list.replaceChildren(...[...[...shown].map((name) => runOf.get(name)), ...others].slice(0, LISTED).map(entry));
      draw();
      return `${counted(with_curve.length, "run")} with a loss curve`;
    },
  };
}
