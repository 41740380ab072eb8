// Draws curves of runs: values at the pointer or by arrow keys, lines switched by their names, either scale.
// Whatever a run says is set as text, never as markup.
const METRICS = { accuracy: "validation accuracy", r2: "validation R\u00b2", negative_loss: "negative validation loss" };
const CURVES = [["train_loss", "Training loss"], ["validation_loss", "Validation loss"], ["validation_metric", "Metric"],
  ["learning_rate", "Learning rate"], ["point_0", "First number"], ["point_1", "Second number"]];
const DASHES = ["none", "6 2", "2 2", "8 2 2 2", "12 3", "1 4"];
const WIDTH = Math.min(620, document.documentElement.clientWidth - 24), HEIGHT = 250, LEFT = 62, RIGHT = 12, TOP = 10, BOTTOM = 34;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function number(value, digits = 4) {
  if (value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5)) return String(Number(value.toPrecision(digits)));
  return String(Number(value.toPrecision(digits - 1)).toExponential());
}
// About five round places between low and high.
function places(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((each) => each >= rough), found = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12); i++) found.push(i * step);
  return found;
}
function decades(low, high) {
  const first = Math.ceil(Math.log10(low)), last = Math.floor(Math.log10(high)), every = Math.ceil((last - first + 1) / 6);
  const found = [];
  for (let power = first; power <= last; power += every) found.push(10 ** power);
  return found.length > 1 ? found : places(low, high).filter((value) => value > 0);
}
// look: the place of its colour and dash; unit: what its values are of.
function line(name, curve, look = 0, unit = "steps") {
  const steps = curve.steps || curve.values.map((_, i) => curve.from + i * curve.every);
  return { name, curve, unit, color: `var(--line-${look + 1})`, dash: DASHES[look], points: curve.values.map((value, i) => [steps[i], value]) };
}
// The places of a figure's values on its drawing.
function frame(lines, level, wanted) {
  const known = lines.flatMap((each) => each.points).filter(([, y]) => y !== null), ys = known.map(([, y]) => y);
  if (!ys.length) return null;
  let low = ys.reduce((a, b) => Math.min(a, b)), high = ys.reduce((a, b) => Math.max(a, b));
  if (level !== undefined) [low, high] = [Math.min(low, level), Math.max(high, level)];
  const possible = low > 0 && high > low, logarithmic = possible && (wanted ?? high / low > 20);
  if (high === low) [low, high] = low ? [low - Math.abs(low) / 2, high + Math.abs(high) / 2] : [-1, 1];
  const last = known.reduce((a, [x]) => Math.max(a, x), 1), scale = logarithmic ? Math.log10 : (value) => value;
  return { low, high, last, possible, logarithmic,
    x: (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT),
    step: (x) => ((x - LEFT) / (WIDTH - LEFT - RIGHT)) * last,
    y: (value) => HEIGHT - BOTTOM - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (HEIGHT - TOP - BOTTOM) };
}
function axes(svg, { low, high, last, logarithmic, x, y }, level) {
  for (const value of logarithmic ? decades(low, high) : places(low, high)) {
    svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(drawn("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  for (const value of places(0, last)) {
    svg.append(drawn("text", { x: x(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, number(value)));
  }
  svg.append(drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "step"));
  if (level !== undefined) svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level), class: "level" }));
}
function stroke(svg, { points, color, dash }, { x, y }) {
  let path = "", gap = true;
  for (const [step, value] of points) {
    if (value === null) { gap = true; continue; }
    path += `${gap ? "M" : "L"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    gap = false;
  }
  svg.append(drawn("path", { d: path, fill: "none", stroke: color, "stroke-width": 1.6, "stroke-dasharray": dash }));
  if (points.length <= 60) for (const [step, value] of points) if (value !== null) {
    svg.append(drawn("circle", { cx: x(step).toFixed(1), cy: y(value).toFixed(1), r: 2.2, fill: color }));
  }
}
// The last point at or before a step, or the first one.
function at(points, step) {
  let found = points[0];
  for (const point of points) if (point[0] <= step) found = point;
  return found;
}
class Curves {
  constructor(title, lines, level) {
    this.title = title, this.lines = lines, this.level = level, this.hidden = new Set(), this.place = null;
    this.block = element("figure"), this.panel = element("div", undefined, { class: "panel", tabindex: 0, role: "group", "aria-label": `${title}: the arrow keys tell values` });
    this.said = element("p", undefined, { class: "readout", "aria-live": "polite" });
    this.block.append(this.panel, this.said, this.caption());
    this.panel.addEventListener("pointermove", (event) => this.point(event));
    this.panel.addEventListener("pointerdown", (event) => this.point(event));
    this.panel.addEventListener("keydown", (event) => this.press(event));
    this.draw();
  }
  get shown() {
    return this.lines.filter((each) => !this.hidden.has(each));
  }
  caption() {
    const caption = element("figcaption"), drop = element("button", "", { type: "button" });
    this.heading = element("strong");
    caption.append(this.heading);
    for (const each of this.lines) caption.append(this.entry(each));
    drop.addEventListener("click", () => { this.wanted = !this.frame.logarithmic; this.draw(); });
    this.drop = drop;
    caption.append(drop);
    if (this.level !== undefined) caption.append(element("span", `The dashed level is the target, ${number(this.level)}.`));
    return caption;
  }
  entry(each) {
    const { name, curve, unit, color, dash } = each, button = element("button", undefined, { type: "button", "aria-pressed": "true" });
    const mark = drawn("svg", { width: 28, height: 8, "aria-hidden": "true" });
    mark.append(drawn("line", { x1: 0, x2: 28, y1: 4, y2: 4, stroke: color, "stroke-width": 2.4, "stroke-dasharray": dash }));
    const binned = curve.bin > 1 ? ` (each point the mean of ${curve.bin} ${unit})` : "";
    const lost = curve.lost ? `; ${curve.lost} not finite, the first at step ${curve.first}` : "";
    button.append(mark, element("span", `${name}${binned}${lost}`));
    button.addEventListener("click", () => {
      if (this.hidden.has(each)) this.hidden.delete(each); else this.hidden.add(each);
      button.setAttribute("aria-pressed", String(!this.hidden.has(each)));
      this.draw();
    });
    return button;
  }
  draw() {
    this.frame = frame(this.shown, this.level, this.wanted) || frame(this.lines, this.level, this.wanted);
    const { logarithmic, possible, low, high } = this.frame || {};
    this.heading.textContent = `${this.title}${logarithmic ? ", logarithmic" : ""}`;
    this.drop.hidden = !possible;
    this.drop.textContent = logarithmic ? "linear scale" : "logarithmic scale";
    if (!this.frame) return this.panel.replaceChildren(element("p", `${this.title}: no finite value.`));
    const what = `${this.title} against steps, from ${number(low)} to ${number(high)}: ${this.shown.map((each) => each.name).join(", ")}.`;
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, role: "img", "aria-label": what });
    axes(svg, this.frame, this.level);
    for (const each of this.shown) stroke(svg, each, this.frame);
    this.cursor = drawn("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
    svg.append(this.cursor);
    this.panel.replaceChildren(svg);
    this.tell();
  }
  point(event) {
    const box = this.panel.firstElementChild.getBoundingClientRect();
    if (!this.frame || !box.width) return;
    this.place = Math.min(this.frame.last, Math.max(0, this.frame.step(((event.clientX - box.left) / box.width) * WIDTH)));
    this.tell();
  }
  press(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || !this.frame) return;
    event.preventDefault();
    const steps = Array.from(new Set(this.shown.flatMap((each) => each.points.map(([step]) => step)))).sort((a, b) => a - b);
    const now = this.place === null ? -1 : steps.filter((step) => step <= this.place).length - 1;
    this.place = steps[Math.min(steps.length - 1, Math.max(0, now + moves[event.key]))];
    this.tell();
  }
  tell() {
    if (this.place === null || !this.frame) return;
    const found = this.shown.map((each) => ({ each, point: at(each.points, this.place) }));
    const step = found.reduce((a, { point }) => Math.max(a, point[0]), 0);
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.frame.x(step));
    this.cursor.setAttribute("visibility", "visible");
    const say = (value) => (value === null ? "not finite" : number(value));
    this.said.textContent = `Step ${number(step)}: ${found.map(({ each, point }) => `${each.name} ${say(point[1])}`).join("; ")}`;
  }
}
function curvesOf(title, lines, level) {
  return new Curves(title, lines, level).block;
}
