"""What a run leaves behind: transcripts as files, and who owns which file's name."""

from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS, Formatter
from sttbatch.outputs.names import NameTakenError, OutputRegistry
from sttbatch.outputs.plans import OutputPlan, Recording
from sttbatch.outputs.writer import OutputWriter, Written

__all__ = [
    "FORMATS",
    "Document",
    "Formatter",
    "NameTakenError",
    "OutputPlan",
    "OutputRegistry",
    "OutputWriter",
    "Recording",
    "Written",
]
