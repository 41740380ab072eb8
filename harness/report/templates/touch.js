// Figures that one can touch: what the numbers beside an SVG allow. Nothing is read before a figure is about to be seen.
{# Without the spaces that indent it, a page is smaller; they stand nowhere else two by two. #}
{% filter replace("  ", "") %}
{% include "touch_scales.js" %}
{% include "touch_panels.js" %}
{% include "touch_values.js" %}
{% include "touch_saving.js" %}
// Points that smoothing takes the mean of, if a line has four times as many.
const WINDOWS = [5, 15, 45];
const named = (name) => encodeURIComponent(name).replaceAll("!", "%21");

class FieldPanel extends Panel {
  points() {
    const found = [];
    for (const item of this.items)
      if (item.hasPoints && !item.hidden)
        item.x.forEach((x, i) => {
          const [left, top] = [this.now.x.place(x), this.now.y.place(item.y[i])], bar = item.kind === "bars";
          if (bar || this.holds(left, top)) found.push({ item, i, left, top, bar });
        });
    return found.sort((a, b) => a.top - b.top || a.left - b.left);
  }
  lines() { return this.items.filter((item) => item.kind === "line" && item.inSteps && !item.hidden); }
  bandOf(series, x) { return this.items.find((item) => item.kind === "band" && item.series === series && item.indexAt(x) >= 0); }
  steps() {
    const [low, high] = [Math.min(...this.x.limits), Math.max(...this.x.limits)], all = new Set();
    for (const item of this.lines()) for (const x of item.x) if (x >= low && x <= high) all.add(x);
    return Array.from(all).sort((a, b) => a - b);
  }
  // The field over the panel takes pointer and keys; it lies outside of the picture, which is one image to a reader of screens.
  cover(stage) {
    const { owner, field = element("div", "", { className: "field", tabIndex: 0 }) } = this;
    const share = (part, of) => `${(100 * part) / of}%`, full = owner.view;
    Object.assign(field.style, { left: share(this.left, full.width), top: share(this.top - full.top, full.height),
      width: share(this.width, full.width), height: share(this.height, full.height) });
    field.setAttribute("role", "application");
    field.setAttribute("aria-label", `${this.name()}. Arrows: values, other panels; Enter: pin; plus, minus, 0: zoom.`);
    this.field = field;
    stage.append(field);
    field.addEventListener("pointerdown", (event) => this.down(event));
    field.addEventListener("pointermove", (event) => this.pointed(event));
    field.addEventListener("pointerup", (event) => this.up(event));
    field.addEventListener("pointercancel", () => this.drop());
    field.addEventListener("pointerleave", () => { if (!owner.pointed.pinned && !this.drag) owner.pointed.leave(); });
    field.addEventListener("click", (event) => this.click(event));
    field.addEventListener("dblclick", () => { owner.pointed.leave(); owner.reset(); });
    field.addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.altKey && !event.metaKey && this.key(event.key)) event.preventDefault(); });
    field.addEventListener("blur", () => { if (!owner.pointed.pinned) owner.pointed.leave(); });
  }
  placeOf(event) {
    const box = this.field.getBoundingClientRect(), within = (at, size) => Math.max(0, Math.min(size, at));
    return [this.left + (within(event.clientX - box.left, box.width) / box.width) * this.width,
      this.top + (within(event.clientY - box.top, box.height) / box.height) * this.height];
  }
  down(event) {
    this.dragged = false;
    if (event.pointerType === "touch" || event.button !== 0) return;
    this.drag = { from: this.placeOf(event), box: element("div", "", { className: "chosen" }) };
    this.field.setPointerCapture(event.pointerId);
    this.field.append(this.drag.box);
  }
  pointed(event) {
    if (event.pointerType === "touch") return;
    if (!this.drag) { if (!this.owner.pointed.pinned) this.owner.pointed.show(this.owner.pointed.nearest(this, ...this.placeOf(event))); return; }
    const [x, y] = this.chosen(event), percent = (part, of) => `${(100 * part) / of}%`;
    Object.assign(this.drag.box.style, { left: percent(x[0] - this.left, this.width), width: percent(x[1] - x[0], this.width),
      top: percent(y[0] - this.top, this.height), height: percent(y[1] - y[0], this.height) });
  }
  // The places between which a reader drags; a drag along one axis takes all of the other.
  chosen(event) {
    const to = this.placeOf(event), [a, b] = [0, 1].map((i) => [Math.min(this.drag.from[i], to[i]), Math.max(this.drag.from[i], to[i])]);
    const flat = (range) => range[1] - range[0] < 8;
    return [flat(a) && !flat(b) ? [this.left, this.left + this.width] : a, flat(b) && !flat(a) ? [this.top, this.top + this.height] : b];
  }
  up(event) {
    if (!this.drag) return;
    const [x, y] = this.chosen(event);
    this.dragged = x[1] - x[0] > 4 && y[1] - y[0] > 4;
    this.drop();
    if (!this.dragged) return;
    const { now } = this, whole = (range, start, size) => range[0] === start && range[1] === start + size;
    if (!whole(x, this.left, this.width)) this.x.zoom(now.x.value(x[0]), now.x.value(x[1]));
    if (!whole(y, this.top, this.height)) this.y.zoom(now.y.value(y[0]), now.y.value(y[1]));
    this.owner.pointed.leave();
    this.owner.change();
  }
  drop() { if (this.drag) this.drag.box.remove(); this.drag = null; }
  click(event) {
    const { pointed } = this.owner, found = pointed.nearest(this, ...this.placeOf(event));
    if (this.dragged || event.detail > 1) return;
    if (pointed.pinned || !found) pointed.leave(); else pointed.pin(found, false);
  }
  key(key) {
    const { owner } = this, { pointed } = owner, mine = pointed.at && pointed.at.panel === this ? pointed.at : null;
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[key];
    if (move) this.walk(mine, move);
    else if (key === "ArrowUp" || key === "ArrowDown") {
      const panels = owner.panels.filter((panel) => panel.field), next = panels[panels.indexOf(this) + (key === "ArrowUp" ? -1 : 1)];
      if (next) next.field.focus();
    } else if (key === "Enter") { if (mine) pointed.pin(mine, true); else this.walk(null, 1); }
    else if (key === "Escape") pointed.leave();
    else if (key === "+" || key === "=") owner.stretch(0.5, this, mine && mine.step);
    else if (key === "-") owner.stretch(2, this, mine && mine.step);
    else if (key === "0") owner.reset();
    else return false;
    return true;
  }
  walk(mine, move) {
    const steps = this.steps(), all = steps.length ? steps : this.points();
    if (!all.length) return;
    const same = (one) => (steps.length ? one === mine.step : one.item === mine.point.item && one.i === mine.point.i);
    const was = mine ? all.findIndex(same) : move > 0 ? -1 : all.length;
    const one = all[Math.max(0, Math.min(all.length - 1, was + move))];
    this.owner.pointed.pinned = false;
    this.owner.pointed.show(steps.length ? { panel: this, step: one } : { panel: this, point: one }, true);
  }
  mark(rows, x) {
    if (!this.field) return;
    for (const old of this.field.querySelectorAll(".line, .dot")) old.remove();
    const percent = (part, of) => `${(100 * part) / of}%`;
    if (x !== null) {
      const line = element("div", "", { className: "line" });
      line.style.left = percent(x - this.left, this.width);
      this.field.append(line);
    }
    for (const row of rows) {
      if (!this.holds(row.left, row.top)) continue;
      const dot = element("div", "", { className: row.near ? "dot near" : "dot" });
      Object.assign(dot.style, { left: percent(row.left - this.left, this.width), top: percent(row.top - this.top, this.height), color: row.item.color });
      this.field.append(dot);
    }
  }
}

class Touched {
  constructor(figure, source) {
    const data = JSON.parse(source.textContent);
    for (const values of data.numbers) values.forEach((value, i) => { values[i] = real(value); });
    this.figure = figure, this.svg = figure.querySelector("svg"), this.hidden = new Set(), this.smooth = 0, this.axes = new Map();
    const article = figure.closest("article");
    this.suite = article && article.id ? article.id : figure.id.split("-fig-")[0];
    const full = this.svg.viewBox.baseVal;
    this.width = full.width, this.height = full.height, this.view = { top: 0, width: full.width, height: full.height };
    this.panels = data.panels.map((panel, i) => new FieldPanel(this, panel, i));
    this.items = data.items.map((item, i) => new Item(this, item, i, data));
    this.items.forEach((item, i) => {
      const panel = this.panels[data.items[i].panel];
      panel.items.push(item), panel.x.used = panel.y.used = true;
      item.hasPoints = item.kind !== "band" && !(item.kind === "line" && item.inSteps) && item.x.length > 0 && item.y.length > 0;
      for (const way of ["x", "y"]) panel[way].saw(item[way]);
      panel.y.saw(item.kind === "band" ? item.low : []);
      for (const way of ["x", "y"]) panel[way].bars ||= item.kind === "bars" && panel[way].movable;
    });
    this.tools = element("div", "", { className: "tools" });
    this.series = [];
    if (data.legend.length) this.makeLegend(data.legend);
    this.makeStage();
    this.makeTools();
    this.pointed = new Pointed(this);
    this.restore();
    window.addEventListener("hashchange", () => this.restore());
  }
  axisOf(way, drawn) {
    const key = way + drawn.share;
    if (!this.axes.has(key)) this.axes.set(key, new Axis(way, drawn.share, drawn));
    return this.axes.get(key);
  }
  makeStage() {
    const stage = element("div", "", { className: "stage" });
    Object.assign(stage.style, { width: this.svg.getAttribute("width") + "px", minWidth: this.svg.style.minWidth });
    this.svg.replaceWith(stage);
    stage.append(this.svg);
    this.svg.setAttribute("viewBox", `0 ${this.view.top} ${this.view.width} ${this.view.height}`);
    for (const panel of this.panels) if (panel.items.length) panel.cover(stage);
    stage.closest(".scroll").before(this.tools);
  }
  // Buttons in the place of the picture's own legend, which leaves room for them if it stands on top.
  makeLegend(names) {
    const legend = partOf(this.svg, "legend"), box = legend.getBBox(), list = element("div", "", { className: "series" });
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", "Series: press to show or hide, with shift or the key o to show alone");
    this.keys = new Map(names.map((name, i) => [name, partOf(legend, "handle" + i)]));
    const tagged = new Set(this.items.map((item) => item.series));
    this.series = names.filter((name) => tagged.has(name));
    this.buttons = new Map();
    for (const name of names) {
      const entry = element(tagged.has(name) ? "button" : "span", "", tagged.has(name) ? { type: "button" } : {});
      entry.append(this.keyNamed(name), element("bdi", name));
      list.append(entry);
      if (!tagged.has(name)) continue;
      this.buttons.set(name, entry);
      entry.addEventListener("click", (event) => (event.shiftKey ? this.alone(name) : this.toggle(name)));
      entry.addEventListener("keydown", (event) => { if (event.key === "o" && !event.ctrlKey && !event.metaKey) this.alone(name); });
    }
    this.all = element("button", "all", { type: "button", className: "all" });
    this.all.setAttribute("aria-label", "Show all series");
    this.all.addEventListener("click", () => { this.hidden.clear(); this.change(); this.buttons.values().next().value.focus(); });
    list.append(this.all);
    this.tools.append(list);
    legend.setAttribute("display", "none");
    const bottom = box.y + box.height + 4, highest = Math.min(...this.panels.map((panel) => panel.top));
    if (box.y < 20 && bottom < highest) this.view = { ...this.view, top: bottom, height: this.height - bottom };
    this.svg.setAttribute("height", Math.round((this.view.height * 4) / 3));
  }
  // The piece of the legend that shows a series, by itself.
  keyNamed(name) {
    const handle = this.keys && this.keys.get(name);
    if (!handle) return null;
    const box = handle.dataset.box ? handle.dataset.box.split(" ").map(Number) : this.boxOf(handle);
    const [x, y, width, height] = box, key = drawnIn("svg", { viewBox: box.join(" "), width: (width * 4) / 3, height: (height * 4) / 3, "aria-hidden": "true", class: "look" });
    key.append(...Panel.prototype.copies(handle));
    return key;
  }
  boxOf(handle) {
    const { x, y, width, height } = handle.getBBox(), tall = Math.max(height, 6) + 2;
    const box = [x - 1, y + height / 2 - tall / 2, width + 2, tall].map(digits);
    handle.dataset.box = box.join(" ");
    return box;
  }
  keyOf(item) {
    const chip = element("span", "", { className: "chip-of" });
    chip.style.background = item.color;
    return this.keyNamed(item.series) || chip;
  }
  makeTools() {
    const row = element("div", "", { className: "how" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "View of the figure");
    const add = (text, label, does) => {
      const button = element("button", text, { type: "button", onclick: does });
      button.setAttribute("aria-label", label);
      row.append(button);
      return button;
    };
    const axes = Array.from(this.axes.values());
    this.logs = ["x", "y"].filter((way) => axes.some((axis) => axis.way === way && axis.canSwitch)).map((way) => [way,
      add(`log ${way}`, `Logarithmic ${way} axis`, () => this.setLog(way, !this.isLog(way)))]);
    const longest = Math.max(0, ...this.items.map((item) => (item.kind === "line" && item.inSteps ? item.x.length : 0)));
    const windows = WINDOWS.filter((window) => 4 * window <= longest);
    if (windows.length) {
      const label = element("label", "smooth "), select = element("select");
      select.append(...[0, ...windows].map((window) => element("option", window ? `${window} points` : "off", { value: window })));
      select.addEventListener("change", () => { this.smooth = Number(select.value); this.change(); });
      label.append(select);
      row.append(label);
      this.select = select;
    }
    if (axes.some((axis) => axis.movable)) {
      add("+", "Zoom in", () => this.stretch(0.5));
      add("−", "Zoom out", () => this.stretch(2));
      this.back = add("reset", "Reset zoom and axes", () => this.reset());
    }
    add("SVG", "Save as SVG", () => saveSvg(this));
    add("PNG", "Save as PNG", () => savePng(this));
    this.tools.append(row);
  }
  isLog(way) { return Array.from(this.axes.values()).filter((axis) => axis.way === way && axis.canSwitch).every((axis) => axis.log); }
  setLog(way, log) {
    for (const axis of this.axes.values()) if (axis.way === way) axis.setLog(log);
    this.change();
  }
  // Steps come nearer together or apart; without a panel, or without steps, both ways.
  stretch(factor, panel, around) {
    for (const axis of panel ? [panel.x, ...(panel.steps().length ? [] : [panel.y])] : this.axes.values())
      if (axis.way === "x" || panel || !this.inSteps) axis.stretch(factor, axis.way === "x" ? around ?? undefined : undefined);
    this.change();
  }
  get inSteps() { return this.panels.some((panel) => panel.lines().length); }
  reset() {
    for (const axis of this.axes.values()) axis.reset();
    this.change();
  }
  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.change();
  }
  alone(name) {
    const only = this.series.length - this.hidden.size === 1 && !this.hidden.has(name);
    this.hidden = new Set(only ? [] : this.series.filter((other) => other !== name));
    this.change();
  }
  change() {
    this.draw();
    this.keep();
  }
  draw() {
    for (const item of this.items) if (item.hidden) item.group.setAttribute("display", "none"); else item.group.removeAttribute("display");
    for (const panel of this.panels) panel.draw();
    for (const [name, button] of this.buttons || []) button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    if (this.all) this.all.hidden = !this.hidden.size;
    for (const [way, button] of this.logs) button.setAttribute("aria-pressed", String(this.isLog(way)));
    if (this.select) this.select.value = String(this.smooth);
    if (this.pointed) this.pointed.again();
  }
  // The address holds a reader's choices; they are read from there.
  keep() {
    const set = (name, value) => address.set(`${this.figure.id}.${name}`, value || null), axes = Array.from(this.axes.values());
    const shown = this.series.filter((name) => !this.hidden.has(name)), few = shown.length < this.hidden.size;
    set("hide", this.hidden.size ? (few ? "!" : "") + (few ? shown : Array.from(this.hidden)).map(named).join(",") : null);
    set("zoom", axes.filter((axis) => axis.zoomed).map((axis) => [axis.key, ...axis.limits.map((limit) => Number(limit.toPrecision(7)))].join(":")).join(","));
    for (const way of ["x", "y"]) {
      const switched = axes.some((axis) => axis.way === way && axis.log !== axis.drawn.log);
      set(way, switched ? (this.isLog(way) ? "log" : "linear") : null);
    }
    set("smooth", this.smooth ? String(this.smooth) : null);
  }
  restore() {
    const get = (name) => address.get(`${this.figure.id}.${name}`) || "", hide = get("hide");
    const names = new Set(hide.replace(/^!/, "").split(",").filter(Boolean).map(decoded));
    this.hidden = new Set(this.series.filter((name) => hide && names.has(name) !== hide.startsWith("!")));
    for (const axis of this.axes.values()) {
      axis.reset();
      if (["log", "linear"].includes(get(axis.way))) axis.setLog(get(axis.way) === "log");
    }
    for (const part of get("zoom").split(",")) {
      const [key, low, high] = part.split(":"), axis = this.axes.get(key);
      if (axis && Number.isFinite(Number(low)) && Number.isFinite(Number(high))) axis.zoom(Number(low), Number(high));
    }
    this.smooth = this.select && WINDOWS.includes(Number(get("smooth"))) ? Number(get("smooth")) : 0;
    this.draw();
  }
}
function decoded(text) { try { return decodeURIComponent(text); } catch { return text; } }

const watching = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries)
    if (isIntersecting) { watching.unobserve(target); new Touched(target, target.querySelector("script.touch")); }
}, { rootMargin: "300px" });
for (const source of document.querySelectorAll("figure[id] script.touch")) watching.observe(source.closest("figure"));
{% endfilter %}
