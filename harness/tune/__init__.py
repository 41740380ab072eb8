"""Search under a budget (`gradrace tune`); read first study.py, then search.py.

prepare.py: from options to a study. space.py: search spaces. samplers.py: who suggests a trial.
study.py: what is asked, and the journal. search.py: runs it. trials.py: how a trial ended.
results.py: the outcome; importance.py and inclusion.py: more of it. text.py: for people.
as_json.py: for programs."""

from __future__ import annotations

from ..doors import open_door

# `gradrace.tune(...)` is gradrace.api.tuning.tune.
open_door(__name__)
