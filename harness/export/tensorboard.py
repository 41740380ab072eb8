"""Runs as event files of TensorBoard: scalars, and hyperparameters for its HParams page.

TensorBoard's own record writer and messages are used. TensorFlow is not needed, nor loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jsonfile import replacing, writing
from ..output.escaping import for_markdown
from .runs import ToldRun
from .words import Done, file_name, needed

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

FIGURES = "final/"


def write(runs: Iterable[ToldRun], to: Path) -> Done:
    """Writes `to`/<suite>/<name>-<digest>/events.out.tfevents...: one folder a run.

    A run that is there with its time of start is kept; one that was computed anew replaces the
    earlier one. Values are float32, as all of TensorBoard's scalars are."""
    with needed("tensorboard"):
        import tensorboard.summary.writer.record_writer  # noqa: F401
    known, written, kept = _known(to), 0, 0
    for run in runs:
        file = _file(to, run, known)
        if file.exists():
            kept += 1
            continue
        with writing(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(run, file)
            for other in file.parent.glob("events.out.tfevents.*"):
                if other != file:
                    other.unlink()
        written += 1
    return Done(written, kept)


def _known(to: Path) -> dict[str, Path]:
    """Digest -> the run's folder, of the runs that are there."""
    return {folder.name.rpartition("-")[2]: folder for folder in to.glob("*/*") if folder.is_dir()}


def _file(to: Path, run: ToldRun, known: dict[str, Path]) -> Path:
    folder = to / file_name(run.suite) / f"{file_name(run.name)}-{run.digest}"
    return known.get(run.digest, folder) / f"events.out.tfevents.{run.began:.0f}.gradrace"


def _write(run: ToldRun, file: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    # Until it is whole its name has no "tfevents", so that TensorBoard does not read it.
    partial = file.with_name(f"{run.digest}.new")
    with replacing(partial) as unfinished, unfinished.open("wb") as opened:
        writer = RecordWriter(opened)
        for event in _events(run):
            writer.write(event.SerializeToString())
    partial.replace(file)


def _events(run: ToldRun) -> Iterator[Event]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    yield Event(wall_time=run.began, file_version="brain.Event:2")
    for summary in (_session_start(run), _described(run)):
        yield Event(wall_time=run.began, summary=summary)
    at: dict[int, list[Any]] = {}
    for name, (steps, values) in run.curves.items():
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            at.setdefault(step, []).append(Summary.Value(tag=name, simple_value=value))
    for step in sorted(at):
        yield Event(wall_time=run.began, step=step, summary=Summary(value=at[step]))
    figures = [Summary.Value(tag=FIGURES + k, simple_value=v) for k, v in run.figures.items()]
    end = run.began + run.seconds
    yield Event(wall_time=end, step=run.last_step, summary=Summary(value=figures))
    yield Event(wall_time=end, summary=_session_end(run))


def _session_start(run: ToldRun) -> Summary:
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    start = SessionStartInfo(start_time_secs=run.began, group_name=run.digest)
    for name, value in {**run.settings, "status": run.status}.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return _hparams(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def _session_end(run: ToldRun) -> Summary:
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = api_pb2.STATUS_SUCCESS if run.ended_well else api_pb2.STATUS_FAILURE
    end = SessionEndInfo(status=status, end_time_secs=run.began + run.seconds)
    return _hparams(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _hparams(tag: str, content: Any) -> Summary:
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT
    from tensorboard.plugins.hparams.metadata import create_summary_metadata

    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[0.0])
    return _tensor(tag, create_summary_metadata(content), nothing)


def _described(run: ToldRun) -> Summary:
    """A table for the page of texts: digest, suites, how it ended, versions."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    facts = {
        **{"digest": run.digest, "suites": ", ".join(run.suites), "status": run.status},
        **({"reason": run.reason} if run.reason else {}),
        **run.libraries,
    }
    rows = [f"| {for_markdown(name)} | {for_markdown(text)} |" for name, text in facts.items()]
    text = "\n".join(["| | |", "|---|---|", *rows])
    tensor = TensorProto(
        dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[text.encode("utf-8")]
    )
    return _tensor("run", create_summary_metadata("run", ""), tensor)


def _tensor(tag: str, metadata: SummaryMetadata, tensor: Any) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
