"""Progress bars in a terminal, in a notebook and in a pipe."""

import io
import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from system.progress import is_notebook, progress, write_line

ROOT = Path(__file__).parents[1]
COUNT = """
import sys, time
sys.path.insert(0, {root!r})
from system.progress import progress, write_line
for step in progress(range(3), "Counting", unit="step"):
    time.sleep(0.3)
    write_line(f"line {{step}} ends here")
print("done")
"""
MANUAL = """
bar = progress(description="By hand", total=2, initial=1)
bar.update(1)
bar.close()
"""


def run(code):
    """The messages of the kernel and the outputs of a notebook with one cell."""

    class Client(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            messages.append((msg["msg_type"], msg["content"]))
            return super().process_message(msg, cell, cell_index)

    messages, notebook = [], nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    Client(notebook, timeout=60).execute()
    return messages, notebook.cells[0].outputs


def in_terminal(code, columns=100):
    """What a terminal of a width receives from a program: str."""
    pty, termios = (pytest.importorskip(name, reason="Windows has no pseudo-terminals") for name in ("pty", "termios"))
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (30, columns))
    with subprocess.Popen([sys.executable, "-c", code], stdout=terminal, stderr=terminal, close_fds=True):
        os.close(terminal)
        received = b""
        while True:
            try:
                part = os.read(reader, 4096)
            except OSError:  # how Linux says that the program has ended
                break
            if not part:
                break
            received += part
    os.close(reader)
    return received.decode()


@pytest.fixture(scope="module")
def notebook():
    """Messages and outputs of a notebook that shows two bars; read only."""
    return run(COUNT.format(root=str(ROOT)) + MANUAL)


def test_a_notebook_shows_the_bar_and_updates_it_in_place(notebook):
    messages, _ = notebook
    bars = [content["data"]["text/plain"] for kind, content in messages if kind == "display_data"]
    assert [bar.partition(":")[0] for bar in bars] == ["Counting", "By hand"]
    updates = [content["data"].get("text/plain") for kind, content in messages if kind == "update_display_data"]
    assert any("| 2/3" in text for text in updates if text)
    assert updates.count(None) == 2  # each bar disappears at the end


def test_a_finished_notebook_holds_lines_and_no_bar(notebook):
    _, outputs = notebook
    texts = "".join(output.get("text", "") for output in outputs)
    assert texts == "line 0 ends here\nline 1 ends here\nline 2 ends here\ndone\n"
    assert all(output.get("name") != "stderr" for output in outputs)
    assert all(not output.data for output in outputs if output.output_type == "display_data")


def test_an_exception_removes_the_bar_from_a_notebook():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom system.progress import progress\n"
    code += "try:\n    for i in progress(range(3), 'Counting'): 1 / i\nexcept ZeroDivisionError: pass"
    messages, outputs = run(code)
    assert "display_data" in [kind for kind, _ in messages]
    assert [output.data for output in outputs] == [{}]


@pytest.mark.parametrize("columns", [100, 0])  # 0: it does not know its width, as in some containers
def test_a_terminal_shows_the_bar_and_whole_lines(columns):
    received = in_terminal(COUNT.format(root=str(ROOT)), columns)
    assert "Counting:   0%" in received and "| 3/3 [" in received and "step/s" in received
    for step in range(3):
        assert f"\rline {step} ends here\r\n" in received  # from the first column on, and the bar on a line of its own
    assert received.count("100%") >= 1 and "done" in received.splitlines()[-1]


def test_a_pipe_gets_lines_only():
    done = subprocess.run([sys.executable, "-c", COUNT.format(root=str(ROOT))], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout == "line 0 ends here\nline 1 ends here\nline 2 ends here\ndone\n"


@pytest.mark.parametrize(("show", "shown"), [(True, True), (False, False), (None, False)])
def test_a_bar_can_be_shown_and_hidden_everywhere(monkeypatch, show, shown):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(progress([1, 2], "Counting", show=show)) == [1, 2]
    assert ("Counting: 100%" in sys.stderr.getvalue()) == shown


def test_bytes_are_counted_in_larger_units(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bar = progress(description="file", unit="B", total=5_000_000, initial=2_000_000, show=True)
    bar.update(3_000_000)
    bar.close()
    assert "2.00M/5.00M" in sys.stderr.getvalue() and "5.00M/5.00M" in sys.stderr.getvalue()


def test_outside_of_notebooks(capsys):
    assert not is_notebook()
    write_line("a line", sys.stderr)
    write_line("another line")
    assert capsys.readouterr() == ("another line\n", "a line\n")


def test_no_other_module_imports_tqdm():
    """tqdm itself shows no bar in notebooks when it is told to be silent in pipes."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "runs"))]
    modules = [*ROOT.glob("*.py"), *(module for folder in folders for module in folder.rglob("*.py"))]
    users = [path for path in modules if "import tqdm" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT) for path in users if path != Path(__file__)] == [Path("system/progress.py")]
