"""The battery: checks that need no other implementation.

Every file of `checks/` is found by being there; an `inquiry` declares a check. `bench` has the
tensors and the courses that many checks look at, `measure` compares courses, `said` is a verdict,
`runner` does the checks.
"""

from .runner import battery, checks

__all__ = ["battery", "checks"]
