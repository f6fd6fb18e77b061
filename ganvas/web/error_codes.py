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
        r"(?:a result of \(?(?P<a>[\d, ]+)\)? pixels is too large|the result would have (?P<b>\d+ x \d+) pixels)",
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
    ("numbers", r"\w+ are written as 0-3,8"),
    ("many_photos", r"this file is a project of (?P<n>\d+) photos"),
    (
        "not_inverted_step",
        r"this step edits a face: bring the photo|no face is being edited|"
        r"face \S+ was not brought into a model",
    ),
    ("other_kind", r"(?P<name>\S+) .*a model for '?(?P<task>\w+)'?"),
    ("no_such_face", r"this photo has (?P<n>\d+) faces, counted from 0"),
    ("folder_closed", r"only folders below the data root|invalid folder name"),
    ("no_preset", r"unknown preset '(?P<name>.*?)'"),
    (
        "not_shown",
        r"this run has no such image yet|this photo has not been shown yet|this job has no sheet|"
        r"nothing has been rendered since",
    ),
    ("labels", r"labels must be none, auto or folders"),
    (
        "incomplete",
        r"a file is required in the form field|a recipe is required in the form|"
        r"a form \(multipart/form-data\) is required",
    ),
    (
        "bad_value",
        r"(?P<name>[\w.]+) (?:must be a number, got|must be an integer, got|must be JSON, got|"
        r"is from \d+ to \d+ pixels, got|(?:is|must be) one of .*, got|is .*, got)",
    ),
    ("no_page", r"the page is not installed here"),
    ("unfinished", r"this batch is not finished"),
    ("edited_on", r"the photo is being edited on"),
    ("cancelled", r"[\w-]+ was cancelled|teaching was stopped"),
    ("variants_at_once", r"1 to (?P<n>\d+) variants are made at once"),
    ("no_row", r"the search found (?P<n>\d+) directions, there is no number"),
    ("too_many_values", r"up to (?P<n>\d+) \w+ at once"),
    ("one_way", r"say what is known in one way: marks or a scorer"),
    ("no_region", r"no region is set|there is no region to reshape"),
    ("outside_crop", r"this region is outside the model's crop"),
    ("parts_unknown", r"the parts of this picture are not known"),
    (
        "not_understood",
        r"a session from a seed is|strokes are|a message is (?:of type|JSON such as)|"
        r"a stroke's points are pairs|a drag has as many targets|a drag's points are finite",
    ),
    ("device_dead", r"the studio's device does not answer any more"),
    ("metrics_off", r"figures for Prometheus are off"),
    ("downloaded", r"(?P<name>\S+) is already downloaded"),
    ("restricted", r"(?P<name>\S+) is restricted \((?P<licence>.+?)\)"),
    ("say_unknown", r"unknown here: "),
    ("say_word_near", r"unknown word '(?P<word>.*?)'.*nearest known: (?P<near>.*?)\. Nothing is changed"),
    ("say_word", r"unknown word '(?P<word>.*?)'"),
    ("say_unclear", r"not clear: '(?P<what>.*?)'"),
    ("say_contradiction", r"a contradiction: "),
    ("say_nothing", r"nothing to do: this only says|the sentence says nothing that could be done"),
    ("say_long", r"a sentence has at most (?P<n>\d+) characters"),
    ("long_name", r"a (?:project|variant)'s name has 1 to (?P<n>\d+) characters"),
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
