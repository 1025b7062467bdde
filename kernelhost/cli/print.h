/* print: the small forms in which commands show data. */
#ifndef KH_CLI_PRINT_H
#define KH_CLI_PRINT_H

#include <jansson.h>

#include "kernelhost/cli/table.h"

/* The value as indented JSON with a newline, on standard output. */
void kh_print_json(const json_t *value);

/* The table, or PLAIN text, on standard output. */
void kh_print_table(const struct kh_table *table);
void kh_print_line(const char *text);

#define KH_TIME_TEXT 32

/* An API time ("2026-11-23T14:18:45.000000Z") in the user's own zone:
 * "2026-11-23 15:18"; "-" when it is none. */
char *kh_print_time(const char *text, char out[static KH_TIME_TEXT]);

#endif
