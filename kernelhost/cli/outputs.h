/* outputs: from the messages of a kernel to the outputs of notebook cells.
 *
 * The rules are nbclient's: streams of one name that follow each other are one
 * output; clear_output clears, or with "wait" when the next output comes; an
 * update_display_data changes every output with its display_id, in whichever
 * cell. The outputs are nbformat 4 objects in the cells' own arrays. Pure.
 */
#ifndef KH_CLI_OUTPUTS_H
#define KH_CLI_OUTPUTS_H

#include <jansson.h>

#include "base/clean.h"

struct kh_outputs;

/* Bytes of messages kept in one notebook: a cell that prints for ever must not
 * take the user's memory. */
#define KH_OUTPUTS_MAX (256u * 1024 * 1024)

/* One for a whole notebook: it knows the display ids of all cells so far. */
struct kh_outputs *kh_outputs_new(void);
void kh_outputs_free(struct kh_outputs *outputs);
KH_DEFINE_CLEANUP(kh_outputs)

/* Begins a code cell: its outputs become empty, its execution_count null. The
 * reference to CELL is borrowed until the next begin. */
void kh_outputs_begin(struct kh_outputs *outputs, json_t *cell);

/* Takes one Jupyter message (SIZE bytes of JSON) of the cell begun last. Kinds
 * that leave nothing in a notebook are ignored, malformed ones too; what goes
 * over KH_OUTPUTS_MAX is left out, and the cell says so. */
void kh_outputs_add(struct kh_outputs *outputs, const json_t *message, size_t size);

/* Ends the cell: only now its last stream is complete in the notebook. */
void kh_outputs_end(struct kh_outputs *outputs);

#endif
