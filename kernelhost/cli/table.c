#include "kernelhost/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/mem.h"
#include "kernelhost/cli/text.h"

void
kh_table_head(struct kh_table *table, const char *names)
{
    AUTO_FREE char *copy = kh_xstrdup(names);
    char *save = NULL, *name;

    for (name = strtok_r(copy, " ", &save); name && table->columns < KH_TABLE_COLUMNS;
         name = strtok_r(NULL, " ", &save)) {
        table->columns++;
        kh_table_add(table, name);
    }
}

void
kh_table_add(struct kh_table *table, const char *text)
{
    table->cell = kh_xrealloc(table->cell, (table->cells + 1) * sizeof(*table->cell));
    table->cell[table->cells++] = kh_text_safe_copy(text && *text ? text : "-");
}

void
kh_table_print(const struct kh_table *table, struct kh_buf *out)
{
    size_t width[KH_TABLE_COLUMNS] = {0};
    size_t i;

    for (i = 0; i < table->cells; i++) {
        size_t now = kh_text_width(table->cell[i]);

        if (now > width[i % table->columns])
            width[i % table->columns] = now;
    }
    for (i = 0; i < table->cells; i++) {
        size_t pad = width[i % table->columns] - kh_text_width(table->cell[i]);

        kh_buf_addf(out, "%s", table->cell[i]);
        if ((i + 1) % table->columns && i + 1 < table->cells)
            kh_buf_addf(out, "%*s", (int)pad + 2, "");
        else
            kh_buf_add(out, "\n", 1);
    }
}

void
kh_table_release(struct kh_table *table)
{
    size_t i;

    for (i = 0; i < table->cells; i++)
        free(table->cell[i]);
    free(table->cell);
    *table = KH_TABLE_INIT;
}
