/* logo: the pictures that programs show beside our kernels, as bytes in the
 * program, so that `kernelspec install` needs no file of its own. logo.c is made
 * of the files in logo/ by a rule in kernelhost/local.mk. */
#ifndef KH_CLI_LOGO_H
#define KH_CLI_LOGO_H

#include <stddef.h>

extern const unsigned char kh_logo_32_png[], kh_logo_64_png[], kh_logo_svg[];
extern const size_t kh_logo_32_png_size, kh_logo_64_png_size, kh_logo_svg_size;

#endif
