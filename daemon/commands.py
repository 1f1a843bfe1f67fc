"""The commands of `lictor`. What one of them alone needs is imported when it runs."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from lictor.config.load import Loaded, Misconfigured, load
from lictor.daemon.exits import CannotStart, Exit

_SERVE_EXAMPLES = """\b
Examples:
  lictor serve
  lictor serve --host 0.0.0.0 --port 4300
  lictor serve --home /var/lib/lictor --log-level debug
  LICTOR_API_AUTH_STRING=me:secret lictor serve
"""
_CHECK_EXAMPLES = """\b
Examples:
  lictor check
  lictor check --config lictor.toml && systemctl restart lictor
"""
_WHY_EXAMPLES = """\b
Examples:
  lictor why 0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10
  lictor why --url http://server:4200/api 0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10
  lictor why --json 0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10 | jq .until
"""
_PREVIEW_EXAMPLES = """\b
Examples:
  lictor schedule preview "0 9 * * MON-FRI" --timezone Europe/Berlin
  lictor schedule preview PT36H --count 5
  lictor schedule preview "FREQ=MONTHLY;BYDAY=-1FR" --timezone America/New_York
  lictor schedule preview my-flow/my-deployment
  lictor schedule preview 0190b0a2-7a4c-7cc0-8d1d-8f6f2a1e7f10 --timezone Asia/Tokyo --count 3
  lictor schedule preview my-flow/my-deployment --url http://server:4200/api
"""
_AGENDA_EXAMPLES = """\b
Examples:
  lictor agenda
  lictor agenda --hours 2 --timezone Europe/Berlin
  lictor agenda --deployment my-flow/my-deployment --url http://server:4200/api
  lictor agenda --json | jq -r 'select(.overdue_s > 60) | .run_id'
"""
Command = Callable[..., Any]


def _with_setting_flags(command: Command) -> Command:
    """The flags by which `serve` and `check` take settings."""
    flags = (
        click.option("--host", metavar="ADDRESS", help="Address to listen on (127.0.0.1)."),
        click.option("--port", metavar="PORT", help="Port to listen on (4200); 0: any free one."),
        click.option("--home", metavar="DIRECTORY", help="Where the data is kept (~/.lictor)."),
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="TOML file of settings (lictor.toml in the home, else /etc/lictor/lictor.toml).",
        ),
        click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error (info)."),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings: `lictor settings`. Exit codes: docs/operations.md.",
)
def cli() -> None:
    """A small, fast, durable server for Prefect clients."""


@cli.command(epilog=_SERVE_EXAMPLES)
@_with_setting_flags
def serve(config: Path | None, **flags: str | None) -> None:
    """Serve the API until SIGTERM or Ctrl-C."""
    gc.disable()  # until everything is there: imports make no garbage, only work for the collector
    loaded = _load(config, flags)
    from lictor.daemon import process

    try:
        code = process.serve(loaded, os.environ)
    except CannotStart as refusal:
        _complain([str(refusal)])
        code = refusal.code
    sys.exit(code)


@cli.command(epilog=_CHECK_EXAMPLES)
@_with_setting_flags
def check(config: Path | None, **flags: str | None) -> None:
    """Print every setting in effect and where it is from; fail when they cannot be used."""
    loaded = _load(config, flags)
    from lictor.daemon import home, listen, report

    report.print_settings(loaded)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    try:
        home.refuse_prefect(loaded.settings.home)
        listen.check_tls(loaded.settings)
    except CannotStart as refusal:
        _complain([str(refusal)])
        sys.exit(refusal.code)


@cli.command()
def settings() -> None:
    """Print what each setting means, its default, range and variables."""
    from lictor.config.document import markdown

    click.echo(markdown())


@cli.command(epilog=_WHY_EXAMPLES)
@click.argument("run_id", type=click.UUID)
@click.option(
    "--url", metavar="URL", help="The API's address (PREFECT_API_URL, else this machine's 4200)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def why(run_id: UUID, url: str | None, as_json: bool) -> None:
    """Say why a flow run is not running; asks the running server."""
    from lictor.daemon.api_client import NoAnswer
    from lictor.daemon.why import ask

    try:
        answer = ask(run_id, url, os.environ)
    except NoAnswer as refusal:
        _complain([str(refusal)])
        sys.exit(Exit.NO_ANSWER)
    click.echo(json.dumps(answer, indent=2) if as_json else answer["sentence"])


@cli.group()
def schedule() -> None:
    """Look at schedules."""


@schedule.command(epilog=_PREVIEW_EXAMPLES)
@click.argument("expression", metavar="EXPRESSION|DEPLOYMENT")
@click.option(
    "--timezone",
    metavar="ZONE",
    help="IANA name of the expression's zone (UTC), or of the zone to show a deployment's dates in"
    " (that of each schedule).",
)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=10, help="How many dates of a schedule (10)."
)
@click.option("--url", metavar="URL", help="The API's address (PREFECT_API_URL).")
def preview(expression: str, timezone: str | None, count: int, url: str | None) -> None:
    """Print the next dates of a schedule, and the clock changes between them.

    EXPRESSION is a cron expression, an ISO 8601 duration or a recurrence rule. DEPLOYMENT is the id
    or the flow/deployment name of one that the running server has: all its schedules are shown.
    """
    from lictor.daemon import deployment_preview
    from lictor.daemon.api_client import ApiClient, NoAnswer
    from lictor.daemon.schedule import NoSchedule
    from lictor.daemon.schedule import preview as lines

    _require_zone(timezone)
    now, said = datetime.now(UTC), []
    try:
        for line in lines(expression, timezone, count, now):
            click.echo(line)
        return
    except NoSchedule as refusal:
        if not deployment_preview.is_name(expression):
            _complain([str(refusal)])
            sys.exit(Exit.CONFIGURATION)
        if " " in expression:  # perhaps a cron expression that is wrong, after all
            said.append(f"{expression} is no schedule: {refusal}")
    try:
        client = ApiClient(url, os.environ)
        for line in deployment_preview.preview(client, expression, timezone, count, now):
            click.echo(line)
    except NoAnswer as refusal:
        _complain([*said, str(refusal)])
        sys.exit(Exit.NO_ANSWER)


@cli.command(epilog=_AGENDA_EXAMPLES)
@click.option("--hours", type=click.FloatRange(0, 8760), default=24.0, help="How far (24).")
@click.option("--deployment", metavar="DEPLOYMENT", help="Only this one: its id or flow/name.")
@click.option("--timezone", metavar="ZONE", help="IANA name of the zone to show times in (local).")
@click.option("--url", metavar="URL", help="The API's address (PREFECT_API_URL).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object on each line.")
def agenda(
    hours: float, deployment: str | None, timezone: str | None, url: str | None, as_json: bool
) -> None:
    """Print what is due in the next hours, overdue runs first; asks the running server.

    `planned` are dates of schedules that no run has been made for yet: the server makes runs an
    hour or a few dates ahead.
    """
    from lictor.daemon import agenda as page
    from lictor.daemon.api_client import ApiClient, NoAnswer

    _require_zone(timezone)
    try:
        lookup = page.Agenda(ApiClient(url, os.environ), datetime.now(UTC), hours)
        for entry in lookup.entries(deployment):
            click.echo(page.as_json(entry) if as_json else page.as_line(entry, timezone))
    except NoAnswer as refusal:
        _complain([str(refusal)])
        sys.exit(Exit.NO_ANSWER)


@cli.command()
def version() -> None:
    """Print the version."""
    from lictor.daemon.version import version as installed

    click.echo(f"lictor {installed()}")


def _require_zone(name: str | None) -> None:
    from lictor.schema.rules.schedules import zones

    try:
        zones.zone(name)
    except ValueError as error:
        _complain([str(error)])
        sys.exit(Exit.CONFIGURATION)


def _load(config: Path | None, flags: dict[str, str | None]) -> Loaded:
    given = {name: text for name, text in flags.items() if text is not None}
    try:
        return load(given, os.environ, config=config)
    except Misconfigured as error:
        _complain(error.problems)
        sys.exit(Exit.CONFIGURATION)


def _complain(problems: Sequence[str]) -> None:
    for problem in problems:
        click.echo(f"lictor: {problem}", err=True)
