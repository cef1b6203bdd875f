"""`keras-mmc centers`: the file holds what the report says, and what was asked for."""

import numpy as np
import pytest

from keras_mmc import centers


def test_what_is_written_is_what_was_measured(run_script, tmp_path):
    """Fails if a flag of the centers is lost, or the report is of others than those written."""
    hierarchical = centers.hierarchical_centers(centers.cifar100_tree(), 128, 2.0)
    cases = [
        (["--num_classes=4", "--dim=6"], centers.max_mahalanobis_centers(4, 6)),
        (
            ["--kind=random", "--num_classes=5", "--dim=7", "--scale=3", "--seed=2"],
            centers.random_centers(5, 7, 3.0, 2),
        ),
        (["--kind=hierarchical", "--dim=128", "--scale=2"], hierarchical),
    ]
    for suffix, (flags, expected) in zip((".npy", ".mat", ".npy"), cases, strict=True):
        path = tmp_path / f"centers{suffix}"
        done = run_script("centers", *flags, f"--output={path}")
        assert done.returncode == 0, done.stderr[-3000:]
        written = centers.load_centers(path)
        np.testing.assert_allclose(written, expected, atol=1e-12)
        assert str(centers.gram_report(written)) in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--kind=optimal needs --num_classes"),
        (["--kind=hierarchical", "--num_classes=10"], "the 100 classes of CIFAR-100"),
        (["--num_classes=3", "--scale=-1"], "must be a positive finite number"),
    ],
)
def test_what_makes_no_centers_is_refused(flags, words, run_script, tmp_path):
    """Fails if a mistake writes a file, or is not told in words."""
    done = run_script("centers", *flags, f"--output={tmp_path / 'centers.npy'}")
    assert done.returncode == 2 and words in done.stderr
    assert not list(tmp_path.iterdir())
