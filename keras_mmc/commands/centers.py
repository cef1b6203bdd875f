"""Write class centers to a file, and say how far apart they lie.

  keras-mmc centers --num_classes=10 --dim=256 --output=centers.npy
  keras-mmc centers --num_classes=100 --dim=64 --scale=1 --output=centers.mat    # K > d + 1
  keras-mmc centers --kind=hierarchical --dim=256 --output=cifar100.npy

Classes that fit, num_classes <= dim + 1, get the centers of Max-Mahalanobis, a regular simplex; for
more of them the best placement is searched for. `keras-mmc train --centers=FILE` trains with them.
"""

from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "kind",
    "optimal",
    ["optimal", "random", "hierarchical"],
    "optimal: as far apart as possible; random: in random directions; hierarchical: the 100 "
    "classes of CIFAR-100 by superclass.",
)
flags.DEFINE_integer("num_classes", None, "Number of classes; hierarchical has 100.")
flags.DEFINE_integer("dim", 256, "Number of features.")
flags.DEFINE_float("scale", 10.0, "Norm of the centers (C_MM).")
flags.DEFINE_integer("seed", 0, "Seed of what is random, or searched for.")
flags.DEFINE_string("output", None, "A .npy or .mat file; an older one is replaced.", required=True)


def main() -> None:
    """Make, write and measure."""
    from keras_mmc import centers  # imports SciPy, which --help does not need

    if FLAGS.kind == "hierarchical":
        tree = centers.cifar100_tree()
        classes = sum(map(len, tree.values()))
        if FLAGS.num_classes not in (None, classes):
            raise ValueError(
                f"--kind=hierarchical makes centers of the {classes} classes of CIFAR-100; "
                f"received --num_classes={FLAGS.num_classes}. Leave it out."
            )
        made = centers.hierarchical_centers(tree, FLAGS.dim, FLAGS.scale)
    elif FLAGS.num_classes is None:
        raise ValueError(f"--kind={FLAGS.kind} needs --num_classes, such as --num_classes=10.")
    else:
        random = FLAGS.kind == "random"
        make = centers.random_centers if random else centers.max_mahalanobis_centers
        made = make(FLAGS.num_classes, FLAGS.dim, FLAGS.scale, FLAGS.seed)
    centers.save_centers(FLAGS.output, made)
    print(f"{centers.gram_report(made)}\nSaved to {FLAGS.output}")
