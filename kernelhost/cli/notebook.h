/* notebook: a file in nbformat 4, read, checked and written.
 *
 * What we do not understand stays as it is, in its place; what we write looks
 * like nbformat's own writing (one space a level, texts as lists of lines), so
 * that a notebook under version control shows only what changed.
 */
#ifndef KH_CLI_NOTEBOOK_H
#define KH_CLI_NOTEBOOK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"

#define KH_NOTEBOOK_MAX (256u * 1024 * 1024) /* bytes of a file */

/* Reads a file ("-": standard input). Follows symbolic links. The caller frees
 * *ret_data. Also used for plain source files. */
int kh_notebook_read_file(const char *path, char **ret_data, size_t *ret_size,
                          struct kh_error *err);

/* Parses and checks SIZE bytes: nbformat 4, and every cell as far as running it
 * needs. -EBADMSG names the cell and the fault. NAME is for the text. */
int kh_notebook_parse(const char *name, const char *data, size_t size,
                      json_t **ret_notebook, struct kh_error *err);

/* The language its metadata names, or "python". Valid as long as NOTEBOOK. */
const char *kh_notebook_language(const json_t *notebook);

/* The code of a cell in one piece, into an empty buffer. */
void kh_notebook_source(const json_t *cell, struct kh_buf *out);

bool kh_notebook_is_code(const json_t *cell);

/* True when the cell's metadata has the tag. */
bool kh_notebook_has_tag(const json_t *cell, const char *tag);

/* Appends the notebook as the text of a file. Splits texts into lines in place. */
void kh_notebook_format(json_t *notebook, struct kh_buf *out);

/* Writes it to PATH so that the old or the new is there after a crash; the mode
 * of an existing file and a symbolic link are kept. "-": standard output. */
int kh_notebook_write(json_t *notebook, const char *path, struct kh_error *err);

#endif
