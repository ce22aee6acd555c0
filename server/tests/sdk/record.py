"""Two recorders: one between the SDKs and the product, one behind the product."""

import base64
import gzip
import hashlib
import hmac
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import exact


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # A client that ends resets the connections that it kept open: nothing is lost by that.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Recorder:
    """A server on a free loopback port that keeps events by message id."""

    def __init__(self):
        self.lock = threading.Condition()
        self.events = {}
        self.problems = []
        recorder = self

        class Bound(Handler):
            def do_POST(self):
                recorder.take(self)

        self.server = Server(("127.0.0.1", 0), Bound)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, event):
        with self.lock:
            self.events[event.get("messageId")] = event
            self.lock.notify_all()

    def complain(self, problem):
        with self.lock:
            self.problems.append(problem)
            self.lock.notify_all()

    def wait_for(self, ids, seconds):
        """Waits until all these message ids are there, or the time is over."""
        with self.lock:
            self.lock.wait_for(lambda: ids <= self.events.keys(), seconds)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Wire(Recorder):
    """Passes requests of the SDKs on to the product, and keeps the events in them."""

    def __init__(self, product):
        super().__init__()
        self.product = product

    def take(self, request):
        body = request.body()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        onward = urllib.request.Request(self.product + request.path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(onward, timeout=30) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        if (status, answer) != (200, b'{"success":true}'):
            self.complain(f"{request.path} was answered with {status} {answer!r}")
        text = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
        for event in exact.parse(text)["batch"]:
            self.keep(event)
        request.answer(status, answer)


class Webhook(Recorder):
    """Takes deliveries and checks their signatures by the Standard Webhooks scheme."""

    def __init__(self, key):
        self.key = key
        super().__init__()

    @property
    def secret(self):
        return "whsec_" + base64.b64encode(self.key).decode()

    def take(self, request):
        body = request.body()
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        identity, timestamp, signatures = (request.headers.get(name, "") for name in names)
        signed = f"{identity}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()
        if f"v1,{signature}" not in signatures.split(" ") or not identity:
            self.complain(f"a delivery is not signed as it should be: {signatures!r}")
        self.keep(exact.parse(body))
        request.answer(200, b"{}")
