"""Drive kelvin's kernel with Jupyter's own client, and convert a notebook; prints what was found as JSON.

    jupyter.py KELVIN

Run in an empty folder, with HOME and JUPYTER_DATA_DIR of its own.
"""

import glob
import json
import os
import subprocess
import sys
import time

import nbformat
import zmq
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

LIMIT = 60


class Notebook:
    """A kernel with a client."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="kelvin")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT)

    def cell(self, code, interrupt_after=None, **options):
        """Runs a cell: its reply, its messages, the seconds it took (after an interrupt: from there)."""
        asked = self.client.execute(code, **options)
        began = time.monotonic()
        if interrupt_after is not None:
            time.sleep(interrupt_after)
            began = time.monotonic()
            self.manager.interrupt_kernel()
        return self.answer(asked, began)

    def answer(self, asked, began):
        messages = []
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            messages.append(message)
        seconds = time.monotonic() - began
        reply = self.client.get_shell_msg(timeout=LIMIT)
        while reply["parent_header"].get("msg_id") != asked:
            reply = self.client.get_shell_msg(timeout=LIMIT)
        return reply["content"], messages, seconds

    def end(self):
        began = time.monotonic()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)
        return time.monotonic() - began


def of_kind(messages, kind):
    return [message["content"] for message in messages if message["msg_type"] == kind]


def text(messages, stream="stdout"):
    return "".join(part["text"] for part in of_kind(messages, "stream") if part["name"] == stream)


def result(messages):
    found = of_kind(messages, "execute_result")
    return found[0]["data"] if found else {}


def drive():
    found = {}
    notebook = Notebook()
    info = notebook.client.kernel_info(reply=True, timeout=LIMIT)["content"]
    found["info"] = [info["implementation"], info["language_info"]["name"], info["language_info"]["file_extension"]]

    _, messages, found["seconds_of_a_sum"] = notebook.cell("1 + 1")
    found["sum"] = result(messages)["text/plain"]
    found["number"] = of_kind(messages, "execute_result")[0]["execution_count"]
    _, messages, _ = notebook.cell('for i in 0..1000 { print(i) }')
    found["lines"] = len(text(messages).splitlines())
    found["stream_messages"] = len(of_kind(messages, "stream"))

    table = 'let t = table(#{ temperature: [1e-3, 2e-3, 4e-3], gap: [0.3, 0.2, 0.1], name: ["<a>", "b", "c"] }); t'
    _, messages, _ = notebook.cell(table)
    found["table"] = result(messages)
    _, messages, _ = notebook.cell('let p = plot(t).x("temperature").y("gap").log_x(); p')
    found["plot_kinds"] = sorted(result(messages))
    found["plot"] = result(messages)["image/svg+xml"][:100]
    _, messages, _ = notebook.cell("p.show(); digits().show(3)")
    found["shown"] = [sorted(shown["data"]) for shown in of_kind(messages, "display_data")]

    reply, messages, _ = notebook.cell("let a = 1;\nfit_gpa(t)")
    found["error"] = [reply["status"], reply["evalue"], "\n".join(of_kind(messages, "error")[0]["traceback"])]
    reply, _, _ = notebook.cell("fn f(x) { x * 2 }\nf(a) + 1")
    found["after_error"] = reply["status"]

    # Cells that wait behind one that fails are not evaluated.
    first = notebook.client.execute("nothing_of_this_name")
    second = notebook.client.execute("let never = 1;")
    notebook.answer(first, time.monotonic())
    reply, _, _ = notebook.answer(second, time.monotonic())
    found["aborted"] = reply["status"]
    found["never"] = notebook.cell("never")[0]["status"]

    began = time.monotonic()
    code = "äöü; sweep(#{ mod"
    completed = notebook.client.complete(code, reply=True, timeout=LIMIT)["content"]
    found["seconds_of_completion"] = time.monotonic() - began
    found["completed"] = [completed["matches"], code[completed["cursor_start"]:completed["cursor_end"]]]
    inspected = notebook.client.inspect("fit_gap(t, ", reply=True, timeout=LIMIT)["content"]
    found["inspected"] = [inspected["found"], inspected["data"].get("text/plain", "")[:300]]
    found["unknown"] = notebook.client.inspect("blarg", reply=True, timeout=LIMIT)["content"]["found"]
    for code in ["sweep(#{", "1 + 1"]:
        asked = notebook.client.is_complete(code)
        reply = notebook.client.get_shell_msg(timeout=LIMIT)
        while reply["parent_header"]["msg_id"] != asked:
            reply = notebook.client.get_shell_msg(timeout=LIMIT)
        found.setdefault("complete", []).append(reply["content"]["status"])
    history = notebook.client.history(hist_access_type="tail", n=2, reply=True, timeout=LIMIT)["content"]["history"]
    found["history"] = [entry[2] for entry in history]

    # An interrupt keeps the variables; one while nothing runs does nothing.
    reply, _, found["seconds_to_stop_a_loop"] = notebook.cell("let kept = 42; loop { kept += 0; }", interrupt_after=0.3)
    found["interrupted"] = [reply["status"], reply["ename"]]
    found["kept"] = result(notebook.cell("kept")[1])["text/plain"]
    notebook.manager.interrupt_kernel()
    time.sleep(0.2)
    found["after_idle_interrupt"] = notebook.cell("kept + 1")[0]["status"]
    train = 'sweep(#{ data: digits(), model: resnet(#{ width: 8 }), lr: 0.1, batch: 32, epochs: 500 }).run("long")'
    reply, _, found["seconds_to_stop_training"] = notebook.cell(train, interrupt_after=3.0)
    found["training_interrupted"] = reply["ename"]
    asked = notebook.client.execute("loop { }")
    time.sleep(0.3)
    began = time.monotonic()
    notebook.client.control_channel.send(notebook.client.session.msg("interrupt_request", content={}))
    reply, _, found["seconds_to_stop_by_message"] = notebook.answer(asked, began)
    found["interrupted_by_message"] = reply["ename"]

    # A sweep shows one line of progress, and its rows are a table.
    sweep = ('let runs = sweep(#{ data: digits().take(200), model: linear(), lr: [0.1, 0.2], batch: 10, epochs: 5 })'
             '.run("results"); runs')
    _, messages, _ = notebook.cell(sweep)
    found["progress"] = [shown["data"]["text/plain"] for shown in of_kind(messages, "display_data")]
    updates = of_kind(messages, "update_display_data")
    found["progress_at_the_end"] = updates[-1]["data"]["text/plain"]
    found["rows"] = result(messages)["text/plain"]
    found["html"] = result(messages)["text/html"].count("<tr>")

    # What a job says while another cell runs stands below the cell that started it.
    job = notebook.client.execute('let job = sweep(#{ data: digits().take(200), model: linear(), lr: 0.3, batch: 10, '
                                  'epochs: 5 }).start("job");')
    notebook.answer(job, time.monotonic())
    waiting = notebook.client.execute("job.wait().len")
    said = ""
    idle = 0
    while "ended after" not in said or idle < 1:
        message = notebook.client.get_iopub_msg(timeout=LIMIT)
        if message["msg_type"] == "stream" and message["parent_header"]["msg_id"] == job:
            said += message["content"]["text"]
        idle += message["parent_header"].get("msg_id") == waiting and message["content"].get("execution_state") == "idle"
    found["job"] = said
    found["time"] = text(notebook.cell(":time 1 + 1")[1], "stderr")
    found["question"] = text(notebook.cell("?fit_gap")[1])[:60]
    # What is not to be stored is not.
    notebook.cell("7")
    notebook.cell("8", store_history=False)
    found["ans"] = result(notebook.cell("ans")[1])["text/plain"]
    search = notebook.client.history(hist_access_type="search", pattern="sweep(*run(*", n=1, unique=False, reply=True,
                                     timeout=LIMIT)["content"]["history"]
    found["searched"] = [entry[2][:11] for entry in search]
    found["exit"] = notebook.cell("exit")[0]["evalue"]
    reply, _, found["seconds_to_stop_sleeping"] = notebook.cell("sleep(30)", interrupt_after=0.3)
    found["sleep_interrupted"] = reply["ename"]

    # A client that reads no more holds nobody up.
    stalled = zmq.Context.instance().socket(zmq.SUB)
    stalled.setsockopt(zmq.SUBSCRIBE, b"")
    stalled.setsockopt(zmq.RCVHWM, 1)
    stalled.connect(notebook.manager._make_url("iopub"))
    time.sleep(0.3)
    asked = notebook.client.execute('for i in 0..3000000 { print("line " + i) }')
    time.sleep(3.0)
    began = time.monotonic()
    notebook.manager.interrupt_kernel()
    reply = notebook.client.get_shell_msg(timeout=LIMIT)
    while reply["parent_header"]["msg_id"] != asked:
        reply = notebook.client.get_shell_msg(timeout=LIMIT)
    found["seconds_to_stop_beside_a_stalled_client"] = time.monotonic() - began
    found["stopped_beside_a_stalled_client"] = reply["content"]["status"]
    stalled.close(0)
    found["seconds_to_end"] = notebook.end()

    # The end comes before what runs and what waits; a job writes its checkpoint first.
    notebook = Notebook()
    notebook.cell('let job = sweep(#{ data: digits(), model: resnet(#{ width: 8 }), lr: 0.1, batch: 8, epochs: 500 })'
                  '.start("kept");')
    notebook.cell('while job.progress.images_per_second == 0.0 { sleep(0.05) }')
    notebook.client.execute("loop { }", stop_on_error=False)
    notebook.client.execute("loop { }", stop_on_error=False)
    time.sleep(0.3)
    found["seconds_to_end_while_it_works"] = notebook.end()
    found["checkpoints"] = len(glob.glob("kept/**/*.safetensors", recursive=True))
    return found


def ask(notebook, kind, content, channel="shell", header=None):
    """What is answered to a request as it is given, field by field."""
    client = notebook.client
    message = client.session.msg(kind, content)
    message["header"].update(header or {})
    parts = client.session.serialize(message)
    wire = client.shell_channel if channel == "shell" else client.control_channel
    wire.socket.send_multipart(parts)
    return parts, reply_to(wire, message["msg_id"])


def reply_to(wire, asked, limit=LIMIT):
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if wire.socket.poll(50):
            _, parts = wire.session.feed_identities(wire.socket.recv_multipart())
            reply = wire.session.deserialize(parts)
            if reply["parent_header"].get("msg_id") == asked:
                return {"kind": reply["msg_type"], **reply["content"]}
    return None


def raw(notebook, kind, content):
    """The same of content that is JSON already, which Python would not write so."""
    session = notebook.client.session
    message = session.msg(kind, {})
    parts = session.serialize(message)[2:5] + [content]
    wire = notebook.client.shell_channel
    wire.socket.send_multipart([b"<IDS|MSG>", session.sign(parts), *parts])
    return reply_to(wire, message["msg_id"])


def odd():
    """Requests that are sent twice, that lack something, or in which something cannot be meant."""
    found = {}
    notebook = Notebook()
    notebook.cell("let n = 0;")
    parts, _ = ask(notebook, "execute_request", {"code": "n += 1;", "silent": False})
    for _ in range(3):
        notebook.client.shell_channel.socket.send_multipart(parts)
    # Nor on another channel, nor as another's.
    notebook.client.control_channel.socket.send_multipart(parts)
    found["replayed"] = result(notebook.cell("n")[1])["text/plain"]
    message = notebook.client.session.msg("kernel_info_request", {})
    twice = notebook.client.session.serialize(message)
    wire = notebook.client.shell_channel
    wire.socket.send_multipart(twice)
    wire.socket.send_multipart(twice)
    found["answered"] = [reply_to(wire, message["msg_id"], limit) is not None for limit in (LIMIT, 1)]

    def history(**content):
        reply = ask(notebook, "history_request", content)[1]
        return [reply["status"], [entry[2] for entry in reply["history"]]]

    found["histories"] = [
        history(hist_access_type="everything"), history(), history(hist_access_type="tail", n=1),
        history(hist_access_type="tail", n=-1)[0], history(hist_access_type="tail", n=10**15)[0],
        history(hist_access_type="range", start=-5, stop=2), history(hist_access_type="range", start=1, stop=None, session=-1)[0],
        history(hist_access_type="search", pattern="n*", unique=True), history(hist_access_type="search", n="x")[0],
    ]
    ends = {}
    for code, positions in {"swe": [-1, 0, 3, 4, 10**12, None, "x"], "😀swe": [1, 4, 5, 6]}.items():
        for position in positions:
            reply = ask(notebook, "complete_request", {"code": code, "cursor_pos": position})[1]
            ends[f"{code} {position}"] = [reply["status"], reply["cursor_start"], reply["cursor_end"], "sweep" in reply["matches"]]
    found["ends"] = ends
    found["no_position"] = ask(notebook, "complete_request", {"code": "swe"})[1]["matches"]
    found["half_a_pair"] = raw(notebook, "complete_request", b'{"code": "\\ud83dswe", "cursor_pos": 4}')["matches"]
    found["half_a_pair_inspected"] = raw(notebook, "inspect_request", b'{"code": "\\ude00", "cursor_pos": 1, "detail_level": -1}')["found"]
    found["inspected_at"] = [
        ask(notebook, "inspect_request", {"code": "fit_gap", "cursor_pos": position})[1]["found"] for position in (-1, 99, None)]
    found["refused"] = {}
    for kind, content in [("execute_request", {"code": 5}), ("complete_request", {}), ("is_complete_request", {"code": None}),
                          ("debug_request", {"type": "request"}), ("no_such_request", {})]:
        reply = ask(notebook, kind, content)[1]
        found["refused"][kind] = [reply["kind"], reply["status"]]
    found["refused"]["control"] = ask(notebook, "execute_request", {"code": "n = 7;"}, channel="control")[1]["status"]
    found["no_user"] = ask(notebook, "kernel_info_request", {}, header={"username": None, "version": 5})[1]["status"]
    found["comms"] = ask(notebook, "comm_info_request", {"target_name": 5})[1]["status"]
    found["still_there"] = result(notebook.cell("n")[1])["text/plain"]
    reply, messages, _ = notebook.cell('print("a\\x1b]0;pwn\\x07b"); throw "c\\x1b]0;pwn\\x07"')
    found["visible"] = [text(messages), reply["evalue"]]
    notebook.end()

    # Without a key whoever reaches the address could run anything.
    connection = json.load(open(notebook.manager.connection_file)) if os.path.exists(notebook.manager.connection_file) else {}
    connection = {"shell_port": 0, "iopub_port": 0, "stdin_port": 0, "control_port": 0, "hb_port": 0, "transport": "tcp",
                  "signature_scheme": "hmac-sha256", **connection, "key": ""}
    found["without_key"] = {}
    for address in ("0.0.0.0", "*", "192.0.2.1", "::", "localhost.example"):
        with open("open.json", "w") as file:
            json.dump({**connection, "ip": address}, file)
        done = subprocess.run([sys.argv[1], "jupyter", "run", "open.json"], capture_output=True, text=True, timeout=LIMIT)
        found["without_key"][address] = [done.returncode, "expected a key, found none" in done.stderr]
    manager = KernelManager(kernel_name="kelvin")
    manager.session.key = b""
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT)
    found["without_key_here"] = client.execute("1", reply=True, timeout=LIMIT)["content"]["status"]
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return found


def batch():
    """What jobs say in a notebook that a program runs, whatever cell runs when they do."""
    sweep = ('sweep(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 10, epochs: 2, seed: SEED }).start("batchSEED");')
    sources = ["let first = " + sweep.replace("SEED", "1"), "first.wait();", "let second = " + sweep.replace("SEED", "2"), "1"]
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "kelvin", "display_name": "kelvin"}})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    client = NotebookClient(notebook, timeout=LIMIT, kernel_name="kelvin")
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            if number == 3:
                # While no cell runs, the second job ends.
                while not glob.glob("batch2/metrics/**/*.parquet", recursive=True):
                    time.sleep(0.02)
                time.sleep(1.0)
            client.execute_cell(cell, number)
    said = ["".join(part.get("text", "") for part in cell.outputs if part.get("name") == "stderr") for cell in notebook.cells]
    return {"said": ["".join(said).count(f"job {job} (batch{job}): ended after") for job in (1, 2)],
            "at_the_latest": "(batch1): ended" in said[0] + said[1] and "(batch2): ended" in said[2] + said[3]}


def convert():
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "kelvin", "display_name": "kelvin"}})
    sources = [
        'let runs = table(#{ temperature: [1e-3, 2e-3, 4e-3], gap: [0.3, 0.2, 0.1] });\nruns',
        'plot(runs).x("temperature").y("gap").log_x()',
        'print("said " + runs.len)',
    ]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    ExecutePreprocessor(timeout=LIMIT, kernel_name="kelvin").preprocess(notebook)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    with open("notebook.html", "w") as file:
        file.write(html)
    return {
        "converted_table": "<th>temperature</th>" in html,
        "converted_plot": "image/svg+xml" in html or "<svg" in html,
        "converted_text": "said 3" in html,
    }


def main():
    installed = subprocess.run([sys.argv[1], "jupyter", "install"], capture_output=True, text=True, check=True)
    specification = os.path.join(os.environ["JUPYTER_DATA_DIR"], "kernels", "kelvin", "kernel.json")
    with open(specification) as file:
        found = {"installed": installed.stdout, "argv": json.load(file)["argv"][1:]}
    found.update(drive())
    found["odd"] = odd()
    found["batch"] = batch()
    found.update(convert())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
