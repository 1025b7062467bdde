#!/usr/bin/env python3
"""ipywidgets and tqdm: nbclient executes them in our kernels and in ipykernel, and
what it saves of outputs and widgets is the same; a client moves a slider."""

import json
import re

import nbformat
from nbclient import NotebookClient

import notebooks
from host import Host
from talk import Talk
from tap import check, done, equal, note, ok

# Now and then nbclient waits so long for a reply, of either kernel, and then has it.
TIMEOUT = 20

CELLS = [
    "import ipywidgets as w\nslider = w.IntSlider(value=3, max=9, description='n')\n"
    "slider",
    "@w.interact(x=(0, 10))\ndef square(x=4):\n    print('x is', x)\n    return x * x",
    "import sys\nfrom IPython.display import HTML, clear_output\nout = w.Output()\n"
    "print('before')\n"
    "with out:\n    print('captured'); display(HTML('<b>shown</b>'))\n"
    "    print('an error', file=sys.stderr)\nprint('outside')\nout",
    "[each['output_type'] for each in out.outputs]",
    "with out:\n    1 / 0\nprint('goes on')",
    "@out.capture(clear_output=True, wait=True)\ndef again():\n    print('again')\n"
    "again()",
    "out.outputs",
    "inner, outer = w.Output(), w.Output()\nwith outer:\n    print('1')\n"
    "    with inner:\n        print('2')\n    print('3')\ndisplay(outer, inner)",
    "import matplotlib.pyplot as plt\nplot = w.Output()\nwith plot:\n"
    "    plt.plot([1, 2]); plt.show()\nplot",
    "picture = w.Image(value=bytes(range(256)), format='png')\n"
    "w.VBox([picture, w.HBox([w.Button(description='go')])])",
    "label = w.Label()\nlink = w.jslink((slider, 'value'), (label, 'value'))\n"
    "slider.value = 7\nslider.close()",
    "from tqdm.notebook import tqdm\nfor _ in tqdm(range(5), desc='bar'): pass",
    "import tqdm.auto\ntqdm.auto.tqdm.__module__, tqdm.auto.tqdm.__name__",
]


def notebook():
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(cell, id=f"cell{i}")
            for i, cell in enumerate(CELLS)
        ]
    )


def saved(done):
    return done["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]


def whole(value, models, within=()):
    """The value with the state of a widget in place of its id, which is another in
    every run, and without rates."""
    if isinstance(value, dict):
        return {key: whole(item, models, within) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item, models, within) for item in value]
    if isinstance(value, str):
        ident = value.removeprefix("IPY_MODEL_")
        if ident in within:
            return f"the {len(within) - within.index(ident)}. above"
        if ident in models:
            return whole(models[ident], models, (*within, ident))
        value = re.sub(r"\[\d\d:\d\d&lt;.*?\]", "[TIME]", value)
    return notebooks.same(value)


def compared(host):
    path = host.state.parent / "widgets.ipynb"
    nbformat.write(notebook(), path)
    ours = notebook()
    NotebookClient(
        ours, kernel_name="kernelhost", allow_errors=True, timeout=TIMEOUT
    ).execute()
    theirs = notebooks.by_ipykernel(host, "peer", path, TIMEOUT)
    states = [saved(one)["state"] for one in (ours, theirs)]
    for number, pair in enumerate(zip(ours.cells, theirs.cells, strict=True)):
        cells = [
            one | {"outputs": whole(one["outputs"], models)}
            for one, models in zip(pair, states, strict=True)
        ]
        lines = notebooks.difference(*cells)
        if not ok(not lines, f"cell {number} has ipykernel's outputs and widgets"):
            note(CELLS[number])
            note("\n".join(lines))
    found = [
        sorted(json.dumps(whole(ident, models), sort_keys=True) for ident in models)
        for models in states
    ]
    equal(*found, f"{len(found[0])} widgets are saved as of ipykernel")
    return ours


def models(done, name):
    return [one for one in saved(done)["state"].values() if one["model_name"] == name]


def looked_at(done):
    """What the comparison would not see if both were wrong."""
    view = done.cells[0]["outputs"][0]["data"][
        "application/vnd.jupyter.widget-view+json"
    ]
    ok(view["model_id"] in saved(done)["state"], "the slider that is shown is saved")
    outputs = [
        [each.get("text") or each["output_type"] for each in one["state"]["outputs"]]
        for one in models(done, "OutputModel")
    ]
    ok(
        ["x is 4\n", "execute_result"] in outputs
        or ["x is 4\n", "display_data"] in outputs,
        "interact's first call is in its Output",
    )
    ok(["again\n"] in outputs, "an Output that was cleared has the rest")
    ok(["1\n3\n"] in outputs and ["2\n"] in outputs, "Outputs within each other")
    equal(
        notebooks.outputs(done.cells[2])[0]["text"],
        "before\noutside\n",
        "only what is printed outside is the cell's",
    )
    equal(
        done.cells[3]["outputs"][0]["data"]["text/plain"],
        "['stream', 'display_data', 'stream']",
        "the kernel hears what was captured",
    )
    equal(
        [each["output_type"] for each in done.cells[4]["outputs"]],
        ["stream"],
        "an error inside is captured, and the cell goes on",
    )
    equal(
        [one["encoding"] for one in models(done, "ImageModel")[0]["buffers"]],
        ["base64"],
        "bytes travel as a buffer",
    )
    equal(
        [one["state"]["value"] for one in models(done, "FloatProgressModel")],
        [5.0],
        "tqdm's bar has come to its end",
    )
    ok(
        "'tqdm.auto'" in done.cells[-1]["outputs"][0]["data"]["text/plain"],
        "tqdm.auto knows that it is in a notebook",
    )


def moved(host):
    """A client moves the slider of interact."""
    talk = Talk(host.client("peer"))
    cell = talk.execute(f"{CELLS[0]}\n{CELLS[1]}")
    opened = {
        m["content"]["comm_id"]: m["content"]["data"]["state"]
        for m in cell.messages
        if m["msg_type"] == "comm_open"
    }
    sliders = [
        ident
        for ident, state in opened.items()
        if state["_model_name"] == "IntSliderModel"
    ]
    output = [
        ident
        for ident, state in opened.items()
        if state["_model_name"] == "OutputModel"
    ]
    move = talk.request(
        "comm_msg",
        {
            "comm_id": sliders[-1],
            "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []},
        },
    )
    talk.until(lambda: move.idle)
    said = []
    for message in move.messages:
        content = message["content"]
        if message["msg_type"] == "comm_msg" and content["comm_id"] == output[0]:
            said.append(content["data"]["state"].get("msg_id"))
        elif message["msg_type"] in ("stream", "display_data", "clear_output"):
            said.append(content.get("text", message["msg_type"]))
    equal(
        [each for each in said if each],
        [move.id, "clear_output", "x is 7\n", "display_data"],
        "its function runs, and its output goes to the Output widget",
    )
    equal(said[-1], "", "which is then left")
    cell = talk.execute("slider.value = 5")
    update = cell.contents("comm_msg")
    equal(
        [(m["comm_id"], m["data"]["state"]) for m in update],
        [(sliders[0], {"value": 5})],
        "the kernel moves its own",
    )
    talk.close()


def main():
    with Host() as host:
        notebooks.install_kernelspec(host, "--image", "peer")
        host.cli("create", "peer", "--image", "peer")
        with check("both execute the notebook"):
            executed = compared(host)
            looked_at(executed)
        with check("a client moves a slider"):
            moved(host)
    done()


main()
