"""What runs on this machine's accelerator, how fast, and how robust a short training gets.

Parts, whose pieces run in worker processes that are started again where one dies or hangs:

- check: every attack, loss, defense and regularizer on a small network, with and without XLA;
- throughput: training steps of preact_resnet18 on 32x32x3, beside the matrix product (4096^3) that
  the device reaches in the same precision. The operations of a step are counted from the layers: a
  pass is two per weight and position of convolutions and dense layers; plain training is 3 passes
  (forward, gradients of activations and of weights), an attack step 2. Nothing else is counted;
- train: softmax and MMC, trained adversarially for `--seconds` each, then audited.

The record, one JSON file, is written anew after every piece. `--tiny` rehearses it all on a CPU.

  PYTHONPATH=. python benchmarks/accelerator.py --data='cifar/*.npz' --output=record.json
"""

import concurrent.futures
import faulthandler
import functools
import glob
import inspect
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

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

import keras_mmc
from keras_mmc import attacks, defenses, losses, regularizers

FLAGS = flags.FLAGS
flags.DEFINE_list("part", ["check", "throughput", "train"], "Parts to run, in this order.")
flags.DEFINE_list("budgets", ["130", "240", "600"], "Seconds after which no piece of these begins.")
flags.DEFINE_string("only", "", "Pattern of the names of the pieces to run, such as 'PGD.*XLA'.")
flags.DEFINE_integer("check_workers", 4, "Processes that share the check part.")
flags.DEFINE_list("data", [], "Files or patterns: npz with x_train, y_train, x_test, y_test.")
flags.DEFINE_string("output", "accelerator.json", "The record.")
flags.DEFINE_string("commit", None, "Commit of the package, for the record.")
flags.DEFINE_bool("tiny", False, "Rehearse: small sizes, every seventh piece but all of train.")
flags.DEFINE_integer("batch_size", 512, "Images per step of throughput.")
flags.DEFINE_float("seconds", 120, "Seconds of training per network, compilation aside.")
flags.DEFINE_string("policy", "mixed_bfloat16", "Precision of the trained networks.")
flags.DEFINE_bool("xla", False, "`jit_compile` of the trained networks.")
flags.DEFINE_integer("train_batch_size", 256, "Images per step of their training.")
flags.DEFINE_integer("attack_steps", 2, "PGD steps of their training; 1 for FGSM-RS.")
flags.DEFINE_float("learning_rate", 0.1, "Peak rate of softmax; MMC takes a tenth of it.")
flags.DEFINE_list("audits", ["quick:1000", "standard:200"], "Suites and numbers of test images.")
flags.DEFINE_list("worker", [], "Set for workers: part, journal, share, shares, end.")

EPS, BALL = 8 / 255, 0.05
BATCH = np.random.default_rng(0).random((8, 10, 10, 1), "float32"), np.arange(8) % 4
PGD, SHORT = attacks.PGD(EPS, steps=10, step_size=2 / 255), attacks.PGD(BALL, steps=2)
# By the name of a parameter, what the check part makes attacks, defenses and regularizers with.
VALUES = {"eps": BALL, "steps": 3, "restarts": 2, "binary_search_steps": 2, "num_targets": 2}
VALUES |= {"queries": 20, "samples": 8, "sigma": 0.1, "num_angles": 3, "replays": 2, "weight": 1.0}
VALUES |= {"temperature": 10.0, "attack": SHORT, "version": (SHORT,)}
VALUES |= {"function": fast_gradient_method, "defense": defenses.AdversarialTraining(SHORT)}
HEADS = dict.fromkeys(("MMCLoss", "ElasticMMCLoss", "MMLDALoss"), "MaxMahalanobisCenters")
HEADS |= dict.fromkeys(("CenterLoss", "LGMLoss"), "LearnedCenters")
FAILED_DEVICE = 75
TINY = {"check_workers": 2, "batch_size": 8, "seconds": 5.0, "train_batch_size": 32}
TINY |= {"audits": ["quick:20", "standard:4"]}
BASES = ("Attack", "AttackDefense", "Defense", "Regularizer", "ScoreLoss")
# A defense, and the passes of one step.
METHODS = {
    "plain": (None, 3),
    "PGD-10": (defenses.AdversarialTraining(PGD, objective="training_loss"), 10 * 2 + 3),
    "FGSM-RS": (defenses.FastAdversarialTraining(EPS), 2 + 3),
    "TRADES-10": (defenses.TRADES(PGD), 1 + 10 * 2 + 2 * 3),
}


def public(module, base):
    """Names and classes of a kind in a module, without the base classes."""
    named = {name: getattr(module, name) for name in module.__all__ if name not in BASES}
    return [(n, c) for n, c in named.items() if isinstance(c, type) and issubclass(c, base)]


def made(cls, **more):
    """An attack, defense or regularizer with `VALUES` for the parameters that it has."""
    names = inspect.signature(cls).parameters
    values = {name: VALUES[name] for name in names if name in VALUES}
    values |= {"substitute": small()} if "substitute" in names else {}
    values |= {"eps": BALL, "norm": np.inf} if "function" in names else {}
    return cls(**values | more)


def small(head=None, classes=4):
    """The network of the check part, with a dense head or the one of that name."""
    dense = keras.layers.Dense(classes, dtype="float32")
    body = [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    body += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(16)]
    head = getattr(keras_mmc, head)(classes) if head else dense
    return keras.Sequential([keras.Input((10, 10, 1)), *body, head])


def compiled(build, policy, defense, loss, xla, regularizer=None, rate=0.01, decay=None):
    """The network that `build()` makes in a dtype policy, ready for `fit`; softmax without loss."""
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    if defense or regularizer:
        model = keras_mmc.AdversarialModel(model, defense, regularizer)
    sgd = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(sgd, loss, metrics=["accuracy"], jit_compile=xla)
    return model


def check_attack(cls, view, **more):
    """The search of an attack, or its training view in a graph or under XLA."""
    model, attack, (x, y) = small(), made(cls, **more), BATCH

    def generate(*args):
        return attack.generate(functools.partial(model, training=False), *args)

    if view == "search":
        found = attack(model, x, y, batch_size=8)
    elif cls.generate is attacks.Attack.generate:
        return "ok: it has no training view"
    else:
        run = tf.function(generate, jit_compile=view == "XLA")
        found = run(tf.constant(x), tf.constant(y, tf.int32), tf.constant([0, 1])).numpy()
    inside = np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    return "ok" if inside and found.shape == x.shape else "the points are outside the box"


def check_step(cls, policy, xla):
    """One batch of `fit` with a loss, a defense or a regularizer."""
    name, loss, head, parts = cls.__name__, None, None, {"defense": None, "regularizer": None}
    if issubclass(cls, keras.losses.Loss):
        loss, head = cls(), HEADS.get(name)
    else:
        kind = "defense" if issubclass(cls, defenses.Defense) else "regularizer"
        parts[kind] = made(cls)
    if name.endswith("AdversarialTraining"):
        loss, head = losses.MMCLoss(), HEADS["MMCLoss"]
    elif name == "DifferentialTraining":
        loss = losses.DifferentialLoss()
    classes = 2 if name == "BinaryTRADES" else 4
    model = compiled(lambda: small(head, classes), policy, loss=loss, xla=xla, **parts)
    value = model.fit(BATCH[0], BATCH[1] % classes, verbose=0).history["loss"][0]
    return "ok" if np.isfinite(value) else f"the loss is {value}"


def check_audit():
    """An audit of the small network."""
    keras_mmc.audit(small(), *BATCH, BALL, "quick", verbose=0)
    return "ok"


def device():
    """What the machine is."""
    gpus = tf.config.list_physical_devices("GPU")
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    versions = {m.__name__: m.__version__ for m in (keras, tf, np, keras_mmc)}
    return versions | {
        "devices": [tf.config.experimental.get_device_details(gpu) for gpu in gpus] or "CPU",
        "driver": subprocess.run(query, capture_output=True, text=True).stdout if gpus else None,
        "build": {key: str(value) for key, value in tf.sysconfig.get_build_info().items()},
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "python": sys.version.split()[0],
        "xla_flags": os.environ.get("XLA_FLAGS"),
    }


def peak(dtype):
    """Tera-operations per second of 20 chained square products, the best of 5 times."""
    size, seconds = 256 if FLAGS.tiny else 4096, []
    factor = tf.cast(tf.random.normal((size, size)) / size**0.5, dtype)
    run = tf.function(lambda a: functools.reduce(lambda c, _: a @ c, range(20), a)[0, 0])
    for _ in range(6):
        began = time.perf_counter()
        run(factor).numpy()
        seconds.append(time.perf_counter() - began)
    return 20 * 2 * size**3 / min(seconds[1:]) / 1e12


def network(**options):
    """The network of throughput and train."""
    if FLAGS.tiny:
        return keras_mmc.models.wide_resnet((32, 32, 3), depth=10, width=1, **options)
    return keras_mmc.models.preact_resnet18((32, 32, 3), **options)


def fit_seconds(model, data, steps, **options):
    """Seconds of `steps` steps of `fit`, until the device has finished them."""
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0, **options)
    model.trainable_variables[-1].numpy()
    return time.perf_counter() - began


def throughput(method, policy, xla):
    """Training images per second, and their share of the peak of the matrix product."""
    (defense, passes), size, rng = METHODS[method], FLAGS.batch_size, np.random.default_rng(0)
    images = rng.random((size, 32, 32, 3), "float32"), rng.integers(0, 10, size)
    data = tf.data.Dataset.from_tensors(images).repeat()
    model = compiled(lambda: network(num_classes=10), policy, defense, None, xla)
    first = fit_seconds(model, data, 2)
    steps = 1 + int((0.3 if FLAGS.tiny else 3) / fit_seconds(model, data, 3) * 3)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    if gpu:
        tf.config.experimental.reset_memory_stats("GPU:0")
    rate = steps * size / fit_seconds(model, data, steps)
    layers = [layer for layer in getattr(model, "model", model).layers if hasattr(layer, "kernel")]
    one_pass = 2 * sum(
        np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1]) for layer in layers
    )
    reached = rate * passes * one_pass / 1e12
    peaks = read(pathlib.Path(FLAGS.worker[1]).with_name("device-0"))
    return {
        "images_per_second": rate,
        "tflops": reached,
        "share_of_peak": reached / peaks[f"peak {policy.removeprefix('mixed_')}"],
        "first_two_steps_seconds": first,
        "timed_steps": steps,
        "peak_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu else None,
    }


@functools.cache
def arrays():
    """x_train, y_train, x_test, y_test; without `--data` bright noise, its class in the mean."""
    if FLAGS.data:
        held = [dict(np.load(file)) for p in FLAGS.data for file in sorted(glob.glob(p))]
        keys = ("x_train", "y_train", "x_test", "y_test")
        return [np.concatenate([part[key] for part in held if key in part]) for key in keys]
    rng, count = np.random.default_rng(0), 2000 if FLAGS.tiny else 50000
    y = rng.integers(0, 10, count, "uint8")
    x = rng.integers(0, 128, (count, 32, 32, 3), "uint8") + 12 * y[:, None, None, None]
    return x, y, x[:1000], y[:1000]


def stream(x, y, size):
    """Endless shuffled batches, cropped at random after padding by 4 and mirrored at random."""
    with tf.device("CPU:0"):
        x, y = tf.constant(x), tf.constant(y.astype("int32"))

    def load(rows):
        images = tf.pad(tf.gather(x, rows), [[0, 0], [4, 4], [4, 4], [0, 0]])
        for axis in (1, 2):
            first = tf.random.uniform((size, 1), 0, 9, tf.int32)
            images = tf.gather(images, first + tf.range(32), axis=axis, batch_dims=1)
        mirrored = tf.random.uniform((size, 1, 1, 1)) < 0.5
        images = tf.where(mirrored, images[:, :, ::-1], images)
        return tf.cast(images, tf.float32) / 255, tf.gather(y, rows)

    rows = tf.data.Dataset.range(len(x)).shuffle(len(x)).repeat().batch(size, drop_remainder=True)
    return rows.map(load, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def train(name):
    """Adversarial training along a cosine that ends when the seconds do."""
    keras.utils.set_random_seed(0)
    x, y, _, _ = arrays()
    mmc, size, steps = name == "MMC", FLAGS.train_batch_size, FLAGS.attack_steps
    top = FLAGS.learning_rate * (0.1 if mmc else 1)
    options = {"head": keras_mmc.MaxMahalanobisCenters(10)} if mmc else {"num_classes": 10}
    attack = attacks.PGD(EPS, steps=steps, step_size=1.25 * EPS / steps)
    model = compiled(
        lambda: network(**options),
        FLAGS.policy,
        defenses.AdversarialTraining(attack, objective="training_loss"),
        losses.MMCLoss() if mmc else None,
        FLAGS.xla,
        rate=top / 20,
        decay=5e-3,  # Keras' does not enter the momentum: ten times the usual 5e-4
    )
    data = stream(x, y, size)
    first, step = fit_seconds(model, data, 2), fit_seconds(model, data, 20) / 20
    total, done = max(2, int(FLAGS.seconds / step)), itertools.count()
    epochs = max(1, round(total * size / len(x)))

    def follow(batch, logs=None):
        part = next(done) / total
        rate = min(part / 0.05, (1 + np.cos(np.pi * min(part, 1))) / 2)
        model.optimizer.learning_rate = top * rate

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=follow)
    seconds = fit_seconds(model, data, total // epochs, epochs=epochs, callbacks=[callback])
    model.model.save(pathlib.Path(FLAGS.worker[1]).with_name(f"{name}.keras"))
    return {
        "train_seconds": seconds,
        "first_two_steps_seconds": first,
        "steps": total,
        "passes_over_the_data": total * size / len(x),
        "images_per_second": total // epochs * epochs * size / seconds,
        "history": model.history.history,
        "settings": {k: FLAGS[k].value for k in ("policy", "train_batch_size", "xla")}
        | {"rate": top, "defense": repr(model.defense)},
    }


def audited(name, suite, count):
    """What `keras_mmc.audit` says of a trained network."""
    _, _, x, y = arrays()
    model = keras.models.load_model(pathlib.Path(FLAGS.worker[1]).with_name(f"{name}.keras"))
    x, y = x[:count].astype("float32") / 255, y[:count].astype("int32")
    options = {"batch_size": min(500, count), "verbose": 0}
    report = keras_mmc.audit(model, x, y, EPS, suite, **options).to_dict()
    keys = ("clean_accuracy", "naive_accuracy", "robust_accuracy", "interval", "rows", "findings")
    return {key: report[key] for key in (*keys, "num_images", "notes")}


def pieces(part):
    """What a part runs, functions by name."""
    bind, named = functools.partial, {}
    if part == "device":
        named = {f"peak {d}": bind(peak, d) for d in ("float32", "bfloat16", "float16")}
        return {"machine": device} | named
    if part == "check":
        named["audit"] = check_audit
        steps = public(losses, keras.losses.Loss) + public(defenses, defenses.Defense)
        steps += public(regularizers, regularizers.Regularizer)
        for view, xla in (("search", None), ("graph", False), ("XLA", True)):
            for name, cls in public(attacks, attacks.Attack):
                named[f"{name}, {view}"] = bind(check_attack, cls, view)
                if name in ("PGD", "APGD", "FAB", "Square"):
                    named[f"{name} l2, {view}"] = bind(check_attack, cls, view, norm="l2")
            policies = [] if xla is None else ["float32", "mixed_float16"]
            for policy, (name, cls) in itertools.product(policies, steps):
                named[f"{name}, {policy}, {view}"] = bind(check_step, cls, policy, xla)
    elif part == "throughput":
        rows = [("graph", "mixed_bfloat16"), ("graph", "float32"), ("XLA", "mixed_bfloat16")]
        rows += [("graph", "mixed_float16"), ("XLA", "float32"), ("XLA", "mixed_float16")]
        for (view, policy), method in itertools.product(rows, METHODS):
            run = bind(throughput, method, policy, view == "XLA")
            named[f"{method}, {policy}, {view}"] = run
    else:
        named |= {f"train {name}": bind(train, name) for name in ("softmax", "MMC")}
        for (suite, count), name in itertools.product(
            (audit.split(":") for audit in FLAGS.audits), ("softmax", "MMC")
        ):
            named[f"{suite} audit of {name}"] = bind(audited, name, suite, int(count))
    named = {name: run for name, run in named.items() if re.search(FLAGS.only, name)}
    every = 7 if FLAGS.tiny and part in ("check", "throughput") else 1
    return dict(itertools.islice(named.items(), 0, None, every))


def read(journal):
    """By the name of a piece what came of it; `None` while it runs."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return dict(map(json.loads, lines))


def write(journal, piece, result):
    """Note that a piece begins, or what came of it."""
    with journal.open("a") as file:
        file.write(json.dumps([piece, result], default=float) + "\n")


def work(part, journal, share, shares, end):
    """Run every `shares`-th piece of a part that the journal does not hold yet."""
    journal, limit = pathlib.Path(journal), 120 + (60 + FLAGS.seconds) * (part == "train")
    faulthandler.enable()
    for name, run in itertools.islice(pieces(part).items(), int(share), None, int(shares)):
        if name in read(journal):
            continue
        if time.time() > float(end):
            write(journal, name, "not run: the seconds of this part were spent")
            continue
        write(journal, name, None)
        faulthandler.dump_traceback_later(limit, exit=True)
        began = time.perf_counter()
        try:
            result = run()
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f"{f.filename}:{f.lineno}" for f in frames if "keras_mmc/" in f.filename]
            result = f"{type(error).__name__}: {str(error)[:300]} {own[-1:]}"
        if isinstance(result, dict):
            result["seconds"] = time.perf_counter() - began
        write(journal, name, result)
        keras.utils.clear_session()
        if "CUDA_ERROR" in str(result):
            os._exit(FAILED_DEVICE)
    faulthandler.cancel_dump_traceback_later()


def supervise(part, journal, *share):
    """Keep a worker at its share until it is done; note the piece in which its process ended."""
    flag = ",".join(map(str, (part, journal, *share)))
    variables = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_CPP_MIN_LOG_LEVEL": "1"} | os.environ
    command = [sys.executable, *sys.argv, f"--worker={flag}"]
    while True:
        done = subprocess.run(command, stderr=subprocess.PIPE, env=variables, text=True)
        if done.returncode == 0:
            return
        running = [name for name, result in read(journal).items() if result is None]
        if running or done.returncode != FAILED_DEVICE:
            cause = re.search(r"(?m)^(F\d{4} |Fatal Python|Timeout)[^$]*", done.stderr)
            text = cause.group()[:600] if cause else done.stderr[-600:]
            name = running[-1] if running else "worker"
            write(journal, name, f"its process ended with {done.returncode}: {text}")
        if not running and done.returncode != FAILED_DEVICE:
            return


def main(argv):
    """Be a worker, or run the parts, write the record and print what came of every piece."""
    del argv
    for name, value in TINY.items() if FLAGS.tiny else ():
        FLAGS[name].value = value
    if FLAGS.worker:
        work(*FLAGS.worker)
        return
    folder, output = pathlib.Path(tempfile.mkdtemp()), pathlib.Path(FLAGS.output)
    budgets = dict(zip(("check", "throughput", "train"), map(float, FLAGS.budgets), strict=True))
    record = {"commit": FLAGS.commit, "flags": sys.argv[1:]}
    for part in ("device", *FLAGS.part):
        began, shares = time.time(), FLAGS.check_workers if part == "check" else 1
        journals = [folder / f"{part}-{share}" for share in range(shares)]
        end = began + budgets.get(part, 120)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = [
                pool.submit(supervise, part, journal, share, shares, end)
                for share, journal in enumerate(journals)
            ]
            while waiting:
                waiting = concurrent.futures.wait(waiting, timeout=1).not_done
                record[part] = {k: v for journal in journals for k, v in read(journal).items()}
                staged = output.with_suffix(".partial")
                staged.write_text(json.dumps(record, indent=1) + "\n")
                staged.replace(output)
        print(f"\n{part}: {len(record[part])} pieces in {time.time() - began:.0f} s", flush=True)
        for name, result in record[part].items():
            if part != "check" or result[:2] != "ok":
                print(f"  {name}: {json.dumps(result)[:400]}", flush=True)


if __name__ == "__main__":
    app.run(main)
