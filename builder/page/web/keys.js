// Everything can be done with keys.

const query = document.getElementById("query");
const dialog = document.getElementById("keys");

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.target === query ? typed(event) : pressed(event)) event.preventDefault();
});

// In the search box only what leaves it.
function typed({ key }) {
  if (key === "Escape") {
    if (query.value) search("");
    else query.blur();
    return true;
  }
  if (["ArrowDown", "Enter"].includes(key) && view.table) {
    view.table.move(0);
    return true;
  }
  return key === "Enter";
}

function pressed({ key, target }) {
  if (key === "/") return (query.focus(), query.select(), true);
  if (key === "?") return (dialog.showModal(), true);
  if (key === "t") return (turn(), true);
  if (key === "Escape") return leave();
  if (/^[1-9]$/.test(key) && VIEWS[Number(key) - 1]) return ((location.hash = `#/${VIEWS[Number(key) - 1].name}`), true);
  if (view.key?.(key)) return true;
  if (view.table) return key === "Enter" && !target.closest("a, button, input") ? (view.table.open(), true) : view.table.key(key);
  const by = { j: 1, k: -1, ArrowRight: 1, ArrowLeft: -1 }[key];
  if (view.step && by && !(key.startsWith("Arrow") && target.closest(".scroll"))) return (view.step(by), true);
  return false;
}

document.getElementById("help").addEventListener("click", () => dialog.showModal());
