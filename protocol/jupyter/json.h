/* json: JSON as text: checked, searched and written without building a tree.
 *
 * Metadata and contents travel from a sandbox to the clients as the bytes they
 * are. They come from hostile code, so they are checked once, here, by one
 * pass that needs no memory and no recursion, and then put into frames
 * unchanged. The grammar is RFC 8259 in UTF-8 and nothing more: no BOM, no
 * NaN or Infinity, no lone surrogate (escaped or raw), nothing behind the
 * value, which would break or mislead one client or another. Trees (for
 * configuration and HTTP bodies) are in jsontree.h. Pure; owns nothing.
 */
#ifndef KH_JUPYTER_JSON_H
#define KH_JUPYTER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "protocol/link/frame.h"

/* Deeper than any figure or widget, far less deep than what makes a client's
 * recursive parser fail. */
#define KH_JSON_DEPTH 128
/* A longer number makes Python's json raise (its limit is 4300 digits). */
#define KH_JSON_NUMBER_MAX 1024

/* Bits, so that a set of types is a mask. */
enum kh_json_type {
    KH_JSON_NULL = 1,
    KH_JSON_FALSE = 2,
    KH_JSON_TRUE = 4,
    KH_JSON_BOOL = KH_JSON_FALSE | KH_JSON_TRUE,
    KH_JSON_INTEGER = 8, /* without fraction and exponent; any length */
    KH_JSON_REAL = 16,
    KH_JSON_NUMBER = KH_JSON_INTEGER | KH_JSON_REAL,
    KH_JSON_STRING = 32,
    KH_JSON_ARRAY = 64,
    KH_JSON_OBJECT = 128,
    KH_JSON_ANY = 255,
};

/* A value inside a checked text: its exact bytes, quotes or brackets included.
 * type is 0 where there is none. */
struct kh_json_value {
    enum kh_json_type type;
    struct kh_slice text;
};

/* Checks that TEXT is exactly one JSON value with a type in the mask TYPES and
 * space around it at most. Returns 0; -EBADMSG with the offset in the text of
 * the error; -E2BIG for more than KH_JSON_DEPTH levels. *ret_count (may be
 * NULL) is the number of values and member names, which bounds the memory a
 * tree of it takes. */
int kh_json_check(struct kh_slice text, unsigned types, size_t *ret_count,
                  struct kh_error *err);

/* Walks the members of an object, or the elements of an array (name is empty
 * then), checking the text as it goes:
 *
 *     struct kh_json_walk walk = kh_json_walk(text);
 *     while ((r = kh_json_next(&walk, &name, &value, err)) > 0)
 *         ...
 *
 * Returns 1 for a member, 0 when the whole text was read and is right, or
 * -EBADMSG or -E2BIG (and again if asked again). Trust nothing that was seen before the
 * 0. NAME is the raw text between the quotes: compare it only by kh_json_name_is. */
struct kh_json_walk {
    struct kh_slice text;
    size_t at;
    int state;
};
struct kh_json_walk kh_json_walk(struct kh_slice text);
int kh_json_next(struct kh_json_walk *walk, struct kh_slice *ret_name,
                 struct kh_json_value *ret_value, struct kh_error *err);

/* True when a raw name means the ASCII text NAME, escapes resolved: a client
 * takes "d\u0061ta" for "data", so a check must do so too. */
bool kh_json_name_is(struct kh_slice raw, const char *name);

/* Checks that TEXT is an object and looks for COUNT members in one pass; value
 * i is the one called NAMES[i] (type 0: absent). A name that is looked for and
 * occurs twice is refused (-EBADMSG): receivers do not agree on which counts. */
int kh_json_find(struct kh_slice text, const char *const *names, size_t count,
                 struct kh_json_value *ret_values, struct kh_error *err);

/* Decodes a string value into OUT (SIZE bytes, NUL-terminated). Returns its
 * length; -EMSGSIZE when it does not fit; -EBADMSG when it holds a NUL or is
 * no string. */
long kh_json_text(struct kh_json_value value, char *out, size_t size);

/* The value of an integer between MIN and MAX; -ERANGE outside, -EBADMSG when
 * it is no integer. */
int kh_json_integer(struct kh_json_value value, int64_t min, int64_t max,
                    int64_t *ret_integer);

/* Appends TEXT as a JSON string with its quotes. Any bytes are allowed:
 * ill-formed UTF-8 becomes U+FFFD. At most six bytes for each one of TEXT. */
void kh_json_add_string(struct kh_buf *out, struct kh_slice text);

/* Appends formatted JSON. The format is copied but for: %s a C string as a JSON
 * string, %S a const struct kh_slice * as a JSON string, %J a const struct
 * kh_slice * of checked JSON as it is, %b an int as true or false, %d an
 * int, %l an int64_t, %%. */
void kh_json_addf(struct kh_buf *out, const char *format, ...);

#endif
