// Tables: sorted by a heading, filtered by words or to the runs behind an entry. A long table stands in the page with its
// first rows; all of them come from the script that its data-rows names, which calls gradrace.rows, when they are wanted.
const SHOWN = 50, FEW = 8, MOST_RUNS = 6, grids = new Map();
const gradrace = { rows: (name, rows) => grids.get(name).take(rows) };

function element(name, text, properties) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  return Object.assign(made, properties);
}
// By data-sort where a cell has it, else by text; missing values stay last.
function key(text, sort) {
  if (sort !== undefined) return Number(sort);
  return text === "–" || text === "" ? null : text;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
function entryOf(row) {
  const cells = Array.from(row.cells);
  return { keys: cells.map((cell) => key(cell.textContent.trim(), cell.dataset.sort)),
    words: cells.map((cell) => cell.textContent.trim()), row: () => row };
}
// The same as show_cell of parts.html; whatever a cell says is text, never markup.
function cellOf(cell, kind, anchor) {
  const made = element("td", "", { className: kind });
  let inner = made;
  if (cell.r) {
    inner = element("a", cell.t, { href: anchor, className: cell.f ? "flag " + cell.f : "" });
    inner.dataset.runs = cell.r;
  } else if (cell.l) inner = element("a", cell.t, { href: cell.l });
  else if (cell.f) inner = element("span", cell.t, { className: "flag " + cell.f, title: cell.h || "" });
  if (inner === made) made.textContent = cell.t || ""; else made.append(inner);
  if (cell.n) made.append(element("small", cell.n));
  return made;
}
class Grid {
  constructor(block) {
    this.block = block, this.table = block.querySelector("table"), this.body = this.table.tBodies[0];
    this.kinds = Array.from(this.table.tHead.rows[0].cells, (head) => head.className);
    this.anchor = "#" + block.closest("article").id + "-runs";
    this.column = -1, this.sign = 1, this.wanted = "", this.only = null, this.source = block.dataset.rows;
    this.entries = Array.from(this.body.rows, entryOf);
    grids.set(block.id, this);
    if (block.dataset.compare) this.compare = new Picked(block);
    this.entries.forEach((entry) => this.rowOf(entry));
    for (const button of this.table.querySelectorAll("th button")) button.addEventListener("click", () => this.sort(button));
    if (this.source || this.entries.length > FEW) this.addFilter();
  }
  addFilter() {
    const caption = this.block.querySelector(".caption span").textContent;
    this.input = element("input", "", { type: "search", placeholder: "filter by words" });
    this.input.setAttribute("aria-label", "Filter: " + caption);
    this.reset = element("button", "show all", { type: "button", hidden: true });
    this.count = element("output");
    const line = element("p", "", { className: "filter" });
    line.append(this.input, this.reset, this.count);
    this.block.querySelector(".scroll").before(line);
    this.input.addEventListener("input", () => this.filter(this.input.value, null));
    this.reset.addEventListener("click", () => this.filter("", null));
  }
  rowOf(entry) {
    const row = entry.row();
    if (this.compare) this.compare.mark(row, entry.words);
    return row;
  }
  // Kept in the address, unless the digests are too many for one.
  filter(wanted, only) {
    this.wanted = wanted, this.only = only;
    this.keep("filter", wanted || null);
    this.keep("runs", only && only.size <= 12 ? Array.from(only).join(" ") : null);
    this.draw();
  }
  keep(name, value) {
    address.set(`${this.block.id}.${name}`, value);
  }
  // What the address says.
  restore() {
    const [sort, wanted, runs] = ["sort", "filter", "runs"].map((name) => address.get(`${this.block.id}.${name}`) || "");
    const before = JSON.stringify([this.column, this.sign, this.wanted, Array.from(this.only || [])]);
    if (sort) this.head(Number(sort.replace("-", "")) - 1, sort.startsWith("-") ? -1 : 1);
    if (wanted || runs) this.input ??= (this.addFilter(), this.input);
    if (this.input) this.input.value = this.wanted = wanted;
    if (runs || wanted) this.only = runs ? new Set(runs.split(" ")) : null;
    if (JSON.stringify([this.column, this.sign, this.wanted, Array.from(this.only || [])]) !== before) this.draw();
  }
  sort(button) {
    const head = button.parentElement, sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    this.head(head.cellIndex, sign);
    this.keep("sort", `${sign < 0 ? "-" : ""}${head.cellIndex + 1}`);
    this.draw();
  }
  head(column, sign) {
    const heads = this.table.tHead.rows[0].cells;
    if (!heads[column]) return;
    for (const other of heads) other.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    this.column = column, this.sign = sign;
  }
  take(rows) {
    this.entries = rows.map((cells) => {
      const full = cells.map((cell) => (typeof cell === "string" ? { t: cell } : cell));
      return { keys: full.map((cell) => key(cell.t || "", cell.s)), words: full.map((cell) => (cell.t || "") + (cell.n || "")),
        row: () => {
          const made = element("tr");
          made.append(...full.map((cell, i) => cellOf(cell, this.kinds[i], this.anchor)));
          return made;
        } };
    });
    this.source = "";
    this.block.querySelector(".rest").remove();
    this.draw();
  }
  load() {
    if (this.loading) return;
    this.loading = element("script", "", { src: this.source });
    this.loading.addEventListener("error", () => { this.count.textContent = this.source + " is not there"; });
    document.head.append(this.loading);
  }
  draw() {
    if (this.source) return this.load();
    const words = this.wanted.toLowerCase().split(/\s+/).filter(Boolean), column = this.column;
    const found = this.entries.filter((entry) => {
      if (this.only && !this.only.has(entry.words[1])) return false;
      const text = words.length ? entry.words.join(" ").toLowerCase() : "";
      return words.every((word) => text.includes(word));
    });
    if (column >= 0) found.sort(({ keys: { [column]: a } }, { keys: { [column]: b } }) =>
      (a === null) - (b === null) || (a === null ? 0 : this.sign * compare(a, b)));
    this.body.replaceChildren(...found.slice(0, SHOWN).map((entry) => this.rowOf(entry)));
    if (!this.input) return;
    const all = found.length === this.entries.length, total = this.entries.length.toLocaleString("en");
    const part = found.length > SHOWN ? `, the first ${SHOWN} shown` : "";
    this.count.textContent = all && !part ? "" : `${found.length.toLocaleString("en")} of ${total} rows${part}`;
    this.reset.hidden = !words.length && !this.only;
  }
  showOnly(digests) {
    const details = this.block.closest("details");
    if (details) details.open = true;
    this.input ??= (this.addFilter(), this.input);
    this.input.value = "";
    this.filter("", digests);
  }
}
// Two to six runs to look at side by side; a box stands beside each run of the table.
class Picked {
  constructor(block) {
    this.suite = block.dataset.compare, this.digests = new Set(), this.boxes = new Map();
    this.link = element("a", "", { hidden: true }), this.clear = element("button", "clear", { type: "button", hidden: true });
    this.said = element("output");
    this.line = element("p", "", { className: "picked" });
    this.line.append(this.said, this.link, this.clear);
    block.querySelector(".scroll").before(this.line);
    this.clear.addEventListener("click", () => { this.digests.clear(); this.draw(); });
    this.draw();
  }
  mark(row, [name, digest]) {
    let box = row.querySelector("input");
    if (!box) {
      box = element("input", "", { type: "checkbox" });
      box.setAttribute("aria-label", "Compare " + name);
      box.addEventListener("change", () => {
        if (box.checked) this.digests.add(digest); else this.digests.delete(digest);
        this.draw();
      });
      row.cells[0].prepend(box);
    }
    this.boxes.set(digest, box);
    this.show(digest, box);
  }
  show(digest, box) {
    box.checked = this.digests.has(digest);
    box.disabled = !box.checked && this.digests.size >= MOST_RUNS;
  }
  draw() {
    const count = this.digests.size;
    this.boxes.forEach((box, digest) => this.show(digest, box));
    this.said.textContent = count >= MOST_RUNS ? "Six runs are picked, which is the most."
      : count === 1 ? "One run is picked; pick another." : count ? "" : "Pick two to six runs to compare them.";
    this.link.hidden = count < 2, this.clear.hidden = !count;
    this.link.textContent = `Compare ${count} runs`;
    this.link.href = "compare.html#" + Array.from(this.digests, (digest) => `${this.suite}/${digest}`).join(",");
  }
}
for (const block of document.querySelectorAll("div.table")) new Grid(block);
function restore() {
  for (const grid of grids.values()) grid.restore();
}
window.addEventListener("hashchange", restore);
restore();
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-runs]");
  if (!link) return;
  const table = link.getAttribute("href").slice(1), grid = grids.get(table);
  if (grid) return grid.showOnly(new Set(link.dataset.runs.split(" ")));
  // The table stands on the page of the suite.
  event.preventDefault();
  location.href = `${link.closest("[data-page]").dataset.page}#${table}?${new URLSearchParams({ [`${table}.runs`]: link.dataset.runs })}`;
});
