"""What a generated client sees: results, profiles, rejects, statuses, streams over a killed server, health and reflection.

    client.py PATH_TO_TRIBUTARY DATA_DIR GENERATED_DIR

Started by run.py, with grpcio at hand. Ends with status 0 only if nothing is different; each difference is a line.
"""

import base64
import decimal
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, timestamp_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

sys.path.insert(0, sys.argv[3])
from tributary.v1 import collector_pb2 as v1  # noqa: E402: generated
from tributary.v1 import collector_pb2_grpc as rpc  # noqa: E402: generated

READY_SECONDS = 30
STOP_SECONDS = 15
CALL_SECONDS = 30
EVENTS = 3000
STREAM_ID = secrets.token_hex(16)
NUMBER = "12345678901234567890123.10"


class Product:
    """The server under test, on ports and a directory that outlive its process."""

    def __init__(self, binary, data_dir):
        self.token = "grpc-test-" + secrets.token_hex(16)
        write_key = "grpc-test-" + secrets.token_hex(8)
        http, api, calls = free_ports(3)
        self.api = f"http://127.0.0.1:{api}"
        self.calls = f"127.0.0.1:{calls}"
        self.metadata = [("authorization", "Basic " + base64.b64encode(f"{write_key}:".encode()).decode())]
        self.command = [binary, "serve", "--data-dir", data_dir, "--http", f"127.0.0.1:{http}"]
        self.command += ["--api", f"127.0.0.1:{api}", "--grpc", self.calls]
        given = {"TRIBUTARY_ADMIN_TOKEN": self.token, "TRIBUTARY_WRITE_KEY": write_key}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY_")}
        self.environment = {**inherited, **given}
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, env=self.environment)
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

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Stops the server; the status that it ended with."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"none within {STOP_SECONDS} s"

    def get(self, path):
        request = urllib.request.Request(self.api + path, headers={"authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read(), parse_float=decimal.Decimal)
        except urllib.error.HTTPError as error:
            return {"status": error.code}

    def profile(self, identifier, part):
        return self.get(f"/v1/spaces/default/collections/users/profiles/{identifier}/{part}")

    def channel(self, **options):
        return grpc.insecure_channel(self.calls, **options)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Findings:
    def __init__(self):
        self.lines = []
        self.compared = 0

    def compare(self, what, want, got):
        self.compared += 1
        if want != got:
            self.lines.append(f"{what}  wanted {want!r}, got {got!r}")


def until(holds):
    """Waits until a condition holds, for so long as a loaded machine may need; whether it does."""
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def call(method, request, metadata):
    """The code of a unary call that is to be refused, and what it says."""
    try:
        method(request, metadata=metadata, timeout=CALL_SECONDS)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def events():
    """One event of each kind, of one person."""
    number = f'{{"n":{NUMBER}}}'.encode()
    common = {"user_id": "ada", "timestamp": timestamp_pb2.Timestamp(seconds=1_605_866_400, nanos=5)}
    return [
        v1.Event(type=v1.EVENT_TYPE_IDENTIFY, message_id="1", traits=b'{"email":"ada@example.com"}', **common),
        v1.Event(type=v1.EVENT_TYPE_TRACK, message_id="2", event="Seen", properties=number, **common),
        v1.Event(type=v1.EVENT_TYPE_PAGE, message_id="3", name="Home", category="Docs", **common),
        v1.Event(type=v1.EVENT_TYPE_SCREEN, message_id="4", name="Start", properties=number, **common),
        v1.Event(type=v1.EVENT_TYPE_GROUP, message_id="5", group_id="acme", traits=number, **common),
        v1.Event(type=v1.EVENT_TYPE_ALIAS, message_id="6", previous_id="old", **common),
    ]


def check_send(findings, product):
    bad = v1.Event(type=v1.EVENT_TYPE_TRACK, message_id="bad", user_id="ada", event="e", properties=b"{'a':1}")
    made = v1.Event(type=v1.EVENT_TYPE_TRACK, user_id="ada", event="without an id")
    request = v1.SendRequest(events=[*events(), bad, made])
    with product.channel(compression=grpc.Compression.Gzip) as channel:
        send = rpc.CollectorStub(channel).Send
        results = send(request, metadata=product.metadata, timeout=CALL_SECONDS).results
        accepted = [v1.EVENT_STATUS_ACCEPTED] * 6
        statuses = [result.status for result in results]
        findings.compare("statuses", accepted + [v1.EVENT_STATUS_REJECTED, v1.EVENT_STATUS_ACCEPTED], statuses)
        ids = [result.message_id for result in results]
        findings.compare("message ids", ["1", "2", "3", "4", "5", "6", "bad"], ids[:7])
        findings.compare("a made message id", 36, len(ids[7]))
        findings.compare("why", ("unreadable", "/properties"), (results[6].reason, results[6].pointer))
        unknown = [("authorization", "Basic " + base64.b64encode(b"nobody:").decode())]
        findings.compare("an unknown key", grpc.StatusCode.UNAUTHENTICATED, call(send, request, unknown)[0])
        findings.compare("no key", grpc.StatusCode.UNAUTHENTICATED, call(send, request, [])[0])
        many = v1.SendRequest(events=[made] * 2501)
        findings.compare("many", grpc.StatusCode.RESOURCE_EXHAUSTED, call(send, many, product.metadata)[0])

    if not until(lambda: product.profile("user_id:ada", "metadata").get("event_count") == 7):
        findings.lines.append(f"the profile  is not whole: {product.profile('user_id:ada', 'metadata')}")
    by_id = {row["messageId"]: row for row in product.profile("user_id:ada", "events").get("data", [])}
    findings.compare("stored events", {*ids} - {"bad"}, {*by_id})
    for identity in ("2", "4"):
        findings.compare(f"digits of {identity}", NUMBER, str(by_id[identity]["properties"]["n"]))
    findings.compare("digits of 5", NUMBER, str(by_id["5"]["traits"]["n"]))
    findings.compare("the time", "2020-11-20T10:00:00.000000005Z", by_id["3"]["timestamp"])
    findings.compare("traits", {"email": "ada@example.com"}, product.profile("user_id:ada", "traits")["traits"])
    rejects = product.get("/admin/v1/rejects?message_id=bad")["data"]
    findings.compare("rejects", [("unreadable", results[6].message)], [(row["reason"], row["message"]) for row in rejects])


def stream_until(findings, product, acknowledged, enough, part):
    """Sends what is not acknowledged; calls `part` once so many are. The last that is acknowledged at the end."""

    def requests():
        yield v1.StreamRequest(open=v1.StreamOpen(stream_id=STREAM_ID))
        for sequence in range(acknowledged + 1, EVENTS + 1):
            event = v1.Event(type=v1.EVENT_TYPE_TRACK, user_id="streamer", event="Seen")
            yield v1.StreamRequest(event=v1.StreamEvent(sequence=sequence, event=event))

    through = acknowledged
    parted = False
    with product.channel() as channel:
        answers = rpc.CollectorStub(channel).Stream(requests(), metadata=product.metadata)
        try:
            for answer in answers:
                if answer.WhichOneof("response") == "acknowledgement":
                    sequences = [result.sequence for result in answer.acknowledgement.results]
                    findings.compare("order", [*range(through + 1, answer.acknowledgement.through + 1)], sequences)
                    through = answer.acknowledgement.through
                if through >= enough and not parted:
                    parted = True
                    part(answers)
        except grpc.RpcError as error:
            expected = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            if not parted or error.code() not in expected:
                findings.lines.append(f"a stream ended  with {error.code()}: {error.details()}")
    return through


def check_stream(findings, product):
    def kill(_):
        product.kill()

    def leave(answers):
        answers.cancel()

    through = 0
    for enough, part in ((400, kill), (900, leave), (1400, kill), (2000, leave), (EVENTS, leave)):
        if product.process.poll() is not None:
            product.start()
        through = stream_until(findings, product, through, enough, part)
    findings.compare("acknowledged", EVENTS, through)
    # A stop projects all that the log holds, repeats among it.
    findings.compare("the stop", 0, product.stop())
    product.start()
    findings.compare("events counted", EVENTS, product.profile("user_id:streamer", "metadata").get("event_count"))

    with product.channel() as channel:
        gap = [
            v1.StreamRequest(open=v1.StreamOpen(stream_id="gap")),
            v1.StreamRequest(event=v1.StreamEvent(sequence=1, event=events()[0])),
            v1.StreamRequest(event=v1.StreamEvent(sequence=3, event=events()[1])),
        ]
        kinds = []
        try:
            for answer in rpc.CollectorStub(channel).Stream(iter(gap), metadata=product.metadata):
                kinds.append(answer.WhichOneof("response"))
        except grpc.RpcError as error:
            findings.compare("a gap", grpc.StatusCode.INVALID_ARGUMENT, error.code())
        findings.compare("before the gap", ["opened", "acknowledgement"], kinds)


def check_health_and_reflection(findings, product):
    with product.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tributary.v1.Collector"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_SECONDS)
            findings.compare(f"health of {service!r}", health_pb2.HealthCheckResponse.SERVING, answer.status)
        database = ProtoReflectionDescriptorDatabase(channel)
        findings.compare("reflection", True, "tributary.v1.Collector" in database.get_services())
        pool = descriptor_pool.DescriptorPool(database)
        methods = [method.name for method in pool.FindServiceByName("tributary.v1.Collector").methods]
        findings.compare("methods", ["Send", "Stream"], methods)


def main():
    product = Product(Path(sys.argv[1]), Path(sys.argv[2]))
    findings = Findings()
    product.start()
    try:
        check_send(findings, product)
        check_stream(findings, product)
        check_health_and_reflection(findings, product)
    finally:
        if product.process.poll() is None:
            findings.compare("the end", 0, product.stop())
    for line in findings.lines:
        print(f"DIFFERENT  {line}")
    print(f"{findings.compared} comparisons, {len(findings.lines)} differences")
    return 1 if findings.lines else 0


if __name__ == "__main__":
    sys.exit(main())
