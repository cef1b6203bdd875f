"""Exported classifiers behind HTTP, with a page; needs the extra `serve`."""
