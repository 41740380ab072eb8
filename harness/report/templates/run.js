// Draws the run that the address names, run.html#SUITE/DIGEST (or ?run=SUITE/DIGEST), from data/runs/SUITE/DIGEST.js.
const shown = document.getElementById("shown"), heading = document.querySelector("h1");

function facts(pairs) {
  const list = element("dl");
  for (const [what, value] of pairs) list.append(element("dt", what), element("dd", value));
  return list;
}
// Runs that differ in one thing, each with its page, and all of them beside this one.
function near({ suite, digest, near: kinds = [] }) {
  if (!kinds.length) return [];
  const list = element("dl");
  for (const [title, runs] of kinds) {
    const said = element("dd");
    for (const [other, label] of runs) said.append(element("a", label, { href: `run.html#${suite}/${other}` }), " · ");
    const picked = [digest, ...runs.slice(0, 5).map(([other]) => other)].map((each) => `${suite}/${each}`);
    said.append(element("a", "compare", { href: `compare.html#${picked.join(",")}`, "aria-label": `Compare: ${title.toLowerCase()}` }));
    list.append(element("dt", title), said);
  }
  return [element("h2", "Runs nearby"), list];
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
    const curves = run.curves, group = (names) => names.filter(([name]) => curves[name]).map(([name, label]) => [label, curves[name]])
      .map(([label, curve], i) => line(label, curve, i, /train|rate/.test(label) ? "steps" : "evaluations"));
    const figures = [
      ["Loss", group([["train_loss", "training loss"], ["validation_loss", "validation loss"]])],
      ["Metric", group([["validation_metric", METRICS[run.metric]]]), run.target],
      ["Learning rate", group([["learning_rate", "learning rate"]])],
      ["Point", group([["point_0", "first number"], ["point_1", "second number"]])],
    ].filter(([, lines]) => lines.length);
    if (figures.length) shown.append(element("h2", "Curves"));
    const grid = element("div", undefined, { class: "curves" });
    grid.append(...figures.map((each) => curvesOf(...each)));
    const spec = element("details");
    spec.append(element("summary", "Specification, as JSON"), element("pre", JSON.stringify(run.spec, null, 1)));
    shown.append(grid, element("h2", "Settings and outcome"), facts(run.facts), ...near(run), spec);
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
