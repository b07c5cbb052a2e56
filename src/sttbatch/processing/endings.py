"""Endings of names: which files are recordings, which are not, and which are unfinished."""

from __future__ import annotations

MEDIA_ENDINGS = frozenset(
    {
        "3g2", "3gp", "aa3", "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "asf", "au", "avi",
        "awb", "caf", "dsf", "dss", "dts", "dv", "dvr-ms", "eac3", "ec3", "f4v", "flac", "flv",
        "gsm", "gxf", "ilbc", "latm", "loas", "m1a", "m2a", "m2ts", "m4a", "m4b", "m4v", "mka",
        "mkv", "mlp", "mmf", "mov", "mp2", "mp3", "mp4", "mpa", "mpc", "mpeg", "mpg", "mts", "mxf",
        "nist", "nut", "oga", "ogg", "ogm", "ogv", "oma", "opus", "qcp", "qt", "ra", "rm", "rmvb",
        "shn", "sph", "spx", "tak", "thd", "ts", "tta", "vob", "voc", "w64", "wav", "weba", "webm",
        "wma", "wmv", "wtv", "wv",
    }
)  # fmt: skip
"""A file with such an ending that cannot be read is a failure and is not skipped."""

UNREADABLE_ENDINGS = frozenset(
    {
        "aax", "aaxc", "adpcm", "al", "alaw", "aptx", "dff", "ds2", "dvf", "g721", "g722", "g723",
        "g726", "g729", "icd", "m4p", "msv", "nmf", "ofr", "ofs", "pcm", "sbc", "sln", "ul", "ulaw",
        "vox", "vy1", "vy4",
    }
)  # fmt: skip
"""Endings of recordings that libavformat cannot read, or not without being told their parameters:
encrypted ones, those of some dictation and call recorders, and raw samples."""

OTHER_ENDINGS = frozenset(
    {
        "7z", "bak", "bib", "bmp", "bz2", "cfg", "conf", "css", "csv", "cue", "db", "doc",
        "docx", "epub", "gif", "gz", "htm", "html", "ico", "ini", "ipynb", "jpeg", "jpg", "js",
        "json", "jsonl", "lock", "log", "lrc", "m3u", "m3u8", "md", "nfo", "odp", "ods", "odt",
        "pdf", "pls", "png", "ppt", "pptx", "psd", "py", "rar", "rst", "rtf", "rttm", "sh",
        "sqlite", "srt", "ssa", "ass", "svg", "tar", "tex", "tif", "tiff", "toml", "tsv",
        "ttml", "txt", "url", "vtt", "webp", "xls", "xlsx", "xml", "yaml", "yml", "zip",
    }
)  # fmt: skip
"""Endings of notes, covers and our own outputs, which are skipped without being opened."""

UNFINISHED_ENDINGS = frozenset(
    {
        "!qb", "!ut", "aria2", "bc!", "crdownload", "download", "filepart", "opdownload", "part",
        "partial", "tmp", "ytdl",
    }
)  # fmt: skip
"""What browsers and transfer programs put behind a name until the file is complete."""
