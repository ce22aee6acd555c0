"""JSON compared exactly: numbers as they are written, every member, every character."""

import json
import re
from datetime import datetime


class Number(str):
    """A number as it stands in the text."""

    def __repr__(self):
        return str(self)


def parse(text):
    """Reads JSON without squeezing a number through a float."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return json.loads(text, parse_int=Number, parse_float=Number)


LONE = re.compile("[\ud800-\udfff]")


def kept(value):
    """What the product promises to keep of a value: all of it, but for half surrogate pairs, which become U+FFFD."""
    if isinstance(value, Number) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [kept(one) for one in value]
    return {kept(name): kept(one) for name, one in value.items()}


def differences(want, got, place=""):
    """Every place where two values differ, as lines."""
    if isinstance(want, dict) and isinstance(got, dict):
        lines = []
        for name in want.keys() | got.keys():
            where = f"{place}/{name}"
            if name not in got:
                lines.append(f"{where}: missing, sent {show(want[name])}")
            elif name not in want:
                lines.append(f"{where}: not sent, shown {show(got[name])}")
            else:
                lines += differences(want[name], got[name], where)
        return sorted(lines)
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return [f"{place}: {len(want)} entries sent, {len(got)} shown"]
        return [line for n, pair in enumerate(zip(want, got)) for line in differences(*pair, f"{place}/{n}")]
    # The type counts: a number is not the text of the same letters.
    if type(want) is type(got) and want == got:
        return []
    return [f"{place}: sent {show(want)}, shown {show(got)}"]


def show(value):
    text = ascii(value)
    return text if len(text) < 120 else f"{text[:117]}..."


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
