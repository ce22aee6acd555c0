"""A Python client of the gRPC API: generated from the proto here and now, then driven against a server of its own.

    python3 run.py PATH_TO_TRIBUTARY [--packages DIR]

Installs grpcio (requirements.txt) into a temporary directory, or into DIR, where a second run finds it. Ends with
status 0 only if client.py finds nothing different; each difference is a line.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = HERE.parents[2] / "proto"


def install(packages):
    """The Python that has grpcio."""
    python = packages / "venv" / "bin" / "python"
    if not (packages / "venv" / "installed").exists():
        packages.mkdir(parents=True, exist_ok=True)
        venv.create(packages / "venv", with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
        (packages / "venv" / "installed").touch()
    return python


def generate(python, generated):
    """The client's code, made from the proto."""
    generated.mkdir()
    protoc = [python, "-m", "grpc_tools.protoc", f"-I{PROTO}"]
    out = [f"--python_out={generated}", f"--grpc_python_out={generated}"]
    subprocess.run([*protoc, *out, "tributary/v1/collector.proto"], check=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("binary", type=Path, help="the tributary binary")
    arguments.add_argument("--packages", type=Path, help="install grpcio here [default: a temporary directory]")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-grpc-") as scratch:
        scratch = Path(scratch)
        python = install((given.packages or scratch / "packages").resolve())
        generate(python, scratch / "generated")
        command = [python, HERE / "client.py", given.binary.resolve(), scratch / "data", scratch / "generated"]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
