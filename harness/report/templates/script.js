"use strict";
// Sorts by the clicked column: by data-sort where a cell has it, else by text; missing values stay last.
function key(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  const text = cell.textContent.trim();
  return text === "–" || text === "" ? null : text;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rows = Array.from(body.rows, (row) => [key(row, head.cellIndex), row]);
    rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  });
}
// The appendix: filtered by words, or to the runs behind one entry of a table.
function show(details, keep, all) {
  for (const row of details.querySelectorAll("tbody tr")) row.hidden = !keep(row);
  details.querySelector(".filter button").hidden = all;
}
for (const details of document.querySelectorAll("details.runs")) {
  const input = details.querySelector("input"), reset = details.querySelector(".filter button");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    show(details, (row) => words.every((word) => row.textContent.toLowerCase().includes(word)), !words.length);
  });
  reset.addEventListener("click", () => { input.value = ""; show(details, () => true, true); });
}
for (const link of document.querySelectorAll("a[data-runs]")) {
  link.addEventListener("click", () => {
    const details = document.querySelector(link.getAttribute("href")).closest("details");
    const digests = new Set(link.dataset.runs.split(" "));
    details.open = true;
    show(details, (row) => digests.has(row.cells[1].textContent.trim()), false);
  });
}
for (const details of document.querySelectorAll("details")) {
  let was = details.open;
  window.addEventListener("beforeprint", () => { was = details.open; details.open = true; });
  window.addEventListener("afterprint", () => { details.open = was; });
}
