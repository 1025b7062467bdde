/* hook: how kernelhostd takes part in a restore by CRIU.
 *
 * CRIU runs kernelhost-hook at each stage. At two of them the hook says so, with the
 * process id of the sandbox's first process as CRIU sees it, over CRIU's descriptor
 * KH_HOOK_FD (SOCK_SEQPACKET), and waits for one byte: 'G' to go on; anything else,
 * and the end of the stream, ends the restore.
 */
#ifndef KH_HOST_HOOK_H
#define KH_HOST_HOOK_H

#include <stdint.h>

#define KH_HOOK_FD 3

enum kh_hook_stage {
    KH_HOOK_NAMESPACES = 1, /* the namespaces are there, no file is open yet */
    KH_HOOK_READY = 2,      /* all is restored, and stands still */
};

struct kh_hook_message {
    uint32_t stage;
    int32_t pid;
};

#endif
