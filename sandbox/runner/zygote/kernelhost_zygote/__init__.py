"""kernelhost_zygote: a warm Python that becomes the runner of many sandboxes.

Started by kernelhostd once an image, confined, without network, and never in a
sandbox. It imports what the image's sandboxes want to find imported, builds the
shell, runs one cell, and then only forks: each child joins a sandbox, gives up
what it has, and is its runner. Standard library and the image's packages only.

    zygote    the course of the parent, and what a child does first
    preload   the imports, the shell, the warm-up cell, the state to fork from
    native    join.so, through ctypes
    detach    file mappings made anonymous
    immortal  objects that children do not count
    claim     the child waits for a kernel to be; whether it may serve it
"""
