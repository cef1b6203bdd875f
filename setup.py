"""Metadata and dependencies of keras_mmc; settings of the tools are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "keras_mmc/_version.py").read_text(encoding="utf-8")
)[1]


def description():
    """The README without links into the repository and pictures, which lead nowhere elsewhere."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https://)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https://)[^)]*\)", r"\1", text)


DATASETS = [
    # tensorflow-datasets imports importlib_resources without requiring it.
    "importlib_resources",
    "scikit-learn>=1.4",
    "tensorflow-datasets>=4.9.4",
]
PLOTS = ["matplotlib>=3.8", "tensorboard>=2.18"]
SERVE = [
    "anyio>=4.4",
    "pillow>=10.3",
    "prometheus-client>=0.20",
    "starlette>=0.40",
    "uvicorn>=0.30",
]

setup(
    name="keras_mmc",
    version=VERSION,
    description="Max-Mahalanobis center loss and relatives, adversarial training and honest "
    "robustness audits for Keras 3",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="The keras_mmc authors",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["keras_mmc", "keras_mmc.*"]),
    package_data={
        "keras_mmc": ["py.typed"],
        "keras_mmc.commands": ["templates/*"],
        "keras_mmc.experiments": ["page.html"],
        "keras_mmc.plotting": ["templates/*"],
        "keras_mmc.serving.http": ["static/*"],
    },
    entry_points={"console_scripts": ["keras-mmc = keras_mmc.commands.line:main"]},
    # What the losses, heads, defenses, attacks and audits import. cleverhans brings matplotlib,
    # which they do without.
    install_requires=[
        "absl-py>=1.4",
        "cleverhans>=4.0.0",
        "filelock>=3.16",
        "jinja2>=3.1",
        "keras>=3.10",
        "markupsafe>=2.0",
        "numpy>=1.26",
        "scipy>=1.11",
        "tensorflow>=2.18",
        "threadpoolctl>=3.1",
    ],
    extras_require={
        # Known data sets by name, digits among them; arrays and folders of images need none of it.
        "datasets": DATASETS,
        # Pictures of curves and features, and logs for TensorBoard.
        "plots": PLOTS,
        "test": [
            *DATASETS,
            *PLOTS,
            *SERVE,
            "httpx2>=2.0",
            "hypothesis>=6.100",
            "import-linter>=2.6",
            "mypy>=1.15",
            "pytest>=8.0",
            "pytest-xdist>=3.5",
            "ruff>=0.8",
            "selenium>=4.20",
        ],
        "dev": ["pre-commit>=4.0"],
        # The other Keras backends, to test that the core runs on them.
        "backends": ["jax>=0.4.30", "torch>=2.2"],
        # Its classifiers are audited with their preprocessors.
        "kerashub": ["keras-hub>=0.18"],
        # Other runtimes that trained classifiers are exported to.
        "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.16"],
        "litert": ["ai-edge-litert>=1.2"],
        "openvino": ["openvino>=2024.6"],
        # Audits on several processes or machines, `evaluation.ray_workers`.
        "ray": ["ray>=2.40"],
        # `keras-mmc serve`.
        "serve": SERVE,
        # `make docs`, which builds the site.
        "docs": [
            *DATASETS,
            *PLOTS,
            "myst-parser>=4.0",
            "pydata-sphinx-theme>=0.16",
            "sphinx>=8.1",
            "sphinx-gallery>=0.18",
        ],
        # What benchmarks/ compares with; the releases are those that were measured.
        "benchmarks": [
            *DATASETS,
            "adversarial-robustness-toolbox==1.20.1",
            "foolbox==3.3.4",
            "torch>=2.2",
            "torchattacks==3.5.1",
        ],
    },
    keywords="keras tensorflow robustness adversarial-training adversarial-examples "
    "max-mahalanobis image-classification",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Security",
        "Typing :: Typed",
    ],
)
