"""The Python runner: IPython's InteractiveShell behind protocol/link/runner.h.

It runs inside a sandbox as the user's interpreter, so everything in this
process belongs to the user's code as much as to us; nothing here is a
security boundary. Map of the package:

    frame       the bytes of one frame
    link        the socket to init, the markers in both pipes, what may be sent
    interrupt   what SIGINT means at which moment
    origin      which request a thread, task or callback belongs to
    stream      sys.stdout and sys.stderr
    packing     Python objects to JSON that is always valid
    display     display hook and display publisher
    shell       the InteractiveShell and its magics
    app         IPython's application (profile, startup files) and `kernel`
    execute     execute_request
    requests    the other requests, and the table of them all
    runner      start, inbox thread, main loop, end
"""

__version__ = "0.1.0"
