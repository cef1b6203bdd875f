"""Published settings by name, as plain dictionaries of the flags of `examples/train.py`.

`*_emr_*` are from Liu & Chan, BMVC 2022, and its released code, `trades_mnist` from Zhang et al.,
ICML 2019, `mmc_at_cifar10` from Pang et al., ICLR 2020, `gce_mnist` from Chen et al., ICCV 2019,
`mart_cifar10` from Wang et al., ICLR 2020.
"""

from typing import Any

Recipe = dict[str, Any]


def _pgd(eps: float, steps: int, step_size: float, **more: Any) -> Recipe:
    return {"attack_eps": eps, "attack_steps": steps, "attack_step_size": step_size} | more


def _sgd(
    learning_rate: float, batch_size: int, epochs: int, drops: list[str], **more: Any
) -> Recipe:
    """SGD with rates that fall tenfold after the epochs of `drops`."""
    rates = {"optimizer": "sgd", "learning_rate": learning_rate, "schedule": "drops"}
    return rates | {"batch_size": batch_size, "epochs": epochs, "drops": drops} | more


def _emr(weight: float, temperature: float) -> Recipe:
    weights = {"regularizer_weight": weight, "regularizer_temperature": temperature}
    return {"regularizer": "emr"} | weights


def _mail(bias: float, slope: float) -> Recipe:
    return {"mail_bias": bias, "mail_slope": slope, "mail_burn_in": 75}


def _cifar10_at(epochs: int, drops: list[str], decay: float, **more: Any) -> Recipe:
    """A wide residual network on the loss at the adversarial examples of PGD-10."""
    network = {"dataset": "cifar10", "model": "wide_resnet", "depth": 34, "loss": "softmax"}
    # As published, momentum 0.9 adds the decay up tenfold; in Keras it does not.
    training = _sgd(0.1, 128, epochs, drops, weight_decay=decay / (1 - 0.9), augment=True)
    return network | training | {"defense": "at"} | _PGD_10 | more


_PGD_10 = _pgd(8 / 255, 10, 2 / 255, attack_objective="training_loss")
RECIPES: dict[str, Recipe] = {
    "mmc_at_cifar10": {"dataset": "cifar10", "model": "resnet_v2", "depth": 29, "loss": "mmc"}
    | {"scale": 10.0, "augment": True, "defense": "at"}
    | _sgd(0.01, 50, 200, ["100", "150"])
    | _PGD_10,
    "trades_mnist": {"dataset": "mnist", "loss": "softmax", "augment": False}
    | {"defense": "trades", "beta": 1.0}
    | _sgd(0.01, 128, 100, ["55", "75", "90"])
    | _pgd(0.3, 40, 0.01),
    "at_emr_cifar10": _cifar10_at(100, ["60", "90"], 5e-4) | _emr(3.0, 40.0),
    "trades_emr_cifar10": _cifar10_at(130, ["60", "120"], 1e-3)
    | {"defense": "trades", "beta": 12.0, "attack_objective": "cross_entropy"}
    | _emr(1.0, 1.0),
    "mail_at_emr_cifar10": _cifar10_at(100, ["75", "90"], 2e-4, defense="mail_at")
    | _mail(-0.07, 30.0)
    | _emr(1.0, 0.1),
    "mail_trades_emr_cifar10": _cifar10_at(100, ["75", "90"], 2e-4, defense="mail_trades")
    | {"beta": 5.0}
    | _mail(0.05, 5.0)
    | _emr(1.0, 0.1),
    "mart_cifar10": _cifar10_at(120, ["75", "90", "100"], 3.5e-3, defense="mart", beta=5.0)
    | {"model": "preact_resnet18", "depth": None, "learning_rate": 0.01},
    "gce_mnist": {"dataset": "mnist", "model": "lenet5", "loss": "gce", "optimizer": "adam"}
    | {"adam_beta_2": 0.99, "learning_rate": 1e-3, "schedule": "constant", "batch_size": 64}
    | {"epochs": 20, "augment": False},
}
