"""Settings of Sphinx, which builds the site from the documents in this folder: `make docs`.

Pages stay readable as plain files: what only the site needs, as the table of contents and links
into the reference, site_pages.py adds while Sphinx reads them.
"""

import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # the same figures on every machine

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
VERSION = (HERE.parent / "keras_mmc" / "_version.py").read_text(encoding="utf-8")

project = "keras_mmc"
author = copyright = "the authors of keras_mmc"
release = version = re.search(r'__version__ = "(.+)"', VERSION)[1]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "results/records"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!keras_mmc).*"),  # other libraries
    ("py:class", r"keras_mmc\.attacks\.(result\.Asked|penalty\.Evaluation)"),  # no public names
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

add_module_names = False
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "math",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "min_reported_time": 60,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "keras_mmc"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "glossary": [], "guides/quick_start": []}


def setup(app):
    """Let site_pages.py add to the pages what only the site needs."""
    import site_pages

    site_pages.connect(app)
