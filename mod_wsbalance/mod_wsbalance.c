/* mod_wsbalance.c - the module record, nothing else: AP_DECLARE_MODULE does not work in C++.
 *
 * This file must have this name so that <IfModule mod_wsbalance.c> is true. Everything it names is
 * in httpd/entry_points.cpp. */
#include <httpd.h>

#include <http_config.h>

void* wsbalance_create_dir_config(apr_pool_t* pool, char* path);
void* wsbalance_merge_dir_config(apr_pool_t* pool, void* base, void* add);
void* wsbalance_create_server_config(apr_pool_t* pool, server_rec* server);
void* wsbalance_merge_server_config(apr_pool_t* pool, void* base, void* add);
void wsbalance_register_hooks(apr_pool_t* pool);
extern const command_rec wsbalance_commands[];

/* Hidden visibility would hide the record too, and AP_MODULE_DECLARE_DATA is empty on Unix. */
extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) wsbalance_module;

/* clang-format off */
AP_DECLARE_MODULE(wsbalance) = {
    STANDARD20_MODULE_STUFF,
    wsbalance_create_dir_config,
    wsbalance_merge_dir_config,
    wsbalance_create_server_config,
    wsbalance_merge_server_config,
    wsbalance_commands,
    wsbalance_register_hooks,
    AP_MODULE_FLAG_NONE,
};
