"use strict";
// Sorts tables by the column whose heading is pressed, and copies what stands after a button.

for (const button of document.querySelectorAll("th > button")) {
  button.addEventListener("click", () => sort(button.parentElement));
}

function sort(heading) {
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const numbers = body.rows[0]?.cells[column].dataset.value !== undefined;
  const before = heading.getAttribute("aria-sort");
  const order = before === "none" ? (numbers ? "descending" : "ascending") : before === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const key = numbers ? (row) => Number(row.cells[column].dataset.value) : (row) => row.cells[column].textContent;
  const compare = numbers ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
  const rows = Array.from(body.rows, (row) => [key(row), row]);
  rows.sort((a, b) => sign * compare(a[0], b[0]));
  body.append(...rows.map((pair) => pair[1]));
  for (const other of heading.parentElement.cells) {
    other.setAttribute("aria-sort", other === heading ? order : "none");
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => copy(button));
}

async function copy(button) {
  const code = button.nextElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // the browser does not let us: a key press does the rest
    button.textContent = "Selected";
  }
}
