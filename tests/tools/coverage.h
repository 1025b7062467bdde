/* What a coverage build adds to every file: a child that ends without exit() has
 * counted too. */
#include <unistd.h>

void __gcov_dump(void);

static inline void __attribute__((noreturn, unused)) kh_dump_exit(int status)
{
    __gcov_dump();
    _exit(status);
}

#define _exit kh_dump_exit
