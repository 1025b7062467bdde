#include "kernelhost/cli/cli.h"

#include "kernelhost/cli/http.h"
#include "kernelhost/cli/print.h"
#include "protocol/jupyter/jsontree.h"

int
kh_cmd_image_ls(struct kh_cli *cli, const struct kh_args *args, struct kh_error *err)
{
    AUTO(kh_http) struct kh_http *http = kh_http_new(cli->state);
    AUTO_JSON json_t *answer = NULL;
    struct kh_table table = KH_TABLE_INIT;
    const json_t *images, *image;
    size_t i;
    int r = kh_http_call(http, "GET", "/v1/images", NULL, &answer, err);

    (void)args;
    if (r < 0)
        return r;
    images = json_object_get(answer, "images");
    if (cli->json) {
        kh_print_json(images);
        return KH_EXIT_OK;
    }
    kh_table_head(&table, "NAME");
    json_array_foreach(images, i, image)
        kh_table_add(&table, kh_http_text(image, "name"));
    kh_print_table(&table);
    kh_table_release(&table);
    return KH_EXIT_OK;
}
