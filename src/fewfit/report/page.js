"use strict";
// Without it everything is there and readable; with it tables sort, and mistakes can be searched.
document.documentElement.classList.add("scripted");

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
      // At first the largest number, or texts from A on; then the other way.
      const now = head.getAttribute("aria-sort");
      const turn = now ? (now === "descending" ? 1 : -1) : rows.some(([value]) => typeof value === "number") ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
      // What has no number stays at the end, whichever way.
      rows.sort(([a], [b]) =>
        typeof a !== typeof b ? (typeof a === "number" ? -1 : 1)
          : typeof a === "number" ? turn * (a - b) : turn * a.localeCompare(b));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

function key(cell) {
  const value = cell.dataset.v;
  return value === undefined ? cell.textContent : Number(value);
}

for (const browser of document.querySelectorAll(".mistakes")) {
  const shown = browser.querySelector("output");
  const [which, words] = browser.querySelectorAll("select, input");
  const all = [...browser.querySelectorAll("details.mistake")];
  const show = () => {
    const wanted = words.value.toLowerCase();
    let count = 0;
    for (const one of all) {
      const right = one.dataset.right.split("\n");  // names of models may hold spaces
      const fits = which.value === "all" || (which.value === "none" ? one.dataset.right === "" : right.includes(which.value));
      one.hidden = !(fits && one.textContent.toLowerCase().includes(wanted));
      count += one.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${all.length} shown`;
  };
  which.addEventListener("change", show);
  words.addEventListener("input", show);
  show();
}

// Paper has no way to open anything.
const opened = [];
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) {
    one.open = true;
    opened.push(one);
  }
});
addEventListener("afterprint", () => {
  for (const one of opened.splice(0)) one.open = false;
});
