"""Options: their help texts and panels in `--help`.

Those without a panel are the most used ones; typer prints them before all panels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

INPUT = "Input"
OUTPUT = "Output"
RECOGNITION = "Recognition"
ENGINE = "Engine"
SPEED = "Chunking and speed"
LIMITS = "Cost and limits"
LOGGING = "Logging"
LANGUAGE = "Summaries and translations"
EXPORT = "Export"


def option(
    text: str,
    *names: str,
    default: str | None = None,
    metavar: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    panel: str | None = None,
) -> Any:
    """An option of typer; `default` is the text of a default that a setting decides."""
    if default is not None:
        # typer would put a default that is given as text into parentheses.
        text += rf" [dim]\[default: {default}][/dim]"
    return typer.Option(
        *names, help=text, metavar=metavar, min=minimum, max=maximum, rich_help_panel=panel
    )


AsJson = Annotated[bool, option("Print JSON, for programs.", "--json")]

# fmt: off
OutputDir = Annotated[str | None, option(
    "Folder, or s3://bucket/prefix, for the outputs, which mirrors the input tree; - prints the "
    "text.",
    "--output-dir", "-o", metavar="DIR", default="beside each recording")]
Formats = Annotated[str | None, option(
    "Output formats, separated by commas: txt, srt, vtt, tsv, json, md, html, docx, rttm.",
    "--format", "-f", metavar="LIST", default="txt,json")]
Language = Annotated[str | None, option(
    "Spoken language as an ISO-639-1 code, such as en.",
    "--language", "-l", metavar="CODE", default="detected")]
Prompt = Annotated[str | None, option(
    "Vocabulary and style, sent with every chunk.", metavar="TEXT")]
Terms = Annotated[str | None, option(
    "File of terms, one per line, the most used first: added to the prompt as far as Whisper reads "
    "it. With a changed prompt, everything is sent again.",
    "--glossary", metavar="FILE", panel=RECOGNITION)]
Words = Annotated[bool | None, option("Include word timestamps in the json output.", "--words")]
Engine = Annotated[str | None, option(
    "Recognition engine: cloudru, or local, which works offline.",
    metavar="NAME", default="cloudru")]
Device = Annotated[str | None, option(
    "What the local engine runs on: auto, cpu, or cuda, an NVIDIA GPU, which is not tested yet.",
    metavar="auto|cpu|cuda", default="auto", panel=ENGINE)]
Concurrency = Annotated[str | None, option(
    "Number of parallel requests, 1 to 10, or auto.",
    "--concurrency", "-j", metavar="N|auto", default="4")]
DryRun = Annotated[bool, option("Show what would be sent and what it would cost.", "--dry-run")]
MaxCost = Annotated[float | None, option(
    "Send nothing beyond a cost of N RUB, then exit with code 4.", metavar="N", minimum=0)]
EmbeddingModel = Annotated[str | None, option(
    "Model of the endpoint that is sent the text of transcripts, to search by meaning.",
    metavar="NAME", default="one that works offline")]
Quiet = Annotated[bool, option("Print nothing unless something fails.", "--quiet", "-q")]

FilesFrom = Annotated[str | None, option(
    "Read more paths from a file, one per line or separated by NUL; - is standard input.",
    metavar="FILE|-", panel=INPUT)]
AudioStream = Annotated[int | None, option(
    "Index of the audio stream to use in each container.", metavar="N", minimum=0,
    default="the one with speech", panel=INPUT)]
MinAge = Annotated[str, option(
    "Skip files modified less than S seconds ago.", metavar="S", panel=INPUT)]
NoWait = Annotated[bool, option(
    "Skip recordings claimed by another run, and exit 0.", "--no-wait", panel=INPUT)]

MaxLineWidth = Annotated[int | None, option(
    "Maximum characters of a subtitle line.", metavar="N", default="42", panel=OUTPUT)]
MaxLines = Annotated[int | None, option(
    "Maximum lines of a subtitle.", metavar="N", default="2", panel=OUTPUT)]
Timestamps = Annotated[bool | None, option(
    "Begin each paragraph of the txt output with its time, as [00:12:04]; md and docx always do.",
    "--timestamps", panel=OUTPUT)]
EmbedAudio = Annotated[bool | None, option(
    "Put the recording, up to 384 MiB, into the html page, in place of a link to it.",
    "--embed-audio", panel=OUTPUT)]
Replace = Annotated[str | None, option(
    "File of lines `wrong => right`: words that are replaced when outputs are written, which sends "
    "nothing.", "--replace", metavar="FILE", panel=OUTPUT)]
Overwrite = Annotated[bool, option(
    "Replace outputs that were edited.", "--overwrite", panel=OUTPUT)]

Temperature = Annotated[float | None, option(
    "Sampling temperature, 0 to 1.", metavar="X", default="the endpoint's", panel=RECOGNITION)]
TaskName = Annotated[str, option(
    "transcribe, or translate: to English by the local engine, written to talk.en.txt.",
    "--task", metavar="NAME", panel=RECOGNITION)]
Channels = Annotated[str | None, option(
    "Mix the channels, or split them: each is one speaker, billed on its own.",
    metavar="mix|split", default="mix", panel=RECOGNITION)]
Audit = Annotated[bool | None, option(
    "Retry audio that came back without text.",
    "--audit/--no-audit", default="on", panel=RECOGNITION)]
Vad = Annotated[str | None, option(
    "Send only what a speech detector finds, or everything but silence.",
    metavar="auto|off", default="auto", panel=RECOGNITION)]
Hallucinations = Annotated[str | None, option(
    "Drop, mark or keep text that nobody spoke.",
    metavar="drop|mark|keep", default="drop", panel=RECOGNITION)]

Model = Annotated[str | None, option(
    "Model to use; for the local engine also a folder.",
    metavar="NAME", default="openai/whisper-large-v3, locally tiny.en", panel=ENGINE)]
BaseUrl = Annotated[str | None, option(
    "Address of an OpenAI-compatible endpoint.", metavar="URL", default="Cloud.ru's", panel=ENGINE)]

ChunkDuration = Annotated[float | None, option(
    "Target duration of a chunk in seconds, at least 10.", metavar="S", default="300", panel=SPEED)]
MaxChunkMb = Annotated[float | None, option(
    "Maximum size of an upload in MiB.", metavar="N", default="24", panel=SPEED)]
UploadCodec = Annotated[str | None, option(
    "Codec of uploads: auto, copy, flac, opus or wav.",
    metavar="NAME", default="auto", panel=SPEED)]
Priority = Annotated[str, option(
    "Priority in the queue: high, medium or low.", metavar="NAME", panel=SPEED)]

RateLimit = Annotated[int | None, option(
    "Maximum requests per minute, of all runs together.", metavar="N", default="600", panel=LIMITS)]
Retries = Annotated[int | None, option(
    "Maximum retries per chunk.", metavar="N", default="3", panel=LIMITS)]
OutageWait = Annotated[str | None, option(
    "How long to wait for the endpoint to recover.", metavar="D", default="10m", panel=LIMITS)]
Force = Annotated[bool, option(
    "Send recordings again even if they are cached.", "--force", panel=LIMITS)]
FailFast = Annotated[bool, option(
    "Start nothing new after the first failure.", "--fail-fast", panel=LIMITS)]

Verbose = Annotated[bool, option(
    "Log every event on standard error.", "--verbose", "-v", panel=LOGGING)]
LogFormat = Annotated[str, option(
    "Format of the log; json implies --verbose.", metavar="text|json", panel=LOGGING)]
LogFile = Annotated[Path | None, option(
    "Append the log to a file instead of standard error.", metavar="FILE", panel=LOGGING)]
MetricsPort = Annotated[int | None, option(
    "Serve metrics for Prometheus on this port of all interfaces, such as 9150, without TLS or "
    "password; 0 takes a free one. They name machines, but no recordings.",
    metavar="PORT", minimum=0, maximum=65_535, panel=EXPORT)]
RemoteWrite = Annotated[str | None, option(
    "Send these metrics every 15 s by Prometheus's remote write, where nothing can scrape, such as "
    "to http://host:9090/api/v1/write.", metavar="URL", panel=EXPORT)]
NoProgress = Annotated[bool, option(
    "Print plain lines instead of progress bars.", "--no-progress", panel=LOGGING)]

Style = Annotated[str, option(
    "brief: what matters most; minutes: each subject and what came of it; actions: what was agreed "
    "on and what is to be done.", metavar="brief|minutes|actions",
    panel=LANGUAGE)]
PromptFile = Annotated[Path | None, option(
    "File with instructions for the model, in place of sttbatch's own; the form of the answer and "
    "all checks stay.", metavar="FILE", panel=LANGUAGE)]
Glossary = Annotated[Path | None, option(
    "File of terms, one per line: term = translation.", metavar="FILE", panel=LANGUAGE)]
MaxCps = Annotated[float | None, option(
    "Ask once for a shorter line if one has more than N characters per second, such as 17.",
    metavar="N", minimum=1, maximum=1000, panel=LANGUAGE)]
# fmt: on
