"""Codes of the messages that reach the page, with the values in them: it words them in the reader's language.

A message is written where it is raised, in English and for whoever writes Python; here it is recognised, so that no
package below knows the web. What is not in this table reaches the page as it is, below the words for its kind.
"""

from __future__ import annotations

import re

_OF_STUDIO = (
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
        r"(?:this was edited with )?the model '(?P<name>.+?)'(?: is not on this computer yet: fetch it first|"
        r": fetch it first| is not downloaded yet)",
    ),
    ("no_finder", r"finding faces needs the model 'mtcnn'"),
    ("no_face", r"no face was found in this image"),
    (
        "result_large",
        r"(?:a result of \(?(?P<a>[\d, ]+)\)? pixels is too large|the result would have (?P<b>\d+ x \d+) pixels)",
    ),
    ("not_image", r"(?P<name>.+?) is not a supported image"),
    ("broken_image", r"(?P<name>.+?) is broken(?: or truncated| at frame \d+)?: "),
    ("photo_large", r"(?P<name>.+?) has (?P<size>\d+ x \d+) = [\d,]+ pixels in a file .* limit of (?P<limit>[\d,]+)"),
    ("extra_package", r"(?P<format>\w+) images need an extra package.*: (?P<package>\S+)"),
    ("project_damaged", r"this is not a session that ganvas saved"),
    ("no_project", r"there is no such (?:project|photo in this project)"),
    ("no_variant", r"there is no such variant"),
    ("variants_full", r"a photo has (?P<n>\d+) variants at most"),
    ("not_saved", r"this change could not be saved on the disk: (?P<why>.*)"),
    ("disk", r"the disk of the studio cannot be written: (?P<why>.*)"),
    ("no_model", r"there is no (?:model|file and no catalogue model called) '(?P<name>.*?)'"),
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
    ("no_such_face", r"this image shows (?P<n>\d+) face"),
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
    ("no_page", r"the page is not installed here"),
    ("unfinished", r"this batch is not finished"),
    ("edited_on", r"the photo is being edited on"),
    ("cancelled", r"[\w-]+ was cancelled|teaching was stopped"),
    ("variants_at_once", r"1 to (?P<n>\d+) variants are made at once"),
    ("no_row", r"the search found (?P<n>\d+) directions, there is no number"),
    ("too_many_values", r"up to (?P<n>\d+) \w+ at once"),
    ("one_way", r"say what is known in one way: marks or a scorer"),
    ("no_region", r"no region is set|there is no region to reshape"),
    ("outside_crop", r"this region is outside the model's crop|the place .* is outside the model's crop"),
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
_OF_PHOTOS = (
    ("odd_file", r"(?P<name>.+?) is a JPEG with \d+ scans"),
    ("odd_file", r"(?P<name>.+?) has more than [\d,]+ JPEG segments"),
    ("odd_file", r"(?P<name>.+?) is too large or too deeply nested"),
    ("transparency", r"(?P<name>.+?) has (?:partial )?transparency, which (?P<format>\w+) does not support"),
    ("not_written", r"an image of \d+ x \d+ cannot be written as (?P<format>\w+)"),
    ("out_of_memory", r"out of memory |an image of \d+ x \d+ pixels needs about"),
    ("cannot_tile", r"this network cannot be tiled"),
    ("project_empty", r"the project '(?P<name>.*?)' has no photos yet"),
    ("photo_damaged", r"the photo '(?P<name>.*?)' is damaged"),
    ("variants_damaged", r"the variants of this photo are damaged"),
    ("later_ganvas", r"the projects in .* are of a later ganvas|(?P<name>.+?) was written by .*, which is newer"),
    ("odd_face", r"no face crop can be computed from"),
    ("square_outside", r".+? (?:lies outside|is more than \S+ times as large as) the photo of"),
)
_OF_EDITS = (
    ("too_many_regions", r"a recipe has up to (?P<n>\d+) different regions|these regions overlap in more than"),
    ("too_many_steps", r"a recipe holds (?P<n>\d+) steps at most"),
    (
        "recipe_damaged",
        r"this is not a (?:ganvas )?recipe|a recipe(?:'s \w+| is) |a step is written as|missing field of|"
        r"unknown field of|mix needs either|these latents have values|.+ must be base64 of|"
        r".+ is empty, or has values that are not finite|.+ are written as \[\[x, y\]|.+ must be in units of the crop|"
        r"drag's .+ must be \[P, 2\]|this move is for space|.+ (?:is too large for|cannot be read as) a recipe|"
        r"a drag has 1 to|a step can have only one region|where .+ is depends on the photo|parts are written as",
    ),
    ("bad_region", r"a (?:stroke|region) (?:has|is) |a region's (?:strokes|bitmap)|.+ is written with the fields"),
    ("other_model", r".+ '(?P<name>.*?)' \(\w*\), the session uses"),
    ("other_model", r".+ '(?P<name>.*?)' \(\w*\), and \S+ is another generator"),
    (
        "of_other_model",
        r"direction \S+ (?:is \[|has \d+ style channels)|style \S+ (?:was learnt on|belongs to) another generator|"
        r"this (?:mix holds|drag moves|tuning belongs)|.+ was made with another generator",
    ),
    ("no_slider", r"unknown direction '(?P<name>.*?)' for"),
    ("no_style", r".+; styles of this generator: "),
    (
        "style_damaged",
        r".+ does not contain a ganvas style|.+: the card of this style is damaged|.+: \S+ is not finite|"
        r"style \S+ is not saved",
    ),
    ("style_name", r"a style's name is"),
    ("unknown", r"unknown [\w ':]+ '(?P<name>[^']*)'; known: (?P<known>.*)"),
    (
        "range",
        r"(?:[\w-]+: )?(?P<name>\w+) must be a (?:whole )?number (?:from|between) (?P<low>\S+) (?:to|and) "
        r"(?P<high>[^,\s]+)",
    ),
    (
        "bad_value",
        r"(?:[\w-]+: )?(?P<name>[\w.]+)(?:: (?:Input|Field|String|List|Value|Extra) | must be .*, got|"
        r" should be .*, got| is .*, got)",
    ),
    ("amount", r"an amount must be a number"),
    ("no_auto", r"direction '(?P<name>.*?)' has no scorer for"),
    ("years", r"age=(?P<got>\S+) would be"),
    (
        "model_lacks",
        r"\S+ has no (?:style (?:rows|channels)|feature maps|mapping network)|\S+ does not define the resolution|"
        r"no style layer reads the rows|direction \S+ moves style channels|"
        r"a translator must keep the size|an? (?:translator|upscaler) (?:of|for) photos (?:needs|has) 1 or 3 channels",
    ),
    ("classes", r"this generator has (?:no )?classes"),
    ("no_layer", r"this generator has layers 0 to (?P<n>\d+)"),
    ("no_entry", r"(?:this session's history has|these edits have) entries"),
    ("faces_only", r"\S+ is for faces: "),
    ("whole_photo", r"upscale and translate apply to the whole photo"),
    ("background_colour", r"colour is for parts of a person"),
    ("part_absent", r"there is no .+ in this picture"),
    ("point_outside", r"the point .+ lies outside the square|drag's .+ must lie in the image"),
)
_OF_DIRECTIONS = (
    ("row_count", r"count should be 1 to (?P<n>\d+)"),
    ("no_codes", r"this generator was trained without codes"),
    ("cannot_keep", r"cannot keep '(?P<name>.*?)'"),
    ("keep_fewer", r"direction \S+ vanishes when|nothing is left of the direction"),
    ("few_samples", r"at least two samples each|learn_direction needs ten samples"),
    ("rows_alike", r"in these samples all rows of ws are the same"),
)
_OF_MODELS = (
    ("other_kind", r"(?P<name>.+?) is not an? (?:upscaler|translator): "),
    ("ways", r"this run translates to (?P<names>.+?): choose one"),
    ("ways", r".+ is for .+, and there is no (?P<names>.+) next to it"),
    ("one_direction", r"(?P<name>.+?) has only one direction"),
    ("built_in", r"(?P<name>\S+) is part of ganvas"),
    (
        "not_fetched",
        r"cannot download |.+ answered (?:\d+ |with a web page|in the encoding)|pip could not download|"
        r".+ is downloaded with pip",
    ),
    (
        "wrong_file",
        r".+ (?:should have [\d,]+ bytes, but|has the wrong hash|does not contain a readable)|received more bytes|"
        r".+ has .+; the limit is",
    ),
    ("no_room", r"not enough room in .+?: (?P<needed>.+?) are needed and (?P<free>.+?) are free"),
    ("disk_full", r"the disk is full"),
    ("disk_refused", r"cannot write in |writing in .+ failed|the file system of .+ has no file locks"),
    ("missing_extra", r".+ needs an optional dependency.*: pip install '(?P<package>.*?)'"),
    (
        "model_damaged",
        r"(?P<name>.+?) (?:is damaged(?: or missing)?[:;]|cannot be read \(|is not the expected|"
        r"is missing from this installation)",
    ),
)
CODES = tuple(
    (code, re.compile(pattern))
    for table in (_OF_STUDIO, _OF_PHOTOS, _OF_EDITS, _OF_DIRECTIONS, _OF_MODELS)
    for code, pattern in table
)


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
