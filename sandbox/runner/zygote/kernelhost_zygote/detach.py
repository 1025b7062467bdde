"""detach: file mappings of this process made anonymous.

A child lives in the sandbox's mount namespace, and what it has mapped must not
lead to the zygote's mounts: CRIU could not dump it, and the zygote's root could
never go. One copy, before the first fork, is shared by all children.
"""

_HUGE = 2 << 20
_PROTECTION = {"r": 1, "w": 2, "x": 4}


def mappings(text):
    """The lines of /proc/self/maps that belong to files: (start, size, protection,
    path, whether it is shared and writable)."""
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/"):
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        flags = fields[1]
        protection = sum(_PROTECTION.get(flag, 0) for flag in flags)
        shared = "s" in flags and "w" in flags
        yield start, end - start, protection, fields[5], shared


def joined(found):
    """(start, size, protection) of mappings, neighbours that may do the same as one:
    each that there is costs every fork."""
    runs = []
    for start, size, protection, *_ in found:
        if runs and runs[-1][2] == protection and sum(runs[-1][:2]) == start:
            runs[-1] = (runs[-1][0], runs[-1][1] + size, protection)
        else:
            runs.append((start, size, protection))
    return runs


def collapse_all(native):
    """Puts anonymous memory into huge pages: a fork then copies 512 entries of the
    page table at once. What a child writes to is split for it, not for others. Where
    the kernel cannot, nothing changes."""
    with open("/proc/self/maps") as file:
        lines = file.read().splitlines()
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) > 5 and fields[5] != "[heap]" or fields[1][:3] == "---":
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        start = -(-start // _HUGE) * _HUGE
        for at in range(start, end - _HUGE + 1, _HUGE):
            native.collapse(at, _HUGE)


def detach_all(native):
    """Detaches every one. Returns the paths of what was mapped. Raises OSError,
    also for a mapping that others could write to."""
    with open("/proc/self/maps") as file:
        found = list(mappings(file.read()))
    for _, _, _, path, shared in found:
        if shared:
            raise OSError(f"'{path}' is mapped shared and writable")
    for start, size, protection in joined(found):
        native.detach(start, size, protection)
    with open("/proc/self/maps") as file:
        left = [path for _, _, _, path, _ in mappings(file.read())]
    if left:
        raise OSError(f"'{left[0]}' is still mapped")
    return {path for _, _, _, path, _ in found}
