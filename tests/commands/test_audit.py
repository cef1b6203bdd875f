"""`keras-mmc audit` as a user runs it: in a process of its own, on the embedded digits."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mmc.datasets import load_arrays


def test_both_numbers_and_every_file(networks, run_script, write_card, tmp_path):
    """Fails if the naive number is not printed beside the robust one, or nothing is saved."""
    model = pathlib.Path(shutil.copy(networks["mmc"], tmp_path))
    write_card(model)
    flags = ["--eps=0.1", "--num_images=40", f"--output_dir={tmp_path / 'audit'}"]
    done = run_script("audit", f"--model={model}", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    for part in ("first 40 test images of digits", "naive pgd (cross-entropy)", "Robust accuracy"):
        assert part in done.stdout
    for name in ("report.json", "report.html", "adversarial.npz"):
        assert (tmp_path / "audit" / name).exists()
    facts = json.loads((tmp_path / "audit" / "report.json").read_text(encoding="utf-8"))
    keys = ("clean_accuracy", "naive_accuracy", "robust_accuracy", "interval")
    *accuracies, (low, high) = (facts[key] for key in keys)
    clean, naive, robust = (f"{100 * accuracy:.2f}" for accuracy in accuracies)
    row = (
        "| mmc.keras | linf, eps 0.1 in [0, 1] | quick | the first 40 test images of digits | "
        f"{clean} % | {naive} % | {robust} % ({100 * low:.2f} to {100 * high:.2f}) | "
    )
    assert row in (tmp_path / "model_card.md").read_text(encoding="utf-8")
    [path] = (tmp_path / "robustbench").iterdir()
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["clean_acc"], record["reported"]) == (clean, robust)
    assert (record["dataset"], record["threat_model"], record["eps"]) == ("digits", "Linf", "0.1")
    assert f"Added to {tmp_path / 'model_card.md'}, with the record {path}" in done.stdout


def test_files_that_only_answer(networks, run_script, refusals, tmp_path):
    """Fails if an exported network has no way in, or the budget of queries is lost on the way."""
    model = keras.models.load_model(networks["mmc"])
    model.export(tmp_path / "saved", verbose=False)
    lite = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (tmp_path / "net.tflite").write_bytes(lite)
    flags = ["--eps=0.1", "--num_images=10", f"--substitute={networks['mmc']}", "--noprogress"]
    files = [f"--model={tmp_path / 'saved'}", f"--model={tmp_path / 'net.tflite'}"]
    done = run_script("audit", *files, *flags, "--suite=black_box", "--queries=7")
    assert done.returncode == 0, done.stderr[-3000:]
    # Square asks about the image as it is, its queries, and the result.
    assert done.stdout.count("at most 9)") == 2
    assert "Robust accuracy of 2 audits" in done.stdout
    (text,) = refusals("audit", [files[0], "--eps=0.1"])
    assert "Pass suite='black_box'" in text


def test_refuses_before_it_attacks(networks, refusals, tmp_path):
    """Fails if an audit runs to the end and can then not save, or an unused model passes."""
    (tmp_path / "file").write_text("")
    expected = [
        ("a", "a/state", "must lie apart"),
        ("a/report", "a", "must lie apart"),
        ("file/a", "state", "file/a.* cannot be written"),
        ("a", "file/state", "file/state.* cannot be written"),
        (".", "state", "holds other things, such as 'file'|working directory"),
    ]
    lists = [
        [
            *("--model=none.keras", "--eps=0.1", "--overwrite"),
            *(f"--output_dir={tmp_path / output}", f"--state_dir={tmp_path / state}"),
        ]
        for output, state, _ in expected
    ]
    model = networks["mmc"]
    lists.append([f"--model={model}", f"--substitute={model}", "--eps=0.1"])
    messages = [message for *_, message in expected] + ["does not use a substitute model"]
    for text, message in zip(refusals("audit", *lists), messages, strict=True):
        assert re.search(message, text)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


FULL_DISK = """
import errno
import numpy as np
from keras_mmc.commands import audit, line

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

np.savez_compressed = full
line.run(audit)
"""


def test_a_report_that_cannot_be_saved_is_not_lost(networks, request, run_script, tmp_path):
    """Fails if a full disk at the end costs the report, or a user is not told where it is kept."""
    flags = [f"--model={networks['mmc']}", "--eps=0.1", "--num_images=20"]
    state = f"--state_dir={tmp_path / 'state'}"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *flags, state, f"--output_dir={tmp_path / 'a'}"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Robust accuracy" in done.stdout
    assert "could not be saved: [Errno 28] No space left" in done.stderr
    assert f"batches are kept in {tmp_path / 'state'}" in done.stderr
    assert not (tmp_path / "a").exists()
    again = run_script("audit", *flags, state, f"--output_dir={tmp_path / 'b'}")
    assert again.returncode == 0, again.stderr[-3000:]
    stored = json.loads((tmp_path / "b" / "report.json").read_text(encoding="utf-8"))
    assert f"Robust accuracy {100 * stored['robust_accuracy']:.2f} %" in done.stdout


def test_a_substitute_and_a_state(networks, run_script, tmp_path):
    """Fails if the second model is not used, or finished batches are not kept."""
    done = run_script(
        "audit",
        f"--model={networks['mmc']}",
        f"--substitute={networks['softmax']}",
        "--suite=adaptive",
        "--eps=0.1",
        "--num_images=10",
        f"--state_dir={tmp_path / 'state'}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "transfer (mim)" in done.stdout
    assert (tmp_path / "state" / "audit.json").exists()
    assert (tmp_path / "state" / "apgd-ce" / "0.npz").exists()


def test_several_models_for_continuous_integration(networks, run_script, tmp_path):
    """Fails if a weak model passes, a robust one fails, or one of them has no row or report."""
    output, junit = tmp_path / "audits", tmp_path / "audit.xml"
    flags = [f"--model={networks['mmc']}", f"--model=second={networks['softmax']}", "--eps=0.1"]
    flags += ["--num_images=20", "--noprogress", f"--output_dir={output}", f"--junit={junit}"]
    done = run_script("audit", *flags, "--min_robust=1")
    assert done.returncode == 1, done.stderr[-3000:]
    reports = {
        name: json.loads((output / name / "report.json").read_text(encoding="utf-8"))
        for name in ("mmc", "second")
    }
    table = done.stdout[done.stdout.rindex("Robust accuracy of 2 audits") :].splitlines()[2:4]
    for line, (name, report) in zip(table, reports.items(), strict=True):
        found = line.split()
        keys = ("clean_accuracy", "naive_accuracy", "robust_accuracy")
        assert found[:2] == [name, "20"]
        assert found[2:8:2] == [f"{100 * report[key]:.2f}" for key in keys]
        assert f"{name}: robust accuracy {found[6]} % is below --min_robust=1" in done.stderr
    cases = {case.get("name"): case for case in ElementTree.parse(junit).getroot().iter("testcase")}
    assert cases.keys() == reports.keys()
    for name, case in cases.items():
        assert f"Robust accuracy {100 * reports[name]['robust_accuracy']:.2f} %" in case[0].text
        assert case[0].tag == "failure"
        assert all(finding in case[0].text for finding in reports[name]["findings"])


def test_a_folder_of_images(networks, run_script, tmp_path):
    """Fails if images do not come in the size and channels of the model, or names are lost."""
    x, y = load_arrays("digits", "test")
    names = [f"digit {k}" for k in range(10)]
    for i, (image, label) in enumerate(zip(x[:40], y[:40], strict=True)):
        place = tmp_path / "photos" / names[label]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.round(image.repeat(2, axis=0).repeat(2, axis=1) * 255).astype("uint8")
        (place / f"{i}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    flags = [f"--model={networks['mmc']}", f"--data={tmp_path / 'photos'}", "--eps=0.02"]
    output = tmp_path / "audit"
    done = run_script("audit", *flags, "--min_robust=0.3", "--noprogress", f"--output_dir={output}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"40 images of {tmp_path / 'photos'}" in done.stdout
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["class_names"] == names and report["num_images"] == 40
    model = keras.models.load_model(networks["mmc"])
    accuracy = np.mean(model.predict(x[:40], verbose=0).argmax(axis=1) == y[:40])
    assert report["clean_accuracy"] == pytest.approx(accuracy, abs=0.051)  # of 8 bits, resized


def test_shards_and_their_merge(networks, run_script, refusals, tmp_path):
    """Fails if a shard reports, is lost, or changes what the audit of all images finds."""
    flags = [f"--model={networks['softmax']}", "--eps=0.05", "--num_images=20", "--noprogress"]
    state = f"--state_dir={tmp_path / 'state'}"
    done = run_script("audit", *flags, state, "--shard=1/2", "--batch_size=7")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Shard 1/2, 10 images, is finished." in done.stdout
    assert "naive pgd (cross-entropy): " in done.stdout and "obust" not in done.stdout
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "state").glob("*/*.npz")}
    reports = []
    for name, given in (("merged", [state]), ("whole", [])):
        done = run_script("audit", *flags, *given, f"--output_dir={tmp_path / name}")
        assert done.returncode == 0, done.stderr[-3000:]
        report = json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8"))
        for row in report["rows"]:
            del row["seconds"]
        reports.append({k: v for k, v in report.items() if k not in ("date", "command")})
    assert reports[0] == reports[1]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    shard = [*flags, state, "--shard=0/2"]
    given = [
        [*flags, "--shard=0/2"],
        [*flags, state, "--shard=2/2"],
        [*shard, f"--output_dir={tmp_path / 'a'}"],
        [*shard, "--min_robust=0.5"],
        [*shard, "--suite=black_box"],
    ]
    expected = [
        "--state_dir, which is missing",
        "i/n is needed, with 0 <= i < n",
        "A shard makes no report: --output_dir belongs to the same command without --shard",
        "A shard makes no report: --min_robust belongs",
        "A black box is audited in one process",
    ]
    for text, words in zip(refusals("audit", *given), expected, strict=True):
        assert words in text
