"""sttbatch doctor: check the installation."""

from __future__ import annotations

from typing import Annotated

import typer

from sttbatch.cli.console.text import printable
from sttbatch.cli.options import AsJson


def doctor(
    send: Annotated[
        bool, typer.Option("--send", help="Send one second of audio, which is billed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, key, endpoint, clock, disk, database, codecs and the local engine.

    Exit codes: 0 all checks pass, 1 one failed; each failure says what to do.
    """
    import asyncio
    import json
    from dataclasses import asdict

    from sttbatch.cli.doctor_checks import run_checks

    findings = asyncio.run(run_checks(send=send))
    healthy = all(finding.ok for finding in findings)
    if as_json:
        facts = {"ok": healthy, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "FAIL"
            typer.echo(f"{mark}  {finding.name}: {printable(finding.text)}")
            if finding.advice:
                typer.echo(f"      {printable(finding.advice)}")
    raise typer.Exit(0 if healthy else 1)
