#!/usr/bin/env python3
"""jupyter_kernel_test, the conformance tests of the Jupyter project, on our
kernelspec, with every section that the kernel is said to answer."""

import unittest

import jupyter_kernel_test as jkt

import notebooks
from host import Host
from tap import done, note, ok


class Conformance(jkt.KernelTests):
    kernel_name = "kernelhost"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_generate_error = "raise ValueError('on purpose')"
    code_page_something = "print?"
    code_inspect_sample = "print"
    code_clear_output = (
        "from IPython.display import clear_output; clear_output(wait=True)"
    )
    code_execute_result = [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "'a' * 3", "result": "'aaa'"},
    ]
    code_display_data = [
        {
            "code": (
                "from IPython.display import HTML, display; display(HTML('<b>t</b>'))"
            ),
            "mime": "text/html",
        },
        {
            "code": "from IPython.display import Math, display; display(Math('a^2'))",
            "mime": "text/latex",
        },
        {
            "code": (
                "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
            ),
            "mime": "image/png",
        },
    ]
    completion_samples = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "'a'.isal", "matches": {"isalnum", "isalpha"}},
    ]
    complete_code_samples = ["1", "print('hello')", "def f(x):\n  return x*2\n\n\n"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples = ["import = 7q", "def f(:"]
    # Not "range": IPython calls the session that goes on 0 there (ipykernel fails).
    supported_history_operations = ("tail", "search")
    code_history_pattern = "1?2*"


class Welcome(jkt.IopubWelcomeTests):
    kernel_name = "kernelhost"
    support_iopub_welcome = True


class Report(unittest.TestResult):
    """A TAP line a test. A skip is a section without a sample: a failure."""

    def addSuccess(self, test):
        ok(True, test.id())

    def addError(self, test, err):
        ok(False, test.id())
        note(self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(subtest, err)

    def addSkip(self, test, reason):
        ok(reason == "History range not supported", f"{test.id()}: skipped: {reason}")


def main():
    with Host() as host:
        notebooks.install_kernelspec(host)
        report = Report()
        load = unittest.defaultTestLoader.loadTestsFromTestCase
        unittest.TestSuite([load(Conformance), load(Welcome)]).run(report)
        ok(report.testsRun >= 13, f"{report.testsRun} tests of jupyter_kernel_test ran")
        ok(host.cli("ls", "-q").stdout == "", "their sandboxes are gone")
    done()


main()
