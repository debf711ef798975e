// What the two halves of the addon share. It knows no protocol: it moves frames and configures interfaces.

#ifndef TAPSTACK_H
#define TAPSTACK_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

// Throw an Error with code, errno (negative, as in Node) and syscall. Returns NULL, so that callers can `return throw_errno(…)`.
napi_value throw_errno(napi_env env, int error, const char *syscall);
napi_value throw_type(napi_env env, const char *message);

// Fetch exactly `count` arguments; false with an exception pending when there are fewer.
bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value *args);
bool get_int(napi_env env, napi_value value, int32_t *out);
bool get_string(napi_env env, napi_value value, char *out, size_t size);

napi_value make_int(napi_env env, int64_t value);
void set_int(napi_env env, napi_value object, const char *key, int64_t value);
void set_double(napi_env env, napi_value object, const char *key, double value);
void set_bool(napi_env env, napi_value object, const char *key, bool value);
void set_string(napi_env env, napi_value object, const char *key, const char *value);

void export_function(napi_env env, napi_value exports, const char *name, napi_callback callback);
void export_host(napi_env env, napi_value exports);

#endif
