"""`gateway audit`: is the audit log whole?"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from gateway.json_output import JSON, print_json
from gateway.plurals import counted

if TYPE_CHECKING:
    from gateway.monitor.audit_chain import Link, Sealer

SHOWN = 50  # findings

_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Audit logs."""


def _anchors(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> dict[int, str]:
    matches = [_ANCHOR.fullmatch(text) for text in texts]
    if not all(matches):
        raise click.BadParameter("expected NUMBER:HASH, as the gateway's own log shows it")
    return {int(match[1]): match[2] for match in matches if match is not None}


@audit.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--key-file", "keys", multiple=True, type=_FILE, help="File with the key of the log, if it has one.")
@click.option("--head", type=_FILE, help="The file with the end of the log. Unset: the one beside the log.")
@click.option("--no-head", is_flag=True, help="Verify without it: a log that was cut off at its end is not detected.")
@click.option(
    "--from", "first", default=1, show_default=True, type=click.IntRange(1), help="The first record of the given files."
)
@click.option(
    "--expect", multiple=True, callback=_anchors, metavar="NUMBER:HASH", help="A record known from elsewhere."
)
@JSON
def verify(
    files: Sequence[Path],
    keys: Sequence[Path],
    head: Path | None,
    no_head: bool,
    first: int,
    expect: dict[int, str],
    as_json: bool,
) -> None:
    """Verify that the lines of an audit log are those that the gateway wrote, all of them, in their order.

    FILES are all files of one log, in any order. Exit code 1 where something is wrong.
    """
    from gateway.config.regular_files import read_secret  # noqa: PLC0415  the other commands start faster without these
    from gateway.monitor.audit_chain import Sealer  # noqa: PLC0415
    from gateway.monitor.audit_verify import Verification  # noqa: PLC0415

    try:
        sealers = [Sealer(read_secret(path).encode()) for path in keys] or [Sealer()]
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the key cannot be read: {error}") from None
    end = None if no_head else _head(files, head, sealers)  # before the log, which may just be written
    verification = Verification(sealers, end, expect, first)
    errors = 0
    shown: list[dict[str, str]] = []
    for finding in verification.run(files):
        errors += finding.severity == "error"
        if len(shown) < SHOWN:
            shown.append({"severity": finding.severity, "finding": str(finding)})
            if not as_json:
                click.echo(f"{finding.severity}: {finding}", err=True)
    if as_json:
        records, last = verification.records, str(verification.end)
        answer = {"ok": not errors, "records": records, "last": last, "errors": errors, "findings": shown}
        print_json(answer)
        sys.exit(1 if errors else 0)
    _conclude(errors, verification.records, str(verification.end), keyed=bool(keys))


def _head(files: Sequence[Path], head: Path | None, sealers: Sequence[Sealer]) -> Link:
    """The contents of the head. Ends the command if there is no usable one."""
    from gateway.monitor.audit_verify import heads_of, read_head  # noqa: PLC0415

    heads = [head] if head is not None else heads_of(files)
    if len(heads) != 1:
        many = "several heads are" if heads else "no head is"
        _fail(f"{many} beside these files; name it with --head, or accept with --no-head that a cut end is not seen")
    link = read_head(heads[0], sealers)
    if link is None:
        _fail(f"{heads[0]}: the head is damaged or was changed, or it was made with another key (--key-file)")
    return link


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)


def _conclude(errors: int, records: int, end: str, *, keyed: bool) -> None:
    if errors:
        hint = "" if keyed else " (a log with a key is verified with --key-file)"
        click.echo(f"{counted(errors, 'error')} in {counted(records, 'record')}{hint}", err=True)
        sys.exit(1)
    click.echo(f"ok: {counted(records, 'record')}, the last is {end}")
