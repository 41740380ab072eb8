// Draws two to six runs side by side: compare.html#SUITE/DIGEST,SUITE/DIGEST, from data/runs/SUITE/DIGEST.js.
const shown = document.getElementById("shown"), heading = document.querySelector("h1"), MOST = 6;
let asked = [], found = new Map();

const gradrace = { run: (run) => found.set(`${run.suite}/${run.digest}`, run) };

// Settings by their paths: {optimizer: {name: "adam"}} -> optimizer.name: "adam".
function flat(value, path = "", into = new Map()) {
  const nested = value !== null && typeof value === "object" && Object.keys(value).length;
  if (!nested) return into.set(path, typeof value === "string" ? value : JSON.stringify(value));
  for (const [key, each] of Object.entries(value)) {
    flat(each, Array.isArray(value) ? `${path}[${key}]` : path ? `${path}.${key}` : key, into);
  }
  return into;
}
// Rows of several maps: the name, a value for each, and whether all are equal.
function rowsOf(maps) {
  const names = new Set(maps.flatMap((each) => Array.from(each.keys())));
  return Array.from(names, (name) => {
    const values = maps.map((each) => each.get(name) ?? "\u2013");
    return { name, values, same: values.every((value) => value === values[0]) };
  });
}
// Facts of a run; those that hold several figures or versions have a row for each.
const SPLIT = ["outcome", "versions"], ELSEWHERE = ["run", "digest", "task", "optimizer", "learning rate", "framework", "parameter group"];
function factsOf(run) {
  const into = new Map();
  for (const [what, value] of run.facts) {
    if (ELSEWHERE.includes(what)) continue;
    const parts = SPLIT.includes(what) ? value.split(", ") : [];
    if (parts.length) for (const part of parts) {
      const [name, ...rest] = part.split("=");
      into.set(`${what}: ${name.replaceAll("_", " ")}`, rest.join("="));
    } else into.set(what, into.has(what) ? `${into.get(what)}\n${value}` : value);
  }
  return into;
}
// What tells the runs apart, in a few words.
const WORDS = ["task.name", "framework", "optimizer.name", "schedule.base_lr", "schedule.kind", "optimizer.rule", "task.batch_size", "seed", "launch", "mode"];
function labels(runs) {
  const rows = rowsOf(runs.map((run) => flat(run.spec))).filter((row) => !row.same && !/^task\.(?!name|batch)/.test(row.name));
  const rank = (name) => (WORDS.includes(name) ? WORDS.indexOf(name) : WORDS.length);
  const few = rows.sort((a, b) => rank(a.name) - rank(b.name)).slice(0, 4);
  const short = (name, value) => (/name|kind|framework|mode|rule/.test(name) ? value : `${name === "schedule.base_lr" ? "lr" : name.replace(/^.*\./, "")} ${value}`);
  return runs.map((_, i) => `${String.fromCharCode(65 + i)}: ${few.map((row) => short(row.name, row.values[i])).join(" \u00b7 ") || "the same settings"}`);
}
function tableOf(what, rows, names) {
  const frame = element("div", undefined, { class: "scroll", tabindex: 0, role: "region", "aria-label": what });
  const table = element("table", undefined, { class: "beside" }), head = element("tr"), body = element("tbody");
  head.append(element("th", what, { scope: "col" }), ...names.map((name) => element("th", name, { scope: "col" })));
  for (const { name, values } of rows) {
    const row = element("tr");
    row.append(element("th", name, { scope: "row" }), ...values.map((value) => (/^-?\d+\.\d{6,}(e-?\d+)?$/.test(value) ? element("td", number(Number(value), 6), { title: value }) : element("td", value))));
    body.append(row);
  }
  const top = element("thead");
  top.append(head);
  table.append(top, body);
  frame.append(table);
  return frame;
}
// Rows that differ; those that do not are folded.
function differences(title, rows, names) {
  const apart = rows.filter((row) => !row.same), alike = rows.filter((row) => row.same);
  const made = [element("h2", title)];
  made.push(apart.length ? tableOf("Different", apart, names) : element("p", "No difference."));
  if (alike.length) {
    const details = element("details");
    details.append(element("summary", `${alike.length} that are the same`), tableOf("The same", alike.map((row) => ({ ...row, values: row.values.slice(0, 1) })), ["all"]));
    made.push(details);
  }
  return made;
}
function legend(runs, names) {
  const list = element("ul", undefined, { class: "sides" });
  runs.forEach((run, i) => {
    const item = element("li"), mark = drawn("svg", { width: 28, height: 8, "aria-hidden": "true" });
    mark.append(drawn("line", { x1: 0, x2: 28, y1: 4, y2: 4, stroke: `var(--line-${i + 1})`, "stroke-width": 2.4, "stroke-dasharray": DASHES[i] }));
    item.append(mark, element("strong", names[i]), element("span", run.status, { class: `chip ${run.status}` }),
      element("a", run.facts[0][1], { href: `run.html#${run.suite}/${run.digest}` }), element("span", run.title, { class: "soft" }));
    if (run.reason) item.append(element("span", run.reason, { class: "soft" }));
    list.append(item);
  });
  return list;
}
function figures(runs, names) {
  const grid = element("div", undefined, { class: "curves" });
  for (const [key, title] of CURVES) {
    const lines = runs.flatMap(({ curves: { [key]: curve } }, i) =>
      (curve ? [line(names[i], curve, i, /train|rate/.test(key) ? "steps" : "evaluations")] : []));
    if (!lines.length) continue;
    const metrics = new Set(runs.map((run) => run.metric)), targets = new Set(runs.map((run) => run.target));
    const of = key === "validation_metric" && metrics.size === 1 ? METRICS[runs[0].metric] : title;
    const level = key === "validation_metric" && targets.size === 1 ? runs[0].target : undefined;
    grid.append(curvesOf(of[0].toUpperCase() + of.slice(1), lines, level));
  }
  return grid.childElementCount ? [element("h2", "Curves"), grid] : [];
}
function draw() {
  const runs = asked.map((each) => found.get(each)).filter(Boolean), lost = asked.filter((each) => !found.has(each));
  if (lost.length) heading.textContent = `${runs.length} of ${asked.length} runs side by side`;
  shown.replaceChildren(...lost.map((each) => element("p", `This report holds no run ${each}.`, { class: "warning" })));
  if (!runs.length) return;
  const names = labels(runs), letters = names.map((name) => name.slice(0, 1)), facts = rowsOf(runs.map(factsOf));
  document.getElementById("back").href = runs[0].page;
  const machines = (row) => /^(versions|machine|driver|GPU)/.test(row.name);
  const settings = rowsOf(runs.map((run) => flat(run.spec)));
  shown.append(legend(runs, names), ...figures(runs, names),
    ...differences("Outcome", facts.filter((row) => !machines(row)), letters),
    ...differences("Settings", settings, letters),
    ...differences("Versions and machines", facts.filter(machines), letters));
}
function open() {
  asked = Array.from(new Set(decodeURIComponent(location.hash.slice(1)).split("?")[0].split(",").filter(Boolean)));
  const wrong = asked.some((each) => !/^[A-Za-z0-9][A-Za-z0-9_-]*\/[0-9a-f]{24}$/.test(each));
  if (wrong || asked.length < 2 || asked.length > MOST) {
    heading.textContent = "No runs to compare";
    shown.replaceChildren(element("p", "The address ends in #SUITE/DIGEST,SUITE/DIGEST and so on, of two to six runs; tick them in a suite\u2019s table of all runs."));
    return;
  }
  heading.textContent = `${asked.length} runs side by side`;
  document.title = `gradrace: ${heading.textContent}`;
  Promise.all(asked.filter((each) => !found.has(each)).map((each) => new Promise((done) => {
    const script = element("script", "", { src: `data/runs/${each}.js` });
    script.addEventListener("load", done);
    script.addEventListener("error", done);
    document.head.append(script);
  }))).then(draw);
}
window.addEventListener("hashchange", open);
open();
