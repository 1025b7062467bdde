#!/usr/bin/env python3
"""nbclient executes notebooks in our sandboxes and, with ipykernel, in a sandbox of
the same image: every cell has the same outputs."""

import copy

import notebooks
from host import Host
from tap import check, done, equal, note, ok


def compare(ours, theirs, name):
    """One check a code cell."""
    pairs = zip(notebooks.code_cells(ours), notebooks.code_cells(theirs), strict=True)
    for number, (our, their) in enumerate(pairs, 1):
        lines = notebooks.difference(our, their)
        if not ok(not lines, f"{name}: code cell {number} has ipykernel's outputs"):
            note(our["source"])
            note("\n".join(lines))


def mime_types(notebook):
    return {
        mime
        for cell in notebooks.code_cells(notebook)
        for output in cell["outputs"] for mime in output.get("data", {})
    }


def damaged(cell):
    """Copies of an executed cell, each with one thing wrong: (what, copy)."""
    for at, output in enumerate(cell["outputs"]):
        for what, harm in (
            ("an output is missing", lambda outputs, at: outputs.pop(at)),
            ("an output came twice", lambda outputs, at: outputs.append(outputs[at])),
        ):
            other = copy.deepcopy(cell)
            harm(other["outputs"], at)
            yield what, other
        for key in sorted(output.get("data", {})):
            other = copy.deepcopy(cell)
            del other["outputs"][at]["data"][key]
            yield f"{key} is missing", other
        if output["output_type"] == "stream":
            other = copy.deepcopy(cell)
            other["outputs"][at]["text"] += "x"
            yield "a stream has one more character", other
        if output["output_type"] == "error":
            other = copy.deepcopy(cell)
            other["outputs"][at]["traceback"].pop()
            yield "a line of a traceback is missing", other
    other = copy.deepcopy(cell)
    other["execution_count"] = (cell["execution_count"] or 0) + 1
    yield "the execution count is another", other


def comparison_can_fail(notebook, name):
    """Every single change of an output is noticed; a new address or time is not."""
    unnoticed, tried = [], 0
    for cell in notebooks.code_cells(notebook):
        for what, other in damaged(cell):
            tried += 1
            if not notebooks.difference(other, cell):
                unnoticed.append((what, cell["source"]))
    equal(unnoticed, [], f"{name}: each of {tried} changes would be noticed")


def main():
    with Host() as host:
        notebooks.install_kernelspec(host)
        host.cli("create", "peer", "--image", "peer")
        for path in [notebooks.TOUR, *notebooks.OURS]:
            with check(f"{path.name}: both execute it"):
                ours = notebooks.by_us(path)
                theirs = notebooks.by_ipykernel(host, "peer", path)
            compare(ours, theirs, path.name)
            comparison_can_fail(ours, path.name)
            found = mime_types(ours)
            for file, want in (
                ("tables.ipynb", {"text/html", "text/plain"}),
                ("figures.ipynb", {"image/png", "image/svg+xml", "text/plain"}),
            ):
                if path.name == file:
                    ok(want <= found, f"{file} shows {', '.join(sorted(want))}")
        equal(host.cli("ls", "-q").stdout, "peer\n",
              "the sandboxes of the kernelspec are gone")
    text = "<object at 0x7f12345678>"
    same = {"execution_count": 1, "outputs": [
        {"output_type": "stream", "name": "stdout", "text": text}]}
    other = copy.deepcopy(same)
    other["outputs"][0]["text"] = "<object at 0x7fabcdef12>"
    equal(notebooks.difference(same, other), [], "another address is no difference")
    done()


main()
