"""Makes results/published/NAME of a suite's results: a page, two tables and the report's figures.

    gradrace run fashion --output results
    python tests/benchmarks/publish.py fashion [--output results] [--to results/published/fashion]

Times are left out, for they are of one machine and its load. The page has no figure that is not in
the tables; runs.csv has a row for each run, curves.csv its validation metric after each epoch.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import pandas as pd
from gradrace.output.escaping import csv_table
from gradrace.report.names import page_names
from gradrace.report.writer import write
from gradrace.results import frame

CELL = ["task", "framework", "optimizer", "learning_rate"]
RUN = [*CELL, "mode", "seed", "steps", "status", "steps_to_target", "best_validation_metric"]
RUN += ["final_validation_metric", "final_validation_loss", "test_metric", "test_loss"]
DRAWN = ("convergence", "target", "learning-rates")
FIGURE = re.compile(r'<figure class="block[^"]*" id="([^"]+)">.*?(<svg .*?</svg>)', re.DOTALL)


def main() -> None:
    """Writes the folder."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--to", type=Path)
    given = parser.parse_args()
    to = given.to or Path("results/published") / given.suite
    to.mkdir(parents=True, exist_ok=True)
    frames = frame.load(given.output, given.suite)
    runs = frames.runs[frames.runs["measure"] == "convergence"].sort_values([*CELL, "seed"])
    csv_table(runs[[*RUN, "digest"]]).to_csv(to / "runs.csv", index=False, float_format="%.6g")
    _curves(frames, runs).to_csv(to / "curves.csv", index=False, float_format="%.6g")
    html = write(frames, given.output / "html").parent
    figures = _figures(html / page_names(frames.plans)[given.suite], to)
    (to / "README.md").write_text(_page(given.suite, frames, runs, figures), encoding="utf-8")
    print(to)


def _curves(frames: frame.Frames, runs: pd.DataFrame) -> pd.DataFrame:
    """The validation metric of every run after each evaluation."""
    points = frames.curves[frames.curves["series"] == "validation_metric"]
    joined = runs[[*CELL, "seed", "digest"]].merge(points, on="digest")
    return csv_table(joined[[*CELL, "seed", "step", "value"]])


def _figures(page: Path, to: Path) -> list[Path]:
    """The report's drawings of training as files of their own, black on white."""
    found = []
    for name, drawing in FIGURE.findall(page.read_text(encoding="utf-8")):
        if name.endswith(DRAWN):
            file = to / f"{name.partition('-fig-')[2]}.svg"
            opened = '<svg xmlns="http://www.w3.org/2000/svg" '
            opened += 'xmlns:xlink="http://www.w3.org/1999/xlink" '
            alone = drawing.replace("<svg ", opened, 1)
            file.write_text(alone.replace('style="', 'style="background:#fff;', 1) + "\n")
            found.append(file)
    return found


def _page(suite: str, frames: frame.Frames, runs: pd.DataFrame, figures: list[Path]) -> str:
    plan, records = frames.plans[suite], [frames.records[digest] for digest in runs["digest"]]
    versions = sorted({pair for record in records for pair in record.versions.items()})
    # Its name in the network and its kernel say nothing to a reader.
    machine = records[0].machine
    counts = ", ".join(f"{n} {status}" for status, n in runs["status"].value_counts().items())
    seeds, steps = runs["seed"].nunique(), runs["steps"].max()
    lines = [
        f"# {plan.title}",
        "",
        plan.question,
        "",
        f"{len(runs)} runs ({counts}) of {steps} steps under the canonical rules, seeds: {seeds}."
        f" Computed on {runs['started_at'].min()[:10]} on {machine.processor}"
        f" ({machine.logical_cores} cores, {machine.system.split()[0]}), Python {machine.python},"
        " with:",
        "",
        ", ".join(f"{name} {version}" for name, version in versions if name != "python") + ".",
        "",
        "    gradrace fetch fashion_mnist    # nothing to download if it lies in a usual place",
        f"    gradrace run {suite}",
        f"    python tests/benchmarks/publish.py {suite}",
        "",
        "Each optimizer at the learning rate with the best median validation accuracy; accuracies"
        " are medians over the seeds [lowest, highest]; runs that did not end ok, as those that"
        " diverged, count as 0. The test set took no part in any choice."
        " [runs.csv](runs.csv) has every run, [curves.csv](curves.csv) the validation accuracy"
        " after every epoch. No times are given here: they depend on the machine and its load.",
        "",
        *_table(runs),
        "",
        *(f"![{file.stem}]({file.name})" for file in figures),
        "",
    ]
    return "\n".join(lines)


def _table(runs: pd.DataFrame) -> list[str]:
    figures = ["best_validation_metric", "test_metric"]
    counted = runs.assign(**runs[figures].where(runs["status"] == "ok", 0.0))
    medians = counted.groupby(CELL)["best_validation_metric"].median().reset_index()
    best = medians.loc[medians.groupby(CELL[:3])["best_validation_metric"].idxmax()]
    rows = [
        "| Task | Optimizer | Framework | Learning rate | Validation | Test | Reached the target |"
    ]
    rows.append("|---|---|---|---|---|---|---|")
    for _, cell in best.sort_values(["task", "optimizer", "framework"]).iterrows():
        chosen = counted[(counted[CELL] == cell[CELL]).all(axis=1)]
        reached = f"{chosen['steps_to_target'].notna().sum()} of {len(chosen)}"
        rows.append(
            f"| {cell['task']} | {cell['optimizer']} | {cell['framework']} |"
            f" {cell['learning_rate']:g} | {_spread(chosen['best_validation_metric'])} |"
            f" {_spread(chosen['test_metric'])} | {reached} |"
        )
    return rows


def _spread(values: pd.Series) -> str:
    return f"{values.median():.4f} [{values.min():.4f}, {values.max():.4f}]"


if __name__ == "__main__":
    main()
