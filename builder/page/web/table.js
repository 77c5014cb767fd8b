// A table of thousands of rows, of which those are made that are seen. All rows are equally high (--row in page.css).

const ROW = 36;
const MORE = 12; // rows above and below what is seen

// columns: { title, name, cell(row) }; `name` is a class, by which page.css gives widths and hides columns on narrow screens.
// The first link of a row opens it. `kept` holds where one was, while other views are shown.
class Table {
  constructor(label, columns, kept) {
    this.columns = columns;
    this.kept = kept;
    this.rows = [];
    this.body = h("tbody");
    const head = h(
      "tr",
      null,
      columns.map((column) => h("th", { scope: "col", class: column.name }, column.title)),
    );
    this.table = h("table", { class: "many", "aria-label": label }, h("thead", null, head), this.body);
    this.element = h("div", { class: "rows", onscroll: () => this.draw() }, this.table);
    this.watching = new ResizeObserver(() => this.draw(true));
    this.watching.observe(this.element);
    this.element.addEventListener("click", (event) => this.pressed(event));
  }

  show(rows) {
    const before = this.rows[this.kept.current];
    this.rows = rows;
    this.table.setAttribute("aria-rowcount", rows.length + 1);
    this.kept.current = before ? Math.max(0, rows.indexOf(before)) : Math.min(this.kept.current ?? 0, Math.max(0, rows.length - 1));
    this.draw(true);
  }

  // After it is on the page: where one was.
  back() {
    this.element.scrollTop = this.kept.top ?? 0;
    this.draw(true);
  }

  draw(anew) {
    const height = this.element.clientHeight || 800;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const last = printing ? this.rows.length : Math.min(this.rows.length, first + Math.ceil(height / ROW) + 2 * MORE);
    if (this.element.isConnected) this.kept.top = this.element.scrollTop;
    if (!anew && Math.abs(first - this.first) < MORE / 2 && this.last >= Math.min(this.rows.length, last - MORE / 2)) return;
    [this.first, this.last] = printing ? [0, last] : [first, last];
    const made = [];
    for (let index = this.first; index < this.last; index += 1) made.push(this.row(index));
    this.body.replaceChildren(this.space(this.first), ...made, this.space(this.rows.length - this.last));
  }

  row(index) {
    const row = this.rows[index];
    const cells = this.columns.map((column) => h("td", { class: column.name }, column.cell(row)));
    const current = index === this.kept.current ? " current" : "";
    return h("tr", { class: `row${current}`, "data-index": index, "aria-rowindex": index + 2 }, cells);
  }

  space(rows) {
    const cell = h("td"); // not over all columns: some are hidden
    cell.style.height = `${rows * ROW}px`;
    return h("tr", { class: "space", "aria-hidden": "true", hidden: rows === 0 }, cell);
  }

  move(to) {
    if (!this.rows.length) return;
    this.kept.current = Math.max(0, Math.min(this.rows.length - 1, to));
    const top = this.kept.current * ROW;
    const seen = this.element.clientHeight - 2 * ROW; // less the heading
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + seen) this.element.scrollTop = top - seen;
    this.draw(true);
    this.body.querySelector("tr.current a")?.focus({ preventScroll: true });
  }

  key(name) {
    const now = this.kept.current ?? 0;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 2);
    const to = {
      j: now + 1,
      k: now - 1,
      ArrowDown: now + 1,
      ArrowUp: now - 1,
      PageDown: now + page,
      PageUp: now - page,
      g: 0,
      Home: 0,
      G: Infinity,
      End: Infinity,
    }[name];
    if (to === undefined) return false;
    this.move(to);
    return true;
  }

  get current() {
    return this.rows[this.kept.current];
  }

  open() {
    this.body.querySelector("tr.current a")?.click();
  }

  pressed(event) {
    const row = event.target.closest("tr.row");
    if (!row) return;
    this.kept.current = Number(row.dataset.index);
    if (!event.target.closest("a, button, input")) row.querySelector("a")?.click();
  }

  close() {
    this.watching.disconnect();
  }
}

let printing = false;
addEventListener("beforeprint", () => {
  printing = true;
  redraw();
});
addEventListener("afterprint", () => {
  printing = false;
  redraw();
});
