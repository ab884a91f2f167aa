"""The documentation site: pages of the repository as HTML, with tutorials that are run.

The source folder is the repository itself, so that a link from one file to another means the same
there and here. `nox -s docs` builds the site in every language, without the network.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pocketcnn

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pocketcnn"
author = "The pocketcnn developers"
project_copyright = author
release = version = pocketcnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "cpp_headers",
    "docstrings",
    "executed_pages",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "benchmarks/results/*.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
# Translations: catalogues, and pages that stand in the place of the English one.
exclude_patterns = ["docs/locale", "docs/_*", "docs/*.ko.md", "docs/*.ja.md"]

# Links lead to headings, as in the repository.
myst_heading_anchors = 4

# Tutorials run once, in an empty folder; all languages take the results from the same place.
executed_pages = {
    "docs/first-network": ["python"],
    "docs/from-scratch": ["python"],
    "docs/own-pictures": ["python", "sh"],
    "docs/look-inside": ["python"],
    "docs/fine-tuning": ["python"],
    "docs/in-and-out": ["python"],
    "docs/distributed": ["python"],
    "docs/how-it-works": ["python"],
    "docs/tour": ["python"],
}
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parents[1] / "build" / "site-work" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

# Docstrings are NumPy's; classes show what they do, not what they inherit.
autodoc_default_options = {"members": True, "inherited-members": False}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# Many layers have an attribute of the same name.
suppress_warnings = ["ref.python"]
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False

# Catalogues of sphinx-intl. A test looks for the class in tutorials, which are translated whole.
locale_dirs = ["docs/locale"]
gettext_compact = False
translation_progress_classes = "untranslated"

html_theme = "furo"
html_title = "pocketcnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_context = {"languages": [("en", "English"), ("ko", "한국어"), ("ja", "日本語")]}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/languages.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_copy_source = False
html_show_sphinx = False
