// Every score of every flow, over time. The line goes where commits do.

function scoresView(main) {
  const place = h("div", { class: "charts" });
  main.append(place);
  return {
    search(words) {
      const among = words.length ? runs.filter((run) => meansRun(run, words)) : runs;
      const drawn = flows.flatMap((flow) => actionsOf(flow, among).map((action) => [flow, action, scored(flow, action, among)]));
      place.replaceChildren(...drawn.map(([flow, action, found]) => scoreChart(flow, action, found)));
      if (!drawn.length) place.append(h("p", { class: "note" }, "No run of these has a score."));
      return `${counted(new Set(drawn.flatMap((one) => one[2])).size, "run")} with scores`;
    },
  };
}

const MANY = 60;
const AROUND = 7;

// Of many points the line is their moving median: noise would hide where they go.
function medians(points) {
  return points.map(([x], at) => {
    const near = points
      .slice(Math.max(0, at - AROUND), at + AROUND + 1)
      .map((point) => point[1])
      .sort((a, b) => a - b);
    return [x, near[Math.floor(near.length / 2)]];
  });
}

function scoreChart(flow, action, found) {
  const there = found.filter((run) => run.scores[action] !== null);
  const [points, onward] = [there, forward(there)].map((some) => some.map((run) => [run.started, run.scores[action], run.run]));
  const holes = found.length - points.length;
  const last = onward.at(-1);
  const change = onward.length > 1 ? last[1] - onward.at(-2)[1] : 0;
  return h(
    "section",
    { class: "card" },
    h("h2", null, `${flow} `, h("strong", null, action)),
    h(
      "p",
      { class: "note" },
      last
        ? [`last `, link("run", last[2], number(last[1])), change ? `, ${change > 0 ? "+" : ""}${number(change)} since the one before` : ""]
        : "no score",
      holes ? `; ${counted(holes, "hole")}` : "",
      there.length > onward.length ? `; ${counted(there.length - onward.length, "run")} of earlier commits beside the line` : "",
    ),
    chart(`${action} of ${flow}, over time`, [{ name: action, points, line: onward.length > MANY ? medians(onward) : onward }], {
      dates: true,
      dots: true,
    }),
  );
}
