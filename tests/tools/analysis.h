/* What the Makefile defines on the command line, for checkers that run without it. */
#define KH_PATH "/usr/lib/kernelhost"
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#define VERSION         "0"
#endif
