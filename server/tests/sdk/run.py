"""Real clients against a running server: what the SDKs were told to send, what they put on the wire, what the profile
API shows and what a webhook receives must be the same, member for member.

    python3 run.py PATH_TO_TRIBUTARY [--packages DIR]

Installs the published SDKs (package.json, requirements.txt) into a temporary directory, or into DIR, where a
second run finds them. Ends with status 0 only if there is no difference; each difference is a line.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from pathlib import Path

import exact
from record import Webhook, Wire

HERE = Path(__file__).resolve().parent
# What the product adds to an event. Anything else that was not sent is a difference.
FILLED_IN = {"receivedAt", "originalTimestamp", "sentAt"}
READY_SECONDS = 30
DELIVERY_SECONDS = 60
STOP_SECONDS = 15


class Product:
    """The server under test, on free ports and an empty directory."""

    def __init__(self, binary, data_dir):
        self.token = "sdk-test-" + secrets.token_hex(16)
        self.write_key = "sdk-test-" + secrets.token_hex(8)
        ports = free_ports(3)
        self.http, self.api, _ = (f"http://127.0.0.1:{port}" for port in ports)
        command = [str(binary), "serve", "--data-dir", str(data_dir), "--allow-private-destinations"]
        addresses = zip(("--http", "--api", "--grpc"), ports)
        command += [word for flag, port in addresses for word in (flag, f"127.0.0.1:{port}")]
        given = {"TRIBUTARY_ADMIN_TOKEN": self.token, "TRIBUTARY_WRITE_KEY": self.write_key}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY_")}
        self.process = subprocess.Popen(command, env={**inherited, **given})

    def ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with status {self.process.returncode}")
            try:
                urllib.request.urlopen(f"{self.api}/readyz", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the server is not ready after {READY_SECONDS} s")

    def ask(self, path, body=None):
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, exact.parse(response.read())
        except urllib.error.HTTPError as error:
            return error.code, exact.parse(error.read())

    def profile(self, identifier, part):
        """Every page of a part of a profile: an object for `traits`, else a list."""
        found = {} if part == "traits" else []
        following = ""
        while True:
            status, page = self.ask(f"{profile_path(identifier)}/{part}?limit=200{following}")
            if status != 200:
                raise SystemExit(f"{part} of {identifier[0]}: {status} {page}")
            if part == "traits":
                found.update(page["traits"])
            else:
                found += page["data"]
            if not page["cursor"].get("has_more"):
                return found
            following = "&next=" + urllib.parse.quote(page["cursor"]["next"], safe="")

    def stop(self):
        """Stops the server; the status that it ended with."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return f"none within {STOP_SECONDS} s"


def profile_path(identifier):
    namespace, value = identifier
    value = urllib.parse.quote(value, safe="")
    return f"/v1/spaces/default/collections/users/profiles/{namespace}:{value}"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def install(packages):
    """The published SDKs; the commands that run each sender."""
    packages.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "send.mjs", "send.py", "requirements.txt"):
        shutil.copy(HERE / name, packages / name)
    node_modules = packages / "node_modules" / "@segment" / "analytics-node"
    if not node_modules.exists():
        npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
        subprocess.run(npm, cwd=packages, check=True)
    python = packages / "venv" / "bin" / "python"
    if not (packages / "venv" / "installed").exists():
        venv.create(packages / "venv", with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", packages / "requirements.txt"], check=True)
        (packages / "venv" / "installed").touch()
    return {
        "node": (["node", packages / "send.mjs"], []),
        "python": ([python, packages / "send.py"], ["plain"]),
        "python with gzip": ([python, packages / "send.py"], ["gzip"]),
    }


def send(name, command, options, wire, product, scratch):
    """Runs one sender; what it was told to send, by case."""
    file = scratch / f"{name}.jsonl".replace(" ", "-")
    subprocess.run([*command, wire.url, product.write_key, file, *options], check=True, timeout=120)
    lines = [exact.parse(line) for line in file.read_text("utf-8").rstrip("\n").split("\n")]
    return {line["case"]: line["members"] for line in lines}


def case_of(event, sender):
    bag = event.get("properties") or event.get("traits") or {}
    return bag.get("case", f"{sender}/{event['type']}")


class Findings:
    def __init__(self):
        self.lines = []
        self.compared = 0

    def compare(self, what, want, got):
        self.compared += 1
        self.lines += [f"{what}  {line}" for line in exact.differences(want, got)]

    def say(self, line):
        self.lines.append(line)


def compare_told_with_wire(findings, told, on_wire):
    """What was told must be on the wire. The SDKs add to it: members, context, the category in a page's properties."""
    for case, members in told.items():
        event = on_wire.get(case)
        if event is None:
            findings.say(f"{case}  was not put on the wire")
            continue
        for name, want in members.items():
            got = event.get(name)
            if name in ("context", "properties") and isinstance(got, dict):
                got = {key: value for key, value in got.items() if key in want}
            findings.compare(f"{case} on the wire /{name}", want, got)


def compare_stored(findings, what, sent, stored):
    """An event as stored: the client's members unchanged, filled-in ones added."""
    want = {name: value for name, value in exact.kept(sent).items()}
    got = {name: value for name, value in stored.items() if name in want or name not in FILLED_IN}
    # The client's time stays, unless it is later than the arrival, which then is the event's time.
    received = stored.get("receivedAt")
    if received is None:
        findings.say(f"{what}  /receivedAt is missing")
    elif exact.moment(sent["timestamp"]) > exact.moment(received):
        want["timestamp"] = received
        findings.compare(f"{what} /originalTimestamp", sent["timestamp"], stored.get("originalTimestamp"))
    findings.compare(what, want, got)


def expected_traits(events):
    """The newest value of each trait by the time of its identify call; null removes it."""
    newest = {}
    for event in events:
        if event["type"] == "identify":
            stamp = (exact.moment(event["timestamp"]), event["messageId"])
            for name, value in exact.kept(event["traits"]).items():
                if name not in newest or newest[name][0] < stamp:
                    newest[name] = (stamp, value)
    return {name: value for name, (_, value) in newest.items() if value is not None}


def expected_identifiers(events):
    found = set()
    for event in events:
        for namespace, member in (("user_id", "userId"), ("anonymous_id", "anonymousId")):
            if event.get(member):
                found.add((namespace, event[member]))
        places = [event.get("context", {}).get("traits", {})]
        if event["type"] == "identify":
            places.append(event["traits"])
        found |= {("email", place["email"].strip().lower()) for place in places if "email" in place}
    return found


def compare_profile(findings, sender, product, events):
    """One sender's person: identifiers, traits and events, found by every identifier."""
    identifiers = expected_identifiers(events)
    user_id = next(one for one in identifiers if one[0] == "user_id")
    rows = product.profile(user_id, "external_ids")
    findings.compare(
        f"{sender} /external_ids",
        sorted(map(list, identifiers)),
        sorted([row["type"], row["id"]] for row in rows),
    )
    findings.compare(f"{sender} /traits", expected_traits(events), product.profile(user_id, "traits"))
    stored = {event["messageId"]: event for event in product.profile(user_id, "events")}
    for event in events:
        what = f"{case_of(event, sender)} in /events"
        if event["messageId"] in stored:
            compare_stored(findings, what, event, stored.pop(event["messageId"]))
        else:
            findings.say(f"{what}  is missing")
    for event in stored.values():
        findings.say(f"{sender} /events  shows an event that was not sent: {event.get('messageId')}")
    _, metadata = product.ask(profile_path(user_id) + "/metadata")
    for identifier in sorted(identifiers) + [("profile_id", metadata["profile_id"])]:
        _, same = product.ask(profile_path(identifier) + "/metadata")
        findings.compare(f"{sender} /metadata by {identifier[0]}", metadata, same)


def check(product, wire, webhook, senders, scratch):
    findings = Findings()
    body = {
        "definition": "webhook",
        "name": "sdk test",
        "enabled": True,
        "settings": {"url": webhook.url, "secret": webhook.secret, "send": ["events"]},
    }
    status, answer = product.ask("/admin/v1/destinations", body)
    if status != 201:
        raise SystemExit(f"the webhook was not created: {status} {answer}")
    sent = {}
    for sender, (command, options) in senders.items():
        before = set(wire.events)
        told = send(sender, command, options, wire, product, scratch)
        events = [event for identity, event in wire.events.items() if identity not in before]
        prefix = sender.replace("python with gzip", "python-gzip")
        prefix = "python-plain" if prefix == "python" else prefix
        compare_told_with_wire(findings, told, {case_of(event, prefix): event for event in events})
        print(f"{sender}: {len(told)} calls, {len(events)} events on the wire")
        sent[prefix] = events
    webhook.wait_for({event["messageId"] for events in sent.values() for event in events}, DELIVERY_SECONDS)
    for sender, events in sent.items():
        for event in events:
            what = f"{case_of(event, sender)} at the webhook"
            delivered = webhook.events.get(event["messageId"])
            if delivered is None:
                findings.say(f"{what}  did not arrive within {DELIVERY_SECONDS} s")
            else:
                compare_stored(findings, what, event, delivered)
        compare_profile(findings, sender, product, events)
    for identity in webhook.events.keys() - wire.events.keys():
        findings.say(f"the webhook got an event that was not sent: {identity}")
    for problem in wire.problems + webhook.problems:
        findings.say(problem)
    return findings


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("binary", type=Path, help="the tributary binary")
    arguments.add_argument("--packages", type=Path, help="install the SDKs here [default: a temporary directory]")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-sdk-") as scratch:
        scratch = Path(scratch)
        senders = install((given.packages or scratch / "packages").resolve())
        product = Product(given.binary.resolve(), scratch / "data")
        webhook = Webhook(secrets.token_bytes(32))
        wire = Wire(product.http)
        try:
            product.ready()
            findings = check(product, wire, webhook, senders, scratch)
        finally:
            status = product.stop()
            wire.stop()
            webhook.stop()
    if status != 0:
        findings.say(f"the server ended with status {status}")
    for line in findings.lines:
        print(f"DIFFERENT  {line}")
    print(f"{findings.compared} comparisons, {len(findings.lines)} differences")
    return 1 if findings.lines else 0


if __name__ == "__main__":
    sys.exit(main())
