"""Which attacks a suite runs, and in which order."""

from keras_mmc.attacks import PGD, Attack, AutoAttack, MultiTargeted, NearestWrongCenter

SUITES = ("quick", "standard", "adaptive")
NAIVE = "naive pgd (cross-entropy)"


def suite_attacks(suite: str, eps: float, norm: str, box, num_classes: int):
    """The attacks of a suite by name, the naive control first, and what a report must say of them.

    Args:
        suite: `"quick"`, `"standard"` (AutoAttack) or `"adaptive"` (AutoAttack, then the attacks
            made against centre losses).
        eps: radius of the ball, in input units.
        norm: `"linf"` or `"l2"`.
        box: `(low, high)`, where images live.
        num_classes: number of classes K.

    Returns:
        Dict from name to attack, and a tuple of notes.

    Raises:
        ValueError: for an unknown suite.
    """
    ball = {"eps": eps, "norm": norm, "box": box}
    attacks: dict[str, Attack] = {NAIVE: PGD(**ball, steps=20, objective="cross_entropy")}
    if suite == "quick":
        attacks["pgd-50 (margin) x 5"] = PGD(**ball, steps=50, restarts=5)
        attacks["nearest wrong centre"] = _nearest_wrong(ball, steps=100)
        return attacks, ()
    if suite not in SUITES:
        raise ValueError(f"`suite` must be one of {list(SUITES)}; received {suite!r}.")
    strong, notes = AutoAttack(**ball).attacks(num_classes)
    attacks |= strong
    if suite == "adaptive":
        attacks["nearest wrong centre"] = _nearest_wrong(ball, steps=600)
        attacks["multi-targeted pgd (margin)"] = MultiTargeted(**ball, steps=50)
    return attacks, notes


def _nearest_wrong(ball, steps):
    """The critics' step of 0.5/255 for eps = 8/255, in proportion for other balls."""
    return NearestWrongCenter(**ball, steps=steps, step_size=ball["eps"] / 16)
