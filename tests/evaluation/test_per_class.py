"""Accuracies by class: every figure by hand."""

import dataclasses


def test_classes_by_hand(report_of):
    """Fails if an image counts in another class, or one that was never right counts as broken."""
    report = report_of(
        # A cat that stands, two broken into ships, one into a dog; a dog that gives NaN; a ship
        # misclassified as it is.
        labels=(0, 0, 0, 0, 1, 2),
        predictions=(0, 2, 1, 2, -1, 0),
        broken_by=(None, "pgd", "pgd", "naive", "naive", "clean"),
    )
    cat, dog, ship = report.per_class().rows
    assert (cat.name, cat.count, cat.clean_accuracy, cat.robust_accuracy) == ("cat", 4, 1.0, 0.25)
    assert (cat.broken_into, cat.broken_into_count) == ("ship", 2)
    assert (dog.broken_into, dog.broken_into_count) == ("NaN scores", 1)
    assert (ship.clean_accuracy, ship.broken_into, ship.broken_into_count) == (0.0, None, 0)
    lines = str(report.per_class()).splitlines()
    assert lines[2].split() == ["cat", "4", "100.00", "%", "25.00", "%", "ship", "2"]
    assert lines[4].split() == ["ship", "1", "0.00", "%", "0.00", "%"]
    unnamed = dataclasses.replace(report, class_names=None).per_class()
    assert [row.name for row in unnamed.rows] == ["0", "1", "2"]
    assert unnamed.rows[0].broken_into == "2"


def test_equal_counts_take_the_lowest_class(report_of):
    """Fails if the class that most images become depends on their order."""
    changes = {"labels": (0, 0), "predictions": (2, 1), "broken_by": ("pgd", "pgd")}
    assert report_of(**changes).per_class().rows[0].broken_into == "dog"
