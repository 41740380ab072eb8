"""`gradrace certify`: is this optimizer what it says?"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from ..errors import ExitCode, UserError
from ..output.terminal import say, teller
from . import completion, documents, options
from .numbers import BUDGET_S

_WHAT = (
    "An import path (torch:package.Class, keras:package.Class, optax:package.function,"
    " torch:./mine.py:Mine), or a known optimizer's name: then each library's class of it."
)
_LIKE = "Another implementation that it shall equal: an import path, or a known name's NumPy rule."
_RULE = "The known rule that it claims to be; the nearest one is looked for in any case."
_HYPER = "An argument of the class, such as betas=[0.9, 0.95]; may be repeated."
_FRAMEWORK = "Of a known name, only these frameworks' classes; may be repeated."
_HTML = "Also write the page with everything to this file."
_TIMEOUT = "Seconds for each implementation; checks that do not fit are not done."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace certify` takes."""

    optimizer: Annotated[str, Argument(help=_WHAT, autocompletion=completion.named("optimizers"))]
    like: Annotated[str, Option("", "--like", metavar="OPTIMIZER", help=_LIKE)]
    rule: Annotated[str, Option("", "--rule", metavar="NAME", help=_RULE)]
    hyper: Annotated[tuple[str, ...], Option((), "--hyper", metavar="NAME=VALUE", help=_HYPER)]
    frameworks: Annotated[tuple[str, ...], Option((), "--framework", help=_FRAMEWORK)]
    timeout: Annotated[float, Option(60.0, "--timeout", parser=BUDGET_S, help=_TIMEOUT)]
    load: options.Load
    python: options.Pythons
    html: Annotated[Path | None, Option(None, "--html", metavar="FILE", help=_HTML)]
    output: options.Output
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Say what an implementation of an optimizer computes, how it behaves, and if it trains.

    It is compared with the known rules in float64, step by step; then it gets gradients that are
    zero, tiny, huge, absent or no numbers, is saved and loaded, shared, sped up; then it trains.
    One line a check: passed, FAILED or not applicable. OUTPUT/certify/NAME has the certificate, and
    for each failure a script that shows it without gradrace; OUTPUT/html/certify.html is the page.
    Exit code 1 if a check failed, 3 if nothing could be checked."""
    from ..certify import file as certificate_file
    from ..certify.driver import CertifyOptions, certify
    from ..certify.text import show
    from ..registry import load_registry
    from ..report.certificate import page
    from .sweeping import interpreters

    wanted = CertifyOptions(
        like=args.like,
        rule=args.rule,
        hyper=hypers(args.hyper),
        frameworks=args.frameworks,
        timeout_s=args.timeout,
        interpreters=interpreters(args.python),
        command=("gradrace", *sys.argv[1:]),
    )
    found = certify(load_registry(args.load), args.optimizer, wanted, teller(args.quiet))
    certificate_file.write(args.output, found)
    text = page(found)
    if args.html:
        from ..jsonfile import write_text, writing

        with writing(args.html):
            write_text(args.html, text)
    if args.as_json:
        say(certificate_file.text(found), nl=False)
    else:
        show(found, args.output)
    documents.leave_html(args.output, "certify.html", text, args.quiet)
    if any(each.result == "failed" for each in found.certificates):
        raise typer.Exit(ExitCode.RUNS_FAILED)


def hypers(texts: Sequence[str]) -> Mapping[str, Any]:
    """Name -> value, from texts NAME=VALUE; a value is read as TOML, any other text is itself.

    UserError for another form."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise UserError(f"--hyper {text}: expected NAME=VALUE, such as betas=[0.9, 0.95]")
        if name in found:
            raise UserError(f"--hyper {name}: it was given twice")
        found[name] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        # As Python writes them.
        return {"True": True, "False": False}.get(text, text)
