"""Row S1: every number, native, as x32 and as i386 by int 0x80, in a child each.
Arguments are all ones, or what makes a call that looks at them go through."""

import ctypes
import mmap

from inside import address, call, run, say

SPECIAL = {
    # nr: arguments; of the rest the first six are -1
    24: (), 34: (), 41: (1, 1, 0), 53: (1, 1, 0, address(bytes(8))), 56: (0, 0, 0, 0),
    57: (), 58: (), 61: (-1, 0, 1, 0), 133: (0, 0, 0), 135: (0xFFFFFFFF,),
    259: (-100, 0, 0, 0), 317: (255, 0, 0),
}

# int 0x80 with the number in edi: mov eax, edi; xor ebx..edx; int 0x80; ret
_code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
_code.write(bytes.fromhex("5389f831db31c931d2cd805bc3"))
i386 = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_int)(
    ctypes.addressof(ctypes.c_char.from_buffer(_code))
)


def old(number):
    """No errno: the kernel's own -errno comes back. Reached is reached."""
    return str(i386(number))


kinds = {
    "native": lambda nr: call(nr, *SPECIAL.get(nr, (-1,) * 6)),
    "x32": lambda nr: call(0x40000000 | nr, *(0,) * 6),
    "i386": old,
}
for kind, function in kinds.items():
    for nr in range(512):
        attempted, result = run(lambda f=function, n=nr: f(n), seconds=0.3)
        say("S1", f"{kind} {nr}", result, attempted)
attempted, result = run(lambda: call(0xFFFFFFFF, 0))
say("S1", "number -1", result, attempted)
