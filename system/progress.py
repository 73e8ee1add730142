"""Progress bars for terminals and notebooks, and lines of text beside them."""

import contextlib
import io
import os
import sys

from tqdm import tqdm

WIDTH = 80  # of a bar in a notebook, characters


def progress(iterable=None, description="", unit="", total=None, leave=True, show=None, initial=0):
    """Return a progress bar: iterate over it, or call its ``update(steps)`` and ``close()``.

    The bar stands on standard error of a terminal, or below the cell of a notebook. It is silent where output goes to a
    file or to another program. ``unit``: name of one step; "B" counts bytes in kB and MB. ``total``: number of steps, where
    ``iterable`` has no length. ``leave``: keep the full bar in the terminal; a notebook's bar always disappears at the end.
    ``show``: True shows the bar everywhere, False nowhere. ``initial``: number of steps that are done already.
    """
    in_notebook = is_notebook()
    if show is None:
        show = in_notebook or sys.stderr.isatty()
    settings = {"desc": description or None, "unit": unit, "unit_scale": unit == "B", "total": total, "initial": initial}
    if in_notebook:
        return _NotebookBar(iterable, disable=not show, **settings)
    return tqdm(iterable, leave=leave, disable=not show, ncols=_width_of_terminal(), **settings)


def write_line(text, file=None):
    """Print a line above the bars of a terminal, or below those of a notebook; ``file``: standard output by default."""
    tqdm.write(text, file=file)


def is_notebook():
    """Return whether this code runs in the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _width_of_terminal():
    """Return a width for terminals that do not know theirs (0 columns), or None: tqdm measures the others."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # standard error is no terminal
        return None if os.get_terminal_size(sys.stderr.fileno()).columns else WIDTH
    return None


class _NotebookBar(tqdm):
    """A bar that is one line of text below the cell and disappears at the end.

    A widget, as tqdm.notebook draws it, would stay in the saved notebook and show nothing when somebody opens it.
    """

    def __init__(self, iterable, **settings):
        self.shown = None
        super().__init__(iterable, **settings | {"leave": False}, file=io.StringIO(), ascii=False, ncols=WIDTH, mininterval=0.2)

    def display(self, msg=None, pos=None):
        from IPython.display import display

        text = str(self) if msg is None else msg
        data = {"text/plain": text} if text else {}  # a viewer draws nothing for an output without data
        if self.shown:
            self.shown.update(data, raw=True)
        elif text:
            self.shown = display(data, raw=True, display_id=True)
        return True
