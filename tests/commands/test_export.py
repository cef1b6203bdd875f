"""`keras-mmc export`: what it writes is served by TensorFlow alone."""

import json
import subprocess
import sys

import pytest

from keras_mmc.datasets import load_arrays


def test_what_it_prints_serves(networks, run_script, tmp_path):
    """Fails if the exported directory is missing or the printed recipe is not Python."""
    model = f"--model={networks['mmc']}"
    done = run_script("export", model, f"--output_dir={tmp_path / '1'}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "1" / "saved_model.pb").exists()
    recipe = done.stdout.split("\n\n", 1)[1]
    served = subprocess.run([sys.executable, "-c", recipe], capture_output=True, text=True)
    assert served.returncode == 0, served.stderr[-3000:]
    assert "tf.Tensor(" in served.stdout


@pytest.mark.parametrize(
    ("format", "module"),
    [("onnx", "onnxruntime"), ("litert", "ai_edge_litert"), ("openvino", "openvino")],
)
def test_other_runtimes_are_shown_how(
    format, module, need, networks, run_script, run_python, tmp_path
):
    """Fails if a file of another runtime is missing, or the recipe for it does not run."""
    need(module, format)
    flags = [f"--model={networks['mmc']}", f"--output_dir={tmp_path / '1'}", f"--format={format}"]
    done = run_script("export", *flags, *(["--quantize=int8"] if format == "litert" else []))
    assert done.returncode == 0, done.stderr[-3000:]
    assert run_python(done.stdout.split("\n\n", 1)[1]).strip()


def test_8_bits_are_for_litert(networks, refusals, tmp_path):
    """Fails if a flag that does nothing is taken."""
    flags = [f"--model={networks['mmc']}", f"--output_dir={tmp_path / '1'}", "--quantize=int8"]
    (told,) = refusals("export", flags)
    assert "--quantize is for --format=litert" in told


def test_what_is_calibrated_is_in_the_export(networks, run_script, refusals, tmp_path):
    """Fails if validation images are other ones than `train` held out, or a flag does nothing."""
    model, place = f"--model={networks['mmc']}", tmp_path / "1"
    names = ",".join(f"digit {i}" for i in range(10))
    flags = [model, f"--output_dir={place}", "--false_rejection=0.05", f"--class_names={names}"]
    done = run_script("export", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    count = len(load_arrays("digits", "validation")[0])
    assert f"calibrated on {count} images" in done.stdout
    facts = json.loads((place / "keras_mmc.json").read_text())
    assert facts["false_rejection"] == 0.05 and facts["threshold"] > 0
    calibration, test = facts["detections"]
    assert (calibration["images"], test["images"]) == (count, len(load_arrays("digits", "test")[0]))
    for row in (calibration, test):
        right, kept = row["images"] - row["wrong"], row["accepted"] - row["wrong"] + row["rejected"]
        assert row["false_rejection"] == pytest.approx(1 - kept / right)
        assert row["accuracy"] == pytest.approx(kept / row["accepted"])
        assert row["coverage"] == row["accepted"] / row["images"]
        told = (f"{100 * row[name]:.2f} %" for name in ("false_rejection", "coverage", "accuracy"))
        assert all(text in done.stdout for text in told)
    assert calibration["false_rejection"] <= 0.05
    assert facts["class_names"][3] == "digit 3" and facts["statistic"] == "distance"
    (text,) = refusals("export", [model, f"--output_dir={place}", "--false_rejection=0.001"])
    assert "needs at least 999 images" in text
