"""The steps of run.sh, one after another, and the file of what they found.

A step that fails, or takes longer than its limit, stops none of the next. Each figure stands beside
the command that gave it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEVICE = os.environ.get("DEVICE", "gpu")
TINY = ["--scale", "tiny"] if DEVICE == "cpu" else []
FRAMEWORKS = [name for name in ("jax", "torch") if find_spec(name)]
# Without a card it is the commands that are tried, however slow the machine is.
PATIENCE = 8 if DEVICE == "cpu" else 1
# Of the whole command for 1,024 configurations, from its start to the last record.
AIMS_S = {"jax": 10.0, "torch": 15.0}
WHOLE_S = 480.0 * PATIENCE
GRADRACE = ["-m", "gradrace"]

Figures = dict[str, Any]


class Wrong(Exception):
    """A step ended well, but did not find what it should have."""


@dataclass(frozen=True)
class Step:
    """A program of Python with its arguments, for so many seconds. read: what it found, after exit
    code 0; Wrong if that is not as it should be."""

    name: str
    limit_s: float
    arguments: list[str]
    read: Callable[[Path], Figures]


def steps(folder: Path) -> list[Step]:
    """In the order of their weight: the last ones are left out if the time is over."""
    doctor = [*GRADRACE, "doctor", "--json", "--output", f"{folder}/doctor"]
    found = [Step("doctor", 60, doctor, _doctor)]
    for name in FRAMEWORKS:
        found.append(_configurations(folder, name))
    found.append(_verify(folder, "verify", 100, ["--quick"]))
    populations = ["-k", "populations momentum !rmsprop !native"]
    found.append(_verify(folder, "verify-populations", 60, populations))
    found += [_overhead(folder), _modes(folder)]
    found += [_graphs(folder)] if "torch" in FRAMEWORKS else []
    for name in FRAMEWORKS:
        found += [_memory(folder, name), *_bits(folder, name)]
    return found


def _run(suite: str, output: Path, *more: str) -> list[str]:
    common = ["--device", DEVICE, "--no-report", "--quiet", "--output", str(output)]
    return [*GRADRACE, "run", str(HERE / f"{suite}.toml"), *common, *more]


def _configurations(folder: Path, framework: str) -> Step:
    output, lanes = folder / f"configurations-{framework}", "8" if TINY else "1024"
    more = ["--framework", framework, "--population", lanes, *TINY]

    def read(_: Path) -> Figures:
        runs = _runs(output, "configurations")
        joules = runs["joules"].sum(min_count=1)
        energy = [record.energy for record in _load(output).records.values() if record.energy]
        told = {"lanes": int(lanes), "runs": len(runs), "aim on an H100, s": AIMS_S[framework]}
        told["energy"] = sorted({each.source or each.reason for each in energy})
        return {**told, "joules": None if joules != joules else float(joules)}

    return Step(output.name, 60, _run("configurations", output, *more), read)


def _verify(folder: Path, name: str, limit_s: float, more: list[str]) -> Step:
    asked = [word for framework in FRAMEWORKS for word in ("--framework", framework)]
    options = ["--device", DEVICE, "--quiet", "--output", str(folder / name)]

    def read(_: Path) -> Figures:
        from gradrace.verify import file

        kept = file.read(folder / name)
        assert kept is not None, "exit code 0 means that verdicts were kept"
        worst: dict[str, float] = {}
        for verdict in kept.verdicts:
            if verdict.verdict == "equal":
                worst[verdict.level] = max(worst.get(verdict.level, 0.0), verdict.worst or 0.0)
        return {**kept.counts(), "worst of equal": worst}

    return Step(name, limit_s, [*GRADRACE, "verify", *options, *asked, *more], read)


def _memory(folder: Path, framework: str) -> Step:
    """More lanes than any card holds: they are halved until they fit, and all runs end ok."""
    output, lanes = folder / f"memory-{framework}", "4" if TINY else "8192"
    more = ["--framework", framework, "--population", lanes, *TINY]

    def read(_: Path) -> Figures:
        frames = _load(output)
        _runs(output, "memory")
        records = list(frames.records.values())
        used = sorted({record.lanes for record in records})
        if not TINY and max(used) >= int(lanes):
            raise Wrong(f"{lanes} lanes fitted: the step shows nothing")
        return {"lanes asked": int(lanes), "lanes used": used, "note": records[0].note}

    return Step(output.name, 60, _run("memory", output, *more), read)


def _bits(folder: Path, framework: str) -> list[Step]:
    """Five runs in a program, then one of them alone in a program of as many lanes."""
    whole, one = (folder / f"{name}-{framework}" for name in ("lanes", "lanes-alone"))
    more = ["--framework", framework, "--population", "8"]

    def read(_: Path) -> Figures:
        several, single = _load(whole), _load(one)
        _runs(one, "lanes")
        curves = several.curves[several.curves["digest"].isin(single.records)]
        if not _as_bits(curves).equals(_as_bits(single.curves)):
            raise Wrong("a run has other bits if others share its program")
        return {"runs": len(single.records), "points of equal bits": len(curves)}

    return [
        Step(whole.name, 40, _run("lanes", whole, *more), lambda _: {}),
        Step(one.name, 40, _run("lanes", one, *more, "-k", "seed3"), read),
    ]


def _as_bits(curves: Any) -> Any:
    """Points in order, values as their bits."""
    ordered = curves.sort_values(["digest", "series", "step"]).reset_index(drop=True)
    return ordered.assign(value=ordered["value"].to_numpy().view("int64")).astype({"digest": "str"})


def _graphs(folder: Path) -> Step:
    """Captured steps of PyTorch beside eager ones, in float64."""
    output = folder / "graphs"

    def read(_: Path) -> Figures:
        return graph_differences(_load(output))

    more = ["--population", "off", *TINY]
    return Step("graphs", 60, _run("graphs", output, *more), read)


def graph_differences(frames: Any) -> Figures:
    """The worst relative difference of losses from mode eager-fused. Wrong if that is more than
    rounding, or on a GPU if little could be captured."""
    runs = frames.runs.set_index("digest")
    setting = ["task", "optimizer", "schedule", "variation", "seed"]
    keys = runs[setting].astype(str).agg(" ".join, axis=1)
    captured = runs[(runs["mode"] == "cudagraph") & (runs["status"] == "ok")].index
    eager = {keys[digest]: digest for digest in runs.index[runs["mode"] == "eager-fused"]}
    curves = frames.curves.set_index(["digest", "series", "step"])["value"]
    worst, of = 0.0, ""
    for digest in captured:
        one, other = curves[digest], curves[eager[keys[digest]]]
        difference = float(((one - other).abs() / other.abs().clip(lower=1e-300)).max())
        worst, of = max((worst, of), (difference, keys[digest]))
    if worst > 1e-10:
        raise Wrong(f"{of}: a captured step differs by {worst:.1e}")
    skipped = runs[(runs["mode"] == "cudagraph") & (runs["status"] != "ok")]
    if DEVICE == "gpu" and len(captured) < len(skipped):
        raise Wrong(f"{len(skipped)} runs not captured: {skipped['reason'].iloc[0]}")
    reasons = skipped.groupby("reason")["optimizer"].unique().map(sorted).to_dict()
    return {"captured": len(captured), "worst": worst, "of": of, "skipped": reasons}


def _modes(folder: Path) -> Step:
    output = folder / "modes"
    asked = [word for framework in FRAMEWORKS for word in ("--framework", framework)]
    common = ["--device", DEVICE, "--no-report", "--quiet", "--output", str(output)]

    def read(_: Path) -> Figures:
        runs = _load(output).runs
        lost = runs[runs["status"] != "ok"]
        ended = runs[runs["status"] == "ok"].groupby(["framework", "mode"])["step_p25_s"].median()
        skipped = {f"{r['framework']} {r['mode']}": r["reason"] for r in lost.to_dict("records")}
        return {
            "step p25, us": {" ".join(key): 1e6 * value for key, value in ended.items()},
            "skipped": skipped,
        }

    launches = ["--launches", "1", "--blocks", "4"] if TINY else []
    suite = str(HERE / "modes.toml")
    return Step("modes", 70, [*GRADRACE, "time", suite, *common, *asked, *launches], read)


def _overhead(folder: Path) -> Step:
    """The sessions' modes that matter on a GPU, each beside its loop by hand."""
    program = str(HERE.parent / "benchmarks" / "overhead.py")
    known = {"torch": ["torch-fused", "torch-cudagraph"], "jax": ["jax-jit", "jax-scan"]}
    from_file = Path(program).read_text(encoding="utf-8")
    cases = [each for name in FRAMEWORKS for each in known[name] if f'"{each}"' in from_file]
    more = ["--launches", "1", "--pairs", "2"] if TINY else ["--launches", "3", "--pairs", "30"]
    found = folder / "overhead.json"
    options = ["--device", DEVICE, "--json", str(found), *more]

    def read(_: Path) -> Figures:
        return {"overhead": json.loads(found.read_text())}

    return Step("overhead", 100, [program, *options, *cases], read)


def _doctor(log: Path) -> Figures:
    text = log.read_text()
    told = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    names = ("cards", "sharing", "energy", "machine", "problems")
    versions = {each["name"]: each["versions"] for each in told["frameworks"] if each["installed"]}
    about = {each["name"]: each["accelerator"] for each in told["frameworks"]}
    seen = [each["name"] for each in told["frameworks"] if "gpu" in each["devices"]]
    if DEVICE == "gpu" and not seen:
        raise Wrong("no framework sees a GPU")
    return {"versions": versions, "accelerators": about, **{name: told[name] for name in names}}


def _load(output: Path) -> Any:
    import gradrace

    return gradrace.load(output)


def _runs(output: Path, suite: str) -> Any:
    """All runs of a suite. Wrong unless they ended ok in lanes, or diverged there."""
    frames = _load(output)
    runs = frames.runs[frames.runs["suite"] == suite]
    if not runs["status"].isin(("ok", "diverged")).all():
        lost = runs[~runs["status"].isin(("ok", "diverged"))].iloc[0]
        raise Wrong(f"{lost['id']}: {lost['status']}, {lost['reason']}")
    by_itself = [r for r in frames.records.values() if r.spec.mode != "population" or r.lanes < 2]
    if by_itself:
        raise Wrong(f"{by_itself[0].spec.id}: trained by itself. {by_itself[0].note}")
    return runs


def take(step: Step, folder: Path, limit_s: float) -> dict[str, Any]:
    """Runs a step, and says how it went."""
    # What an earlier call finished would be taken from there.
    shutil.rmtree(folder / step.name, ignore_errors=True)
    log, began = folder / f"{step.name}.log", time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *step.arguments],
            **{"stdout": out, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
    told: dict[str, Any] = {"command": "python " + " ".join(step.arguments), "exit code": code}
    told["seconds"] = round(time.monotonic() - began, 2)
    return {**told, **_judged(step, log, code, limit_s)}


def _judged(step: Step, log: Path, code: int | None, limit_s: float) -> dict[str, Any]:
    if code is None:
        return {"passed": False, "why": f"ended after {limit_s:.0f} s"}
    if code != 0:
        return {"passed": False, "why": log.read_text(errors="replace")[-1500:]}
    try:
        return {"passed": True, "figures": step.read(log)}
    except Exception as error:
        return {"passed": False, "why": f"{type(error).__name__}: {error}"}


def main() -> int:
    """All steps, as far as the time reaches; 1 if one failed or was left out."""
    folder, began = Path(sys.argv[1]), time.monotonic()
    told: dict[str, Any] = {"device": DEVICE, "frameworks": FRAMEWORKS, "steps": {}}
    for step in steps(folder):
        left_s = WHOLE_S - (time.monotonic() - began)
        if left_s < 5:
            found: dict[str, Any] = {"passed": False, "why": f"{WHOLE_S:.0f} s were over"}
        else:
            found = take(step, folder, min(step.limit_s * PATIENCE, left_s))
        told["steps"][step.name] = found
        told["seconds"] = round(time.monotonic() - began, 1)
        # As it stands: whoever stops the script has what was found so far.
        (folder / "device.json").write_text(json.dumps(told, indent=1) + "\n")
        outcome = "passed" if found["passed"] else f"FAILED: {found['why'].strip()[-300:]}"
        print(f"{step.name}: {outcome} ({found.get('seconds', 0)} s)", flush=True)
    failed = [name for name, step in told["steps"].items() if not step["passed"]]
    print(f"{len(told['steps']) - len(failed)} of {len(told['steps'])} steps passed", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
