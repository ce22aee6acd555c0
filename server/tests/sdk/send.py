"""Sends one of everything with the unmodified Python SDK, and writes down what it was told to send.

    python send.py HOST WRITE_KEY FILE plain|gzip

FILE gets one JSON line for each call: its case, and the members that the event must have.
"""

import json
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from segment.analytics import Client

host, write_key, file, encoding = sys.argv[1:5]
failures = []
client = Client(write_key, host=host, gzip=encoding == "gzip", on_error=lambda error, _: failures.append(error))

lines = []
user_id = f"kundin/ä:1 %?python-{encoding}"
anonymous_id = f"anon-python-{encoding}"
who = {"user_id": user_id, "anonymous_id": anonymous_id}
WIRE = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "group_id": "groupId",
    "previous_id": "previousId",
}


def call(kind, becomes=None, **arguments):
    """One call. `becomes` are the values that JSON has no form for, as the SDK has to write them."""
    members = {WIRE.get(name, name): value for name, value in arguments.items()}
    if "timestamp" in members:
        members["timestamp"] = members["timestamp"].isoformat(timespec="milliseconds")
    bag = "traits" if "traits" in members else "properties"
    if becomes:
        members[bag] = {**members[bag], **becomes}
    case = members.get(bag, {}).get("case", f"python-{encoding}/{kind}")
    # The SDK writes its own library into the context it is given, so the line is made first.
    lines.append(json.dumps({"case": case, "members": {"type": kind, **members}}))
    getattr(client, kind)(**arguments)


def named(case):
    return {"case": f"python-{encoding}/{case}"}


def at(hour, minute=0):
    return datetime(2026, 3, 1, hour, minute, tzinfo=timezone.utc)


many = {f"key_{n}": n if n % 7 == 0 else f"value {n}" for n in range(600)}
nested = {
    "level": {"level": {"level": {"list": [1, [2, [3, {"deep": None}]], {}], "empty": {}}}},
    "products": [{"sku": "A-1", "price": 12.9, "tags": []}, {"sku": "B-2", "price": 0, "tags": ["x", "ÿ"]}],
}
odd = {
    "dotted.key.name": 1,
    "$dollar": "$",
    "1": "looks like a number",
    "": "empty name",
    "sp ace": " kept ",
    "名前": "佐藤 美咲",
}
values = {
    "nothing": None,
    "empty_object": {},
    "empty_list": [],
    "empty_text": "",
    "yes": True,
    "no": False,
    "beyond_2_53": 9007199254740993,
    "beyond_2_64": 123456789012345678901234567890,
    "negative": -42,
    "fraction": 0.1,
    "whole_fraction": 1.0,
    "small": 1e-7,
    "large": 1.7976931348623157e308,
    "minus_zero": -0.0,
    "decimal": Decimal("12.90"),
    "tuple": (1, "two"),
    "moment": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2))),
    "day": date(2026, 1, 2),
    "like_a_date": "2026-01-02",
    "unicode": "Zoë 👩‍👩‍👧 مرحبا \u2028 \u0301 \\ \" / <b>",
    "controls": "tab\t newline\n bell\u0007",
}
becomes = {
    "decimal": 12.9,
    "tuple": [1, "two"],
    "moment": "2026-01-02T03:04:05.678901+02:00",
    "day": "2026-01-02",
}
plain = {**values, **becomes}

call(
    "identify",
    anonymous_id=anonymous_id,
    timestamp=at(10),
    traits={**named("identify/anonymous"), "newsletter": True, "plan": "none", "will_be_removed": "soon"},
)
call(
    "identify",
    becomes,
    **who,
    timestamp=at(11),
    traits={
        **named("identify/everything"),
        "email": f"  Ada.PYTHON.{encoding}@Example.COM ",
        "plan": "free",
        **plain,
        **values,
        **odd,
        **nested,
    },
)
call(
    "identify",
    **who,
    timestamp=at(12),
    traits={**named("identify/newer"), "plan": "pro", "will_be_removed": None},
)
call(
    "identify",
    **who,
    timestamp=at(10, 30),
    traits={**named("identify/late"), "plan": "older and loses", "seen_late": True},
)
call("identify", **who, timestamp=at(13), traits={**named("identify/600"), **many})
call("track", becomes, **who, event="Values", properties={**named("track/values"), **plain, **values})
call("track", **who, event="Names", properties={**named("track/names"), **odd})
call("track", **who, event="Nested", properties={**named("track/nested"), **nested})
call("track", **who, event="Many", properties={**named("track/600"), **many})
call(
    "track",
    **who,
    event="Half an emoji \ud83d",
    properties={**named("track/surrogates"), "half": "\ud83d", "other_half": "a\ude00b", "nul": "a\u0000b"},
)
call(
    "track",
    **who,
    event="With context",
    timestamp=datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=-5))),
    properties=named("track/context"),
    context={
        "ip": "203.0.113.7",
        "locale": "de-CH",
        "campaign": {"name": "Frühling", "source": "newsletter"},
        "traits": {"email": f"second.python.{encoding}@example.com", "logins": 3},
        "custom": {"nested": [None, {}]},
    },
    integrations={"All": False, "Webhook": {"option": [1]}},
)
call(
    "track",
    **who,
    event="From the future",
    timestamp=datetime(2100, 1, 1, tzinfo=timezone.utc),
    properties=named("track/future"),
)
call("track", anonymous_id=anonymous_id, event="Anonymous", properties=named("track/anonymous"))
call(
    "page",
    **who,
    category="Docs",
    name="Startseite",
    properties={**named("page"), "url": "https://shop.example/ä?q=1", **nested},
)
call("screen", **who, category="App", name="Warenkorb", properties={**named("screen"), "items": 3})
call(
    "group",
    **who,
    group_id=f"grp_python_{encoding}",
    traits={
        **named("group"),
        "name": "Acme GmbH",
        "email": "office@acme.example",
        "employees": 140,
        "plan": "account",
    },
)
call("alias", previous_id=anonymous_id, user_id=user_id)

client.shutdown()
with open(file, "w", encoding="ascii") as out:
    out.write("\n".join(lines) + "\n")
for failure in failures:
    print(f"the SDK reports {failure!r}", file=sys.stderr)
sys.exit(1 if failures else 0)
