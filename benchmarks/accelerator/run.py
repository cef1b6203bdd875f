"""What runs on this machine's accelerator, how fast, and how robust a short training gets.

Parts, whose pieces run in worker processes that are started again where one dies or hangs:

- device: what the machine is, and how fast it multiplies;
- determinism: how far results can be repeated, here and on the CPU;
- check: every attack, loss, defense and regularizer, with and without XLA;
- throughput: training images per second, by method, precision and compiler;
- train: softmax and MMC, trained adversarially for `--seconds` each;
- audit: `keras_mmc.audit` of both.

The record, one JSON file, is written anew after every piece. A part begins no piece after its
seconds and those of all parts before it, from the start of the program. `--tiny` rehearses it all
on a CPU.

  PYTHONPATH=. python benchmarks/accelerator/run.py --data='cifar/*.npz' --output=record.json
"""

import concurrent.futures
import faulthandler
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback

import checks
import determinism
import journal
import keras
import machine
import networks  # noqa: F401, which defines --tiny
import throughput
import training
from absl import app, flags

FLAGS = flags.FLAGS
PARTS = ["device:25", "determinism:30", "check:80", "throughput:140", "train:150", "audit:70"]
flags.DEFINE_list("parts", PARTS, "Parts to run, in this order, and seconds of each.")
flags.DEFINE_float("grace", 20, "Seconds after those of a part when pieces that run are ended.")
flags.DEFINE_string("only", "", "Pattern of the names of the pieces to run, such as 'PGD.*XLA'.")
flags.DEFINE_integer("every", 1, "Run one in so many pieces of check and throughput.")
flags.DEFINE_integer("workers", 8, "Most processes that share a part whose speed does not count.")
flags.DEFINE_string("output", "accelerator.json", "The record.")
flags.DEFINE_string("commit", None, "Commit of the package, for the record.")
flags.DEFINE_list("worker", [], "Set for workers: part, journal, share, shares, end.")

PIECES = {
    "device": machine.pieces,
    "determinism": determinism.pieces,
    "check": checks.pieces,
    "throughput": throughput.pieces,
    "train": training.pieces,
    "audit": training.audit_pieces,
}
TINY = {"every": 7, "workers": 2, "batch_size": 8, "seconds": 30.0, "train_batch_size": 32}
TINY |= {"audits": ["quick:20", "standard:4"]}
LONGEST_PIECE = {"throughput": 120, "train": 120, "audit": 120}
FAILED_DEVICE = 75


def chosen(part, folder):
    """The pieces of a part that the flags ask for, functions by name."""
    named = PIECES[part](folder)
    if part in ("check", "throughput"):
        named = {name: run for name, run in named.items() if re.search(FLAGS.only, name)}
        named = dict(itertools.islice(named.items(), 0, None, FLAGS.every))
    return named


def work(part, path, share, shares, end):
    """Run every `shares`-th piece of a part that the journal does not hold yet."""
    path, limit = (
        pathlib.Path(path),
        LONGEST_PIECE.get(part, 60) + FLAGS.seconds * (part == "train"),
    )
    faulthandler.enable()
    named = chosen(part, path.parent)
    for name, run in itertools.islice(named.items(), int(share), None, int(shares)):
        if name in journal.read(path):
            continue
        if time.time() > float(end):
            journal.write(path, name, "not run: the seconds of this part were spent")
            continue
        journal.write(path, name, None)
        faulthandler.dump_traceback_later(limit, exit=True)
        began = time.perf_counter()
        try:
            result = run()
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f"{f.filename}:{f.lineno}" for f in frames if "keras_mmc/" in f.filename]
            result = f"{type(error).__name__}: {str(error)[:300]} {own[-1:]}"
        seconds = time.perf_counter() - began
        if isinstance(result, dict):
            result["seconds"] = seconds
        elif isinstance(result, str):
            result += f" ({seconds:.1f} s)"
        journal.write(path, name, result)
        keras.utils.clear_session()
        if "CUDA_ERROR" in str(result):
            os._exit(FAILED_DEVICE)
    faulthandler.cancel_dump_traceback_later()


def supervise(part, path, share, shares, end):
    """Keep a worker at its share until it is done; note the piece in which its process ended."""
    flag = ",".join(map(str, (part, path, share, shares, end)))
    variables = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_CPP_MIN_LOG_LEVEL": "1"} | os.environ
    command = [sys.executable, *sys.argv, f"--worker={flag}"]
    while True:
        left = max(1, end + FLAGS.grace - time.time())
        try:
            done = subprocess.run(
                command, stderr=subprocess.PIPE, env=variables, timeout=left, errors="replace"
            )
        except subprocess.TimeoutExpired:
            note(path, "ended: the seconds of this part were spent")
            return
        if done.returncode == 0:
            return
        cause = re.search(r"(?m)^(F\d{4} |Fatal Python|Timeout)[^$]*", done.stderr)
        text = cause.group()[:600] if cause else done.stderr[-600:]
        running = note(path, f"its process ended with {done.returncode}: {text}")
        if not running and done.returncode != FAILED_DEVICE:
            journal.write(path, f"worker {share}", f"ended with {done.returncode}: {text}")
            return


def note(path, result):
    """Write what came of the piece that runs; whether there is one."""
    running = [name for name, known in journal.read(path).items() if known is None]
    for name in running:
        journal.write(path, name, result)
    return bool(running)


def run_part(part, folder, end, record):
    """Run a part in its workers; write the record whenever it grows."""
    # What is timed has the machine to itself.
    most = 1 if part in ("device", "throughput", "train") else FLAGS.workers
    named = chosen(part, folder)
    shares = max(1, min(most, len(named)))
    paths = [folder / f"{part}-{share}" for share in range(shares)]
    with concurrent.futures.ThreadPoolExecutor(shares) as pool:
        waiting = [
            pool.submit(supervise, part, path, share, shares, end)
            for share, path in enumerate(paths)
        ]
        while waiting:
            done, waiting = concurrent.futures.wait(waiting, timeout=1)
            record[part] = {k: v for path in paths for k, v in journal.read(path).items()}
            save(record)
            for finished in done:
                finished.result()
    record[part] = dict.fromkeys(named, "not run: its worker ended before") | record[part]
    save(record)


def save(record):
    """Write the record in one move."""
    output = pathlib.Path(FLAGS.output)
    staged = output.with_suffix(".partial")
    staged.write_text(json.dumps(record, indent=1) + "\n")
    staged.replace(output)


def main(argv):
    """Be a worker, or run the parts, write the record and print what came of every piece."""
    del argv
    for name, value in TINY.items() if FLAGS.tiny else ():
        if not FLAGS[name].present:
            FLAGS[name].value = value
    if FLAGS.worker:
        work(*FLAGS.worker)
        return
    folder, end = pathlib.Path(tempfile.mkdtemp()), time.time()
    record = {"commit": FLAGS.commit, "flags": sys.argv[1:], "data": FLAGS.data}
    for text in FLAGS.parts:
        part, seconds = text.split(":")
        began, end = time.time(), end + float(seconds)
        run_part(part, folder, end, record)
        print(f"\n{part}: {len(record[part])} pieces in {time.time() - began:.0f} s", flush=True)
        for name, result in record[part].items():
            if part != "check" or str(result)[:2] != "ok":
                print(f"  {name}: {json.dumps(result)[:400]}", flush=True)


if __name__ == "__main__":
    app.run(main)
