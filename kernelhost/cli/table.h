/* table: rows of text in aligned columns, as ls and its like print them.
 *
 * Cells are copied and made safe for a terminal (text.h). Embedded by value;
 * KH_TABLE_INIT, and kh_table_release at the end.
 */
#ifndef KH_CLI_TABLE_H
#define KH_CLI_TABLE_H

#include <stddef.h>

#include "base/buf.h"

#define KH_TABLE_COLUMNS 12

struct kh_table {
    size_t columns;
    size_t cells;
    char **cell;
};

#define KH_TABLE_INIT ((struct kh_table){0})

/* Starts the table with its head: upper-case names in one string, separated by
 * spaces. At most KH_TABLE_COLUMNS. */
void kh_table_head(struct kh_table *table, const char *names);

/* Adds the next cell, left to right, row by row. NULL shows as "-". */
void kh_table_add(struct kh_table *table, const char *text);

/* Appends the table to OUT: columns two spaces apart, no spaces at line ends. */
void kh_table_print(const struct kh_table *table, struct kh_buf *out);

void kh_table_release(struct kh_table *table);

#endif
