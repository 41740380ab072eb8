"""What an optimizer is: its steps beside those of a NumPy rule, of another implementation, and of
all known rules. Findings of the part "rule"."""

from __future__ import annotations

from .nearest.against import against
from .nearest.answer import nearest
from .nearest.probes import Probes, alike, probes

__all__ = ["Probes", "against", "alike", "nearest", "probes"]
