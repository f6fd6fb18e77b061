"""Codes of the messages that reach the page, with the values in them: it words them in the reader's language.

A message is written where it is raised, in English and for whoever writes Python; here it is recognised. What is not in
this table reaches the page as it is, under the words for its kind.
"""

from __future__ import annotations

import re

_PATTERNS = (
    ("no_session", r"there is no such session, or it was closed"),
    ("closed", r"this session was closed"),
    ("too_many_photos", r"(?P<n>\d+) photos are open, the limit"),
    ("no_memory", r"the open photos use all of the studio's memory"),
    ("no_job", r"there is no such job"),
    ("busy", r"the studio is busy"),
    ("queue_full", r"(?P<n>\d+) jobs are already queued"),
    ("file_large", r"(?P<name>.+) is too large: the limit is (?P<limit>[\d,]+) bytes"),
    ("request_large", r"the request is too large: the limit is (?P<limit>[\d.,]+ \w+)"),
    ("file_empty", r"(?P<name>.+) is empty \(0 bytes\)"),
    ("upload_slow", r"the upload took too long"),
    ("not_inverted", r"this photo has not been inverted yet"),
    ("inverting", r"this photo is being brought into the model"),
    ("job_running", r"a job \((?P<kind>[\w-]+)\) is running on this photo"),
    ("no_generator", r"there is no generator on this computer yet"),
    (
        "model_absent",
        r"(?:this was edited with )?the model '(?P<name>.+?)'(?: is not on this computer yet)?: fetch it first",
    ),
    ("no_finder", r"finding faces needs the model 'mtcnn'"),
    ("no_face", r"no face was found in this image"),
    (
        "result_large",
        r"(?:a result of \((?P<a>[\d, ]+)\) pixels is too large|the result would have (?P<b>\d+ x \d+) pixels)",
    ),
    ("not_image", r"(?P<name>.+?) is not a supported image"),
    ("broken_image", r"(?P<name>.+?) is broken or truncated"),
    ("photo_large", r"(?P<name>.+?) has (?P<size>\d+ x \d+) = [\d,]+ pixels in a file .* limit of (?P<limit>[\d,]+)"),
    ("extra_package", r"(?P<format>\w+) images need an extra package.*: (?P<package>\S+)"),
    ("project_damaged", r"this is not a session that ganvas saved"),
    ("no_project", r"there is no such (?:project|photo in this project)"),
    ("no_variant", r"there is no such variant"),
    ("variants_full", r"a photo has (?P<n>\d+) variants at most"),
    ("not_saved", r"this change could not be saved on the disk: (?P<why>.*)"),
    ("disk", r"the disk of the studio cannot be written: (?P<why>.*)"),
    ("no_model", r"there is no model '(?P<name>.*?)'"),
    ("no_edits", r"this file contains no saved edits"),
    ("marks_both", r"seed (?P<seed>\d+) is marked both ways"),
    ("marks_missing", r"both kinds of marks are needed"),
    ("none_named", r"none is named: give at least one"),
    ("direction_name", r"a direction's name has up to 64 letters"),
    ("run_name", r"a run's name may have up to 64 letters"),
    ("no_folder", r"there is no folder '(?P<name>.*?)' here"),
    ("no_run", r"there is no such run"),
    ("run_busy", r"this run, or two others, are already training"),
    ("run_elsewhere", r"this run is not running, or was started elsewhere"),
    ("no_search", r"there is no such search any more"),
    ("batches_full", r"(?P<n>\d+) batches are already stored"),
    ("too_many_files", r"at most (?P<n>\d+) files are allowed"),
    ("upload_lost", r"the upload was interrupted"),
    ("too_busy", r"too many (?:jobs are running|requests at the same time|uploads at once)"),
    ("numbers", r"(?:seeds|layers) are written as 0-3,8"),
    ("many_photos", r"this file is a project of (?P<n>\d+) photos"),
    ("internal", r"internal error; see the studio's log"),
)
CODES = tuple((code, re.compile(pattern)) for code, pattern in _PATTERNS)


def code_of(message: str) -> tuple[str | None, dict[str, str]]:
    """The code of a message and the values in it; None where it has none.

    Args:
        message: all of it.
    """
    for code, pattern in CODES:
        match = pattern.match(message)
        if match is not None:
            return code, {name: value for name, value in match.groupdict().items() if value is not None}
    return None, {}
