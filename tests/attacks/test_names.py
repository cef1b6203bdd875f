"""Names of attacks of a list."""

from keras_mmc.attacks import FGSM, PGD, named


def test_a_class_that_comes_twice_is_numbered():
    """Fails if two attacks share a name, or their order is lost."""
    attacks = [PGD(0.1, steps=1), FGSM(0.1), PGD(0.1, steps=2)]
    assert list(named(attacks).items()) == list(
        zip(["pgd-1", "fgsm", "pgd-2"], attacks, strict=True)
    )
    assert named([]) == {}
