// Lines over time or steps, in SVG, drawn anew when there is more or less room. Pointing at a line tells its nearest point.

const EDGE = { top: 10, right: 14, bottom: 26, left: 60 };
const COLOURS = 8;
const A_DAY = 86400;

// series: { name, points: [x, y, run?], line? }; line: other points for the line. dates: x are seconds since 1970; log: y is logarithmic;
// dots: points are drawn, too; words: writes a value of y.
function chart(label, series, { dates = false, log = false, dots = false, height = 220, words = number } = {}) {
  const tip = h("output", { class: "tip", hidden: true });
  const figure = h("figure", { class: "chart" }, tip);
  const all = series.flatMap((one) => one.points).filter((point) => !log || point[1] > 0);
  if (!all.length) return h("p", { class: "note" }, "Nothing to draw.");
  const x = scale(
    all.map((point) => point[0]),
    { alone: dates ? A_DAY : 0 },
  );
  const y = scale(
    all.map((point) => point[1]),
    { log, room: 0.06 },
  );
  let drawn = null;

  function draw() {
    const width = Math.max(260, figure.clientWidth);
    const place = {
      x: (value) => EDGE.left + x.part(value) * (width - EDGE.left - EDGE.right),
      y: (value) => height - EDGE.bottom - y.part(value) * (height - EDGE.top - EDGE.bottom),
    };
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    picture.append(...levels(y, place, width, words), ...(dates ? dated(x, place, width, height) : stepped(x, place, height)));
    series.forEach((one, index) => picture.append(...lineOf(one, index, place, log, dots)));
    drawn?.remove();
    drawn = picture;
    figure.prepend(picture);
    picture.addEventListener("pointermove", (event) => point(event, place, picture, width));
    picture.addEventListener("pointerleave", () => {
      tip.hidden = true;
    });
    picture.addEventListener("click", (event) => {
      const run = nearest(event, place, picture)?.point[2];
      if (run) location.hash = `#/run/${encodeURIComponent(run)}`;
    });
  }

  function nearest(event, place, picture) {
    const box = picture.getBoundingClientRect();
    let best = null;
    for (const one of series) {
      for (const found of one.points) {
        if (log && found[1] <= 0) continue;
        const far = Math.hypot(place.x(found[0]) - (event.clientX - box.left), place.y(found[1]) - (event.clientY - box.top));
        if (!best || far < best.far) best = { far, one, point: found };
      }
    }
    return best && best.far < 60 ? best : null;
  }

  function point(event, place, picture, width) {
    const found = nearest(event, place, picture);
    tip.hidden = !found;
    if (!found) return;
    const [at, value, run] = found.point;
    tip.replaceChildren(h("strong", null, words(value)), ` ${dates ? clock(at) : `step ${number(at)}`}`, h("br"), run ?? found.one.name);
    tip.style.left = `${Math.min(place.x(at) + 12, width - 190)}px`;
    tip.style.top = `${Math.max(0, place.y(value) - 46)}px`;
  }

  new ResizeObserver(draw).observe(figure);
  return figure;
}

// From the least value to the greatest, with some room around them; `alone`: how much it is where all are the same.
function scale(values, { log = false, room = 0, alone = 0 } = {}) {
  const on = log ? Math.log10 : (value) => value;
  const [first, last] = [Math.min(...values), Math.max(...values)];
  let [least, most] = [on(first), on(last)];
  const more = least === most ? (alone || (log ? 2 : Math.abs(least) * 0.2 || 2)) / 2 : (most - least) * room;
  [least, most] = [least - more, most + more];
  return { first, last, least, most, log, part: (value) => (on(value) - least) / (most - least) };
}

// Round numbers between the ends.
function ticks({ least, most, log }, about) {
  if (log) {
    const found = [];
    for (let power = Math.ceil(least); power <= most; power += 1) found.push(10 ** power);
    return found.length > 1 ? found : [10 ** least, 10 ** ((least + most) / 2), 10 ** most].map((value) => Number(value.toPrecision(2)));
  }
  const rough = (most - least) / about;
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * base).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(least / step) * step; value <= most; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function levels(y, place, width, words) {
  return ticks(y, 4).flatMap((value) => [
    svg("line", { class: "level", x1: EDGE.left, x2: width - EDGE.right, y1: place.y(value), y2: place.y(value) }),
    svg("text", { class: "y", x: EDGE.left - 8, y: place.y(value) }, words(value)),
  ]);
}

function stepped(x, place, height) {
  return ticks(x, 6).map((value) => svg("text", { class: "x", x: place.x(value), y: height - 8 }, number(value)));
}

// Midnights of the reader's time zone, from the first point to the last; where there are fewer than two, when these are.
function dated(x, place, width, height) {
  const { first, last } = x;
  const text = (at, words) => svg("text", { class: "x", x: Math.min(place.x(at), width - 36), y: height - 8 }, words);
  const years = day(first).slice(0, 4) !== day(last).slice(0, 4);
  const found = midnights(first, last, Math.max(2, Math.floor(width / 110)));
  if (found.length > 1) return found.map((at) => text(at, years ? day(at) : day(at).slice(5)));
  if (place.x(last) - place.x(first) < 110) return [text((first + last) / 2, day(first))];
  return [first, last].map((at) => text(at, years ? day(at) : clock(at).slice(5)));
}

function midnights(first, last, most) {
  const days = Math.max(1, Math.ceil((last - first) / A_DAY / most));
  const begin = new Date(first * 1000);
  const found = [];
  const date = new Date(begin.getFullYear(), begin.getMonth(), begin.getDate() + 1);
  for (; date / 1000 <= last; date.setDate(date.getDate() + days)) found.push(date / 1000);
  return found;
}

function lineOf({ points, line: drawn }, index, place, log, dots) {
  const placed = (some) => some.filter((point) => !log || point[1] > 0).map((point) => [place.x(point[0]), place.y(point[1])]);
  const seen = placed(points);
  const path = placed(drawn ?? points)
    .map(([px, py], at) => `${at ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`)
    .join("");
  const line = svg("path", { class: `line c${index % COLOURS}`, d: path });
  const small = seen.length > MANY ? " small" : "";
  const dot = ([px, py]) =>
    svg("circle", { class: `dot c${index % COLOURS}${small}`, cx: px.toFixed(1), cy: py.toFixed(1), r: small ? 1.5 : 3 });
  return [...(dots || seen.length < 2 ? seen.map(dot) : []), line];
}

// A bar of parts: [name, value, class].
function bar(label, parts, whole) {
  const row = h("div", { class: "bar", role: "img", "aria-label": label });
  for (const [name, value, kind] of parts.filter((part) => part[1] > 0)) {
    const piece = h("span", { class: kind, title: `${name}: ${bytes(value)}` });
    piece.style.width = `${(100 * value) / whole}%`;
    row.append(piece);
  }
  return row;
}
