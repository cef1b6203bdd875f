"""Requests per second of `keras-mmc serve`, its latency and its memory, under many clients.

    python benchmarks/service_load.py --model=serving/1 [--clients=200] [--seconds=30]

It starts the service, and clients on the same machine that ask for one random image again and
again over kept connections, in the form of TensorFlow Serving. Beside them a client a second sends
what is malformed, too large or never complete. A request that is well formed and not answered with
200 fails the benchmark.
"""

import asyncio
import collections
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import recording
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "Directory of an export.", required=True)
flags.DEFINE_integer("clients", 200, "Clients at a time.")
flags.DEFINE_integer("seconds", 30, "Duration.")
HOST, PORT = "127.0.0.1", 8599


def request(body: bytes, path: str = "/v1/models/model:predict") -> bytes:
    """A POST request."""
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.splitlines() if line.startswith("content-length"))
    return int(head.split()[1]), await reader.readexactly(int(length.split(":")[1]))


async def client(message: bytes, until: float, seconds: list, failures: collections.Counter):
    """Asks again and again."""
    reader, writer = await asyncio.open_connection(HOST, PORT)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(message)
        try:
            status, body = await answer(reader)
        except Exception as error:
            failures[type(error).__name__] += 1
            reader, writer = await asyncio.open_connection(HOST, PORT)
            continue
        seconds.append(time.perf_counter() - began)
        if status != 200:
            failures[body.decode()[:80]] += 1
    writer.close()


async def nuisance(until: float, statuses: collections.Counter):
    """Sends what no service should have to bear."""
    bad = [
        request(b"{"),
        request(b"[" * 1_000_000),
        request(b'{"instances": [[1, 2], [3]]}'),
        request(b'{"instances": ["' + b"x" * 7_000_000 + b'"]}'),
        b"POST /v1/models/model:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n",
        request(b"x", "/v1/models/..%2f..%2fetc%2fpasswd:predict"),
        request(b"\x89PNG\r\n\x1a\n" + b"0" * 1000, "/page/predict"),
        b"no HTTP at all\r\n\r\n",
    ]
    idle = []
    for message in bad * 1000:
        if time.perf_counter() > until:
            break
        reader, writer = await asyncio.open_connection(HOST, PORT)
        writer.write(message)
        try:
            status, _ = await asyncio.wait_for(answer(reader), 10)
            statuses[status] += 1
        except Exception:  # of a client whose words were no HTTP
            statuses["closed"] += 1
        writer.close()
        _, slow = await asyncio.open_connection(HOST, PORT)
        slow.write(
            b"POST /v1/models/model:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{"
        )
        idle.append(slow)
        await asyncio.sleep(1)
    for writer in idle:
        writer.close()


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def load(pid: int) -> dict:
    """Runs all clients; what they saw, as figures of a record."""
    facts = json.loads((pathlib.Path(FLAGS.model) / "keras_mmc.json").read_text())
    low, high = facts["box"]
    image = np.random.default_rng(0).uniform(low, high, facts["image_shape"]).round(4)
    message = request(json.dumps({"instances": [image.tolist()]}).encode())
    seconds, failures, statuses = [], collections.Counter(), collections.Counter()
    memory = [resident(pid)]
    until = time.perf_counter() + FLAGS.seconds

    async def watch():
        while time.perf_counter() < until:
            await asyncio.sleep(1)
            memory.append(resident(pid))

    clients = (client(message, until, seconds, failures) for _ in range(FLAGS.clients))
    await asyncio.gather(*clients, nuisance(until, statuses), watch())
    return {
        "clients": FLAGS.clients,
        "seconds": FLAGS.seconds,
        "image_shape": facts["image_shape"],
        "request_bytes": len(message),
        "requests": len(seconds),
        "latency_ms": (1000 * np.percentile(seconds, [50, 99])).tolist(),
        "failed": sum(failures.values()),
        "failures": dict(failures),
        "nuisances": {str(what): count for what, count in statuses.items()},
        "memory_mib": {"before": memory[0], "most": max(memory), "after": memory[-1]},
    }


def main(_) -> None:
    """Start the service, load it, stop it."""
    command = [sys.executable, "-m", "keras_mmc", "serve", f"--model={FLAGS.model}"]
    service = subprocess.Popen([*command, f"--port={PORT}"], stdout=subprocess.PIPE, text=True)
    try:
        assert "Serving" in service.stdout.readline()
        while socket.socket().connect_ex((HOST, PORT)):
            time.sleep(0.1)
        figures = asyncio.run(load(service.pid))
        service.send_signal(signal.SIGTERM)
        figures["exit_status"] = service.wait(60)
    finally:
        service.kill()
    recording.report("service_load", figures, ("starlette", "uvicorn"))
    if figures["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
