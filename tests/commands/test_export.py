"""`keras-mmc export`: what it writes is served by TensorFlow alone."""

import subprocess
import sys


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
