// Values at the pointer: a line and marks over a panel, a table beside it. A click or Enter pins the table; its rows are links.
const MOST = 12, NEAR = 40;

class Pointed {
  constructor(owner) {
    this.owner = owner, this.pinned = false, this.at = null;
    this.box = element("div", "", { className: "values", hidden: true });
    this.said = element("p", "", { className: "said" });
    this.said.setAttribute("aria-live", "polite");
    owner.figure.append(this.box, this.said);
    this.box.addEventListener("keydown", (event) => { if (event.key === "Escape") this.leave(true); });
  }
  // What is nearest to a place of the panel: a mark, or a step if its lines go from left to right.
  nearest(panel, x, y, reach = NEAR) {
    let best = null, least = reach;
    for (const point of panel.points()) {
      const away = point.bar ? this.awayFromBar(point, x, y) : Math.hypot(point.left - x, point.top - y);
      if (away < least) [best, least] = [point, away];
    }
    const steps = panel.steps();
    if (best && (!steps.length || least < 6)) return { panel, point: best };
    if (!steps.length) return null;
    const value = panel.now.x.value(x), i = placeIn(steps, value);
    return { panel, step: steps[i], y };
  }
  awayFromBar({ item }, x, y) {
    const box = item.group.getBBox(), over = (low, size, at) => Math.max(low - at, 0, at - low - size);
    return Math.hypot(over(box.x, box.width, x), over(box.y, box.height, y));
  }
  rows(at) {
    const { panel } = at;
    if (at.point) return panel.points().filter((other) => Math.hypot(other.left - at.point.left, other.top - at.point.top) < 2)
      .map((point) => this.row(panel, point.item, point.i));
    const found = panel.lines().map((item) => this.row(panel, item, item.indexAt(at.step))).filter((row) => row);
    const away = (row) => (at.y === undefined ? 0 : Math.abs(row.top - at.y));
    const near = found.slice().sort((a, b) => away(a) - away(b));
    if (at.y !== undefined && near.length) near[0].near = true;
    const shown = new Set(this.pinned ? found : near.slice(0, MOST));
    return Object.assign(found.filter((row) => shown.has(row)).sort((a, b) => a.top - b.top), { left: found.length - shown.size });
  }
  row(panel, item, i) {
    if (i < 0) return null;
    const percent = { x: panel.x.percent, y: panel.y.percent }, text = (way, value) => numberText(value, percent[way]);
    const ways = item.inSteps ? ["y"] : ["x", "y"].filter((way) => panel[way].movable);
    const band = item.low.length ? item : item.inSteps && panel.bandOf(item.series, item.x[i]);
    const j = band && (band === item ? i : band.indexAt(item.x[i])), way = ways[0] || "y";
    const limits = band && [band.low[j], band.high[j]].every(Number.isFinite) ? `${text(way, band.low[j])} to ${text(way, band.high[j])}` : "";
    return { item, label: item.labels[i] || "", value: ways.map((each) => text(each, item[each][i])).join(", "), limits,
      x: item.x[i], runs: item.runsAt(i), left: panel.now.x.place(item.x[i]), top: panel.now.y.place(item.y[i]) };
  }

  show(at, aloud = false) {
    if (!at) return this.leave();
    this.at = at;
    const rows = this.rows(at), { panel } = at, step = at.point ? undefined : at.step;
    if (!rows.length) return this.leave();
    const head = at.point ? panel.title : `${panel.x.label || "x"} ${numberText(step, panel.x.percent)}`;
    const body = element("tbody");
    body.append(...rows.map((row) => this.tableRow(row, step, panel)));
    const table = element("table"), title = element("p", head, { className: "at" });
    table.append(body);
    if (this.pinned) title.append(this.closing());
    this.box.replaceChildren(title, table);
    if (rows.left) this.box.append(element("p", `and ${rows.left} more: click for all`, { className: "more" }));
    this.box.classList.toggle("pinned", this.pinned);
    this.box.hidden = false;
    panel.mark(rows, at.point ? null : panel.now.x.place(step));
    for (const other of this.owner.panels) if (other !== panel) other.mark([], null);
    this.put(panel, at.point ? at.point.left : panel.now.x.place(step));
    if (aloud) this.said.textContent = `${head}: ` + rows.map((row) => [row.item.series, row.label, row.value, row.limits && `(${row.limits})`].filter(Boolean).join(" ")).join("; ");
  }
  closing() {
    const button = element("button", "×", { type: "button" });
    button.setAttribute("aria-label", "Close the values");
    button.addEventListener("click", () => this.leave(true));
    return button;
  }
  tableRow(row, step, panel) {
    const made = element("tr", "", { className: row.near ? "near" : "" }), name = element("th", "", { scope: "row" });
    const said = [row.item.series, row.label].filter(Boolean).join(": "), key = element("td");
    key.append(this.owner.keyOf(row.item));
    if (this.pinned && row.runs.length) name.append(...this.links(said, row.runs)); else name.textContent = said;
    if (step !== undefined && row.x !== step) name.append(element("small", ` at ${numberText(row.x, panel.x.percent)}`));
    made.append(key, name, element("td", row.value, { className: "number" }), element("td", row.limits, { className: "number" }));
    return made;
  }
  // One run: its page; several: the table of runs, cut to these.
  links(text, runs) {
    const { suite } = this.owner, table = document.getElementById(suite + "-runs");
    if (runs.length === 1) return [element("a", text, { href: `run.html#${suite}/${runs[0]}` })];
    if (!table) return [text, ...runs.flatMap((run, i) => [" ", element("a", String(i + 1), { href: `run.html#${suite}/${run}`, title: "run " + run })])];
    const link = element("a", text, { href: "#" + table.id, title: `${runs.length} runs` });
    link.dataset.runs = runs.join(" ");
    return [link];
  }
  put(panel, x) {
    const field = panel.field.getBoundingClientRect(), page = this.owner.figure.getBoundingClientRect(), most = document.documentElement.clientWidth;
    const at = field.left + ((x - panel.left) / panel.width) * field.width, wide = this.box.offsetWidth;
    const right = at + 14 + wide <= most - 8, left = right ? at + 14 : Math.max(8, Math.min(at - 14 - wide, most - wide - 8));
    this.box.style.left = `${left - page.left}px`;
    this.box.style.top = `${(right || at - 14 - wide >= 8 ? field.top + 4 : field.bottom + 4) - page.top}px`;
  }
  pin(at, byKey) {
    this.pinned = true;
    this.show(at);
    const first = byKey && this.box.querySelector("a, button");
    if (first) first.focus();
  }
  leave(back = false) {
    const panel = this.at && this.at.panel;
    this.pinned = false, this.at = null, this.box.hidden = true;
    for (const each of this.owner.panels) each.mark([], null);
    if (back && panel) panel.field.focus();
  }
  again() { if (this.at) this.show(this.at.point ? null : this.at); }
}
// The number of the sorted value that is nearest.
function placeIn(sorted, value) {
  let low = 0, high = sorted.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (sorted[middle] <= value) low = middle; else high = middle; }
  return Math.abs(sorted[high] - value) < Math.abs(sorted[low] - value) ? high : low;
}

// A tagged artist: its data, and the group that matplotlib drew for it.
class Item {
  constructor(owner, data, number, { numbers, texts }) {
    const values = (name) => (name in data ? numbers[data[name]] : []), list = (name) => (name in data ? texts[data[name]] : []);
    Object.assign(this, { owner, series: data.series, kind: data.kind, step: data.step || "", group: partOf(owner.svg, "item" + number) });
    this.x = values("x"), this.y = values("y"), this.low = values("low"), this.high = values("high");
    this.labels = list("labels"), this.runs = list("runs");
    this.hasPlaces = this.kind !== "bars" && this.x.length > 0 && (this.kind === "band" ? this.low.length > 0 : this.y.length > 0);
    this.inSteps = (this.kind === "line" || this.kind === "band") && this.x.length > 1 && this.x.every((at, i) => i === 0 || at >= this.x[i - 1]);
  }
  runsAt(i) { return (this.runs[this.runs.length === 1 ? 0 : i] || "").split(" ").filter(Boolean); }
  get hidden() { return this.owner.hidden.has(this.series); }
  // The point at this step: of stairs the last one before, else the nearest within the line's own ends.
  indexAt(step) {
    if (step < this.x[0] || step > this.x[this.x.length - 1]) return -1;
    const i = placeIn(this.x, step);
    return this.step === "post" && this.x[i] > step ? i - 1 : i;
  }
  style() {
    const drawn = this.group.querySelector("g:not(.drawn) > path, g:not(.drawn) > use");
    return drawn ? drawn.getAttribute("style") : "fill: none; stroke: currentColor";
  }
  get color() {
    for (const drawn of this.group.querySelectorAll("path, use"))
      for (const color of [drawn.style.stroke, drawn.style.fill]) if (color && color !== "none") return color;
    return "currentColor";
  }
  // Stretches without a gap.
  pieces() {
    const found = [];
    let from = 0;
    for (let i = 0; i <= this.x.length; i++)
      if (i === this.x.length || !Number.isFinite(this.low[i] + this.high[i])) { if (i > from) found.push([from, i]); from = i + 1; }
    return found;
  }
}
