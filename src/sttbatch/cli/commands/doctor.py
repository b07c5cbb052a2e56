"""sttbatch doctor: what stands between the user and a transcript, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    send: Annotated[
        bool, typer.Option("--send", help="Send one second of audio, which is paid for.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check settings, key, endpoint, clock, disk, database, codecs and the local engine.

    Exit: 0 all is well, 1 something stands in the way; each finding says what to do.
    """
    import asyncio
    import json
    from dataclasses import asdict

    from sttbatch.cli.console.rendering import printable
    from sttbatch.cli.doctor_checks import examine

    findings = asyncio.run(examine(send=send))
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
