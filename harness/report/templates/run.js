"use strict";
// Draws the run that the address names, run.html#SUITE/DIGEST (or ?run=SUITE/DIGEST), from data/runs/SUITE/DIGEST.js.
// Whatever a run says is set as text, never as markup.
const shown = document.getElementById("shown"), heading = document.querySelector("h1");
const METRICS = { accuracy: "validation accuracy", r2: "validation R²", negative_loss: "negative validation loss" };
const COLORS = ["var(--first)", "var(--second)"], WIDTH = 620, HEIGHT = 250, LEFT = 62, RIGHT = 12, TOP = 10, BOTTOM = 34;

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
function number(value) {
  return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential().replace(/(\.\d{2})\d+/, "$1")
    : String(Number(value.toPrecision(4)));
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
function line(name, curve) {
  const steps = curve.steps || curve.values.map((_, i) => curve.from + i * curve.every);
  return { name, curve, points: curve.values.map((value, i) => [steps[i], value]) };
}
function figure(title, lines, level) {
  const known = lines.flatMap((each) => each.points).filter(([, y]) => y !== null), ys = known.map(([, y]) => y);
  if (!ys.length) return element("p", `${title}: no finite value.`);
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (level !== undefined) [low, high] = [Math.min(low, level), Math.max(high, level)];
  const logarithmic = low > 0 && high / low > 20;
  if (high === low) [low, high] = low ? [low - Math.abs(low) / 2, high + Math.abs(high) / 2] : [-1, 1];
  const last = Math.max(1, ...known.map(([x]) => x)), scale = logarithmic ? Math.log10 : (value) => value;
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (HEIGHT - TOP - BOTTOM);
  const what = `${title} against steps, from ${number(low)} to ${number(high)}: ${lines.map((each) => each.name).join(", ")}.`;
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, role: "img", "aria-label": what });
  for (const value of logarithmic ? decades(low, high) : places(low, high)) {
    svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(drawn("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  for (const value of places(0, last)) {
    svg.append(drawn("text", { x: x(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, number(value)));
  }
  svg.append(drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "step"));
  if (level !== undefined) svg.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level), class: "level" }));
  lines.forEach(({ points, curve }, i) => {
    let path = "", gap = true;
    for (const [step, value] of points) {
      if (value === null) { gap = true; continue; }
      path += `${gap ? "M" : "L"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      gap = false;
    }
    svg.append(drawn("path", { d: path, fill: "none", stroke: COLORS[i], "stroke-width": 1.6, "stroke-dasharray": i ? "6 2" : "none" }));
    if (points.length <= 60) for (const [step, value] of points) if (value !== null) {
      svg.append(drawn("circle", { cx: x(step).toFixed(1), cy: y(value).toFixed(1), r: 2.2, fill: COLORS[i] }));
    }
  });
  return captioned(svg, title, lines, level, logarithmic);
}
function captioned(svg, title, lines, level, logarithmic) {
  const caption = element("figcaption", `${title}${logarithmic ? ", logarithmic" : ""}. `), block = element("figure");
  lines.forEach(({ name, curve }, i) => {
    const mark = element("span", "", { class: "key", style: `border-top: 3px ${i ? "dashed" : "solid"} ${COLORS[i]}` });
    const binned = curve.bin > 1 ? ` (each point the mean of ${curve.bin} ${/train|rate/.test(name) ? "steps" : "evaluations"})` : "";
    const lost = curve.lost ? `; ${curve.lost} not finite, the first at step ${curve.first}` : "";
    caption.append(mark, `${name}${binned}${lost}. `);
  });
  if (level !== undefined) caption.append(`The dashed level is the target, ${number(level)}.`);
  block.append(svg, caption);
  return block;
}
function facts(pairs) {
  const list = element("dl");
  for (const [what, value] of pairs) list.append(element("dt", what), element("dd", value));
  return list;
}
const gradrace = {
  run(run) {
    heading.textContent = run.facts[0][1];
    document.title = `gradrace: ${run.facts[0][1]}`;
    document.getElementById("back").href = run.page;
    const chips = element("p", undefined, { class: "chips" });
    chips.append(element("span", run.status, { class: `chip ${run.status}` }), element("span", run.title, { class: "chip missing" }));
    shown.replaceChildren(chips);
    if (run.reason) shown.append(element("p", run.reason, { class: "warning" }));
    const curves = run.curves, group = (names) => names.filter(([name]) => curves[name]).map(([name, label]) => line(label, curves[name]));
    const figures = [
      ["Loss", group([["train_loss", "training loss"], ["validation_loss", "validation loss"]])],
      ["Metric", group([["validation_metric", METRICS[run.metric]]]), run.target],
      ["Learning rate", group([["learning_rate", "learning rate"]])],
      ["Point", group([["point_0", "first number"], ["point_1", "second number"]])],
    ].filter(([, lines]) => lines.length);
    if (figures.length) shown.append(element("h2", "Curves"));
    const grid = element("div", undefined, { class: "curves" });
    grid.append(...figures.map((each) => figure(...each)));
    const spec = element("details");
    spec.append(element("summary", "Specification, as JSON"), element("pre", JSON.stringify(run.spec, null, 1)));
    shown.append(grid, element("h2", "Settings and outcome"), facts(run.facts), spec);
    if (run.log) shown.append(element("h2", "End of the log"), element("pre", run.log));
  },
};
function open() {
  const asked = decodeURIComponent(location.hash.slice(1)) || new URLSearchParams(location.search).get("run") || "";
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*\/[0-9a-f]{24}$/.test(asked)) {
    heading.textContent = "No run is named";
    shown.replaceChildren(element("p", "The address of a run ends in #SUITE/DIGEST; the report’s tables of runs lead there."));
    return;
  }
  const script = element("script", "", { src: `data/runs/${asked}.js` });
  script.addEventListener("error", () => {
    heading.textContent = "No such run";
    shown.replaceChildren(element("p", `This report holds no run ${asked}.`));
  });
  document.head.append(script);
}
window.addEventListener("hashchange", open);
open();
