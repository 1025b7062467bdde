/* uuid: random (version 4) identifiers, as kernels and sessions have them. */
#ifndef KH_JUPYTER_UUID_H
#define KH_JUPYTER_UUID_H

#include <stdbool.h>

#define KH_UUID_SIZE 37 /* 8-4-4-4-12 lower-case digits and NUL */

/* A new one from getrandom(2). */
void kh_uuid_make(char ret_uuid[KH_UUID_SIZE]);

/* The text form of 16 bytes as they are. */
void kh_uuid_format(const unsigned char bytes[16], char ret_uuid[KH_UUID_SIZE]);

/* Reads 36 characters and NUL, either case, any version. False otherwise. */
bool kh_uuid_parse(const char *text, unsigned char ret_bytes[16]);

#endif
