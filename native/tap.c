// The TAP device: open it, move frames in batches between it and the slabs of src/mem/memory.ts, wake when it is readable.
//
// Descriptors are those of src/mem/frame-batch.ts. Nothing is global: every environment (main thread, each worker) has an
// `instance` with its own taps, and an asynchronous cleanup hook closes whatever is still open when the environment ends.
//
// Invariant: a tap's poll handle is closed before its fd is, and neither is touched afterwards.

#include "tapstack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

// Linux 6.2; older headers lack them.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

// src/mem/frame-batch.ts
enum { HEAD, LENGTH, ADDR1, LEN1, ADDR2, LEN2, STRIDE = 8 };
enum { VNET_LENGTH = 12, MAX_FRAME = VNET_LENGTH + 18 + 65535 };
// src/mem/memory.ts
enum { SLAB_BITS = 24, OFFSET_MASK = (1 << SLAB_BITS) - 1, MAX_SLABS = 127 };
// src/link/link.ts
enum { OFFLOAD_CSUM = 1, OFFLOAD_TSO4 = 2, OFFLOAD_TSO6 = 4, OFFLOAD_TSO_ECN = 8, OFFLOAD_USO = 16 };
// src/link/native.ts
enum { OPEN_EXCLUSIVE = 1, OPEN_MULTI_QUEUE = 2 };

typedef struct instance instance;

typedef struct tap {
  instance *owner;
  int fd;
  uv_poll_t *poll; // NULL until watched; sized by libuv, because one build serves several versions of it
  napi_ref callback;
  napi_async_context context;
  bool referenced;
  uint32_t receive_errors, send_errors;
  int last_error;
} tap;

struct instance {
  napi_env env;
  uv_loop_t *loop;
  tap **taps; // by handle number; NULL where free
  int capacity;
  int closing; // poll handles whose close callback is outstanding
  bool ending;
  bool finalized;
  napi_async_cleanup_hook_handle hook;
};

// One Memory: where its slabs are.
typedef struct space {
  int count;
  struct {
    uint8_t *data;
    size_t length;
    napi_ref ref;
  } slabs[MAX_SLABS];
} space;

// ---------------------------------------------------------------------------------------------------------------------------
// Values

napi_value throw_errno(napi_env env, int error, const char *syscall) {
  char message[128];
  const char *code = uv_err_name(-error);
  snprintf(message, sizeof message, "%s: %s, %s", code, uv_strerror(-error), syscall);
  napi_value code_value, message_value, object;
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &message_value);
  napi_create_error(env, code_value, message_value, &object);
  set_int(env, object, "errno", -error);
  set_string(env, object, "syscall", syscall);
  napi_throw(env, object);
  return NULL;
}

napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

bool get_args(napi_env env, napi_callback_info info, size_t count, napi_value *args) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, args, NULL, NULL) != napi_ok) return false;
  if (given >= count) return true;
  throw_type(env, "too few arguments");
  return false;
}

bool get_int(napi_env env, napi_value value, int32_t *out) {
  if (napi_get_value_int32(env, value, out) == napi_ok) return true;
  throw_type(env, "a number was expected");
  return false;
}

bool get_string(napi_env env, napi_value value, char *out, size_t size) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    throw_type(env, "a string was expected");
    return false;
  }
  if (length >= size) {
    throw_errno(env, ENAMETOOLONG, "open");
    return false;
  }
  napi_get_value_string_utf8(env, value, out, size, &length);
  return true;
}

napi_value make_int(napi_env env, int64_t value) {
  napi_value result;
  napi_create_int64(env, value, &result);
  return result;
}

void set_int(napi_env env, napi_value object, const char *key, int64_t value) {
  napi_set_named_property(env, object, key, make_int(env, value));
}

void set_double(napi_env env, napi_value object, const char *key, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  napi_set_named_property(env, object, key, result);
}

void set_bool(napi_env env, napi_value object, const char *key, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  napi_set_named_property(env, object, key, result);
}

void set_string(napi_env env, napi_value object, const char *key, const char *value) {
  napi_value result;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result);
  napi_set_named_property(env, object, key, result);
}

void export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function);
  napi_set_named_property(env, exports, name, function);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Handles

static instance *instance_of(napi_env env) {
  void *data = NULL;
  napi_get_instance_data(env, &data);
  return data;
}

static tap *get_tap(napi_env env, napi_value value) {
  int32_t handle;
  if (!get_int(env, value, &handle)) return NULL;
  instance *self = instance_of(env);
  if (handle >= 0 && handle < self->capacity && self->taps[handle] != NULL) return self->taps[handle];
  throw_errno(env, EBADF, "tap");
  return NULL;
}

static int add_tap(instance *self, tap *t) {
  for (int i = 0; i < self->capacity; i++) {
    if (self->taps[i] == NULL) {
      self->taps[i] = t;
      return i;
    }
  }
  int capacity = self->capacity == 0 ? 4 : self->capacity * 2;
  tap **grown = realloc(self->taps, (size_t)capacity * sizeof *grown);
  if (grown == NULL) return -1;
  memset(grown + self->capacity, 0, (size_t)(capacity - self->capacity) * sizeof *grown);
  int handle = self->capacity;
  self->taps = grown;
  self->capacity = capacity;
  grown[handle] = t;
  return handle;
}

// The instance goes when the environment has let go of it and no close callback will look at it any more. Removing the hook may
// run the finalizer on the spot, which then frees `self`.
static void maybe_free(instance *self) {
  if (self->closing > 0) return;
  bool finalized = self->finalized;
  if (self->hook != NULL) {
    if (!self->ending) return;
    napi_async_cleanup_hook_handle hook = self->hook;
    self->hook = NULL;
    napi_remove_async_cleanup_hook(hook);
  }
  if (!finalized) return;
  free(self->taps);
  free(self);
}

static void on_poll_closed(uv_handle_t *handle) {
  instance *self = uv_handle_get_data(handle);
  free(handle);
  self->closing--;
  maybe_free(self);
}

static void stop_watching(napi_env env, tap *t) {
  if (t->poll == NULL) return;
  uv_poll_stop(t->poll);
  uv_handle_set_data((uv_handle_t *)t->poll, t->owner);
  t->owner->closing++;
  uv_close((uv_handle_t *)t->poll, on_poll_closed);
  t->poll = NULL;
  napi_async_destroy(env, t->context);
  napi_delete_reference(env, t->callback);
}

static void close_tap(napi_env env, tap *t) {
  stop_watching(env, t);
  close(t->fd);
  free(t);
}

static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  instance *self = data;
  self->ending = true;
  for (int i = 0; i < self->capacity; i++) {
    if (self->taps[i] == NULL) continue;
    close_tap(self->env, self->taps[i]);
    self->taps[i] = NULL;
  }
  maybe_free(self);
}

static void on_instance_finalized(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  instance *self = data;
  self->finalized = true;
  maybe_free(self);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Open and close

// open(name, flags) → handle
static napi_value tap_open(napi_env env, napi_callback_info info) {
  napi_value args[2];
  char name[IFNAMSIZ];
  int32_t flags;
  if (!get_args(env, info, 2, args) || !get_string(env, args[0], name, sizeof name) || !get_int(env, args[1], &flags))
    return NULL;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, errno, "open /dev/net/tun");

  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, name);
  unsigned mode = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (flags & OPEN_EXCLUSIVE) mode |= IFF_TUN_EXCL;
  if (flags & OPEN_MULTI_QUEUE) mode |= IFF_MULTI_QUEUE;
  request.ifr_flags = (short)mode;
  int header = VNET_LENGTH;
  const char *failed = NULL;
  if (ioctl(fd, TUNSETIFF, &request) < 0) failed = "ioctl TUNSETIFF";
  else if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) failed = "ioctl TUNSETVNETHDRSZ";
  if (failed != NULL) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, failed);
  }

  tap *t = calloc(1, sizeof *t);
  int handle = t == NULL ? -1 : add_tap(instance_of(env), t);
  if (handle < 0) {
    free(t);
    close(fd);
    return throw_errno(env, ENOMEM, "open");
  }
  t->owner = instance_of(env);
  t->fd = fd;
  t->referenced = true;
  return make_int(env, handle);
}

// close(handle)
static napi_value tap_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t handle;
  if (!get_args(env, info, 1, args) || !get_int(env, args[0], &handle)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  t->owner->taps[handle] = NULL;
  close_tap(env, t);
  return NULL;
}

// name(handle) → the interface's present name, which may have been changed since
static napi_value tap_name(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  if (!get_args(env, info, 1, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(t->fd, TUNGETIFF, &request) < 0) return throw_errno(env, errno, "ioctl TUNGETIFF");
  napi_create_string_utf8(env, request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ), &result);
  return result;
}

// setOffload(handle, wanted) → what the kernel will hand over from now on, OFFLOAD_* bits. Older kernels know fewer: fall back step by step.
static napi_value tap_set_offload(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t wanted;
  if (!get_args(env, info, 2, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL || !get_int(env, args[1], &wanted)) return NULL;
  static const int fallback[] = {~0, ~OFFLOAD_USO, ~(OFFLOAD_USO | OFFLOAD_TSO_ECN),
                                 ~(OFFLOAD_USO | OFFLOAD_TSO_ECN | OFFLOAD_TSO6), OFFLOAD_CSUM, 0};
  for (size_t i = 0; i < sizeof fallback / sizeof *fallback; i++) {
    int bits = wanted & fallback[i];
    unsigned long features = 0;
    if (bits & OFFLOAD_CSUM) features |= TUN_F_CSUM;
    if (bits & OFFLOAD_TSO4) features |= TUN_F_TSO4;
    if (bits & OFFLOAD_TSO6) features |= TUN_F_TSO6;
    if (bits & OFFLOAD_TSO_ECN) features |= TUN_F_TSO_ECN;
    if (bits & OFFLOAD_USO) features |= TUN_F_USO4 | TUN_F_USO6;
    if (ioctl(t->fd, TUNSETOFFLOAD, features) == 0) return make_int(env, bits);
    if (errno != EINVAL) break;
  }
  return throw_errno(env, errno, "ioctl TUNSETOFFLOAD");
}

// ---------------------------------------------------------------------------------------------------------------------------
// Slabs

static void free_space(napi_env env, void *data, void *hint) {
  (void)hint;
  space *s = data;
  for (int i = 0; i < s->count; i++) napi_delete_reference(env, s->slabs[i].ref);
  free(s);
}

// createSpace() → external
static napi_value create_space(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  space *s = calloc(1, sizeof *s);
  if (s == NULL) return throw_errno(env, ENOMEM, "createSpace");
  napi_create_external(env, s, free_space, NULL, &result);
  return result;
}

// addSlab(space, buffer: ArrayBuffer): slabs are numbered in the order they are added
static napi_value add_slab(napi_env env, napi_callback_info info) {
  napi_value args[2];
  void *data;
  size_t length;
  if (!get_args(env, info, 2, args)) return NULL;
  if (napi_get_value_external(env, args[0], &data) != napi_ok) return throw_type(env, "a space was expected");
  space *s = data;
  if (napi_get_arraybuffer_info(env, args[1], &data, &length) != napi_ok) return throw_type(env, "an ArrayBuffer was expected");
  if (s->count == MAX_SLABS || length > OFFSET_MASK + 1) return throw_errno(env, ENOSPC, "addSlab");
  s->slabs[s->count].data = data;
  s->slabs[s->count].length = length;
  if (napi_create_reference(env, args[1], 1, &s->slabs[s->count].ref) != napi_ok) return throw_errno(env, ENOMEM, "addSlab");
  s->count++;
  return NULL;
}

// The bytes [address, address + length), or NULL when they are not all inside one slab.
static uint8_t *locate(const space *s, int32_t address, int64_t length) {
  uint32_t slab = (uint32_t)address >> SLAB_BITS;
  uint32_t offset = (uint32_t)address & OFFSET_MASK;
  if (slab >= (uint32_t)s->count || length < 0 || offset + (uint64_t)length > s->slabs[slab].length) return NULL;
  return s->slabs[slab].data + offset;
}

static int32_t *get_descriptors(napi_env env, napi_value value, size_t count) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_int32_array) {
    throw_type(env, "descriptors must be an Int32Array");
    return NULL;
  }
  if (length < count * STRIDE) {
    throw_errno(env, EFAULT, "descriptors");
    return NULL;
  }
  return data;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Batches

// receive(handle, space, desc, region, regionLength, capacity) → frames, or a negative errno when not even one could be read.
// Frames are laid out one behind the other, the Ethernet header at 4n + 2; a read starts only where the largest frame would fit.
static napi_value tap_receive(napi_env env, napi_callback_info info) {
  napi_value args[6];
  void *data;
  int32_t region, region_length, capacity;
  if (!get_args(env, info, 6, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  if (napi_get_value_external(env, args[1], &data) != napi_ok) return throw_type(env, "a space was expected");
  const space *s = data;
  if (!get_int(env, args[3], &region) || !get_int(env, args[4], &region_length) || !get_int(env, args[5], &capacity)) return NULL;
  int32_t *desc = get_descriptors(env, args[2], capacity < 0 ? 0 : (size_t)capacity);
  if (desc == NULL) return NULL;
  uint8_t *base = locate(s, region, region_length);
  if (base == NULL) return throw_errno(env, EFAULT, "receive");

  int count = 0;
  int32_t fill = 0;
  int error = 0;
  while (count < capacity) {
    int32_t head = ((fill + VNET_LENGTH + 5) & ~3) - 2;
    if (head - VNET_LENGTH + MAX_FRAME > region_length) break;
    ssize_t n = read(t->fd, base + head - VNET_LENGTH, MAX_FRAME);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) error = errno;
      break;
    }
    if (n < VNET_LENGTH) {
      t->receive_errors++;
      break;
    }
    int32_t *d = desc + (size_t)count++ * STRIDE;
    d[HEAD] = region + head;
    d[LENGTH] = (int32_t)n - VNET_LENGTH;
    d[LEN1] = 0;
    d[LEN2] = 0;
    fill = head + d[LENGTH];
  }
  if (error != 0) {
    t->receive_errors++;
    t->last_error = error;
    if (count == 0) count = -error;
  }
  return make_int(env, count);
}

// send(handle, space, desc, count) → frames taken, in order. A frame the kernel refuses for its own sake (malformed, interface down) is taken and
// counted as an error: keeping it would block everything behind it. Only a full device ends the batch early.
static napi_value tap_send(napi_env env, napi_callback_info info) {
  napi_value args[4];
  void *data;
  int32_t count;
  if (!get_args(env, info, 4, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  if (napi_get_value_external(env, args[1], &data) != napi_ok) return throw_type(env, "a space was expected");
  const space *s = data;
  if (!get_int(env, args[3], &count)) return NULL;
  const int32_t *desc = get_descriptors(env, args[2], count < 0 ? 0 : (size_t)count);
  if (desc == NULL) return NULL;

  int sent = 0;
  while (sent < count) {
    const int32_t *d = desc + (size_t)sent * STRIDE;
    struct iovec parts[3];
    int n = 1;
    parts[0].iov_base = locate(s, d[HEAD] - VNET_LENGTH, (int64_t)d[LENGTH] + VNET_LENGTH);
    parts[0].iov_len = (size_t)d[LENGTH] + VNET_LENGTH;
    bool valid = parts[0].iov_base != NULL && d[LENGTH] >= 0;
    for (int at = ADDR1; at <= ADDR2; at += 2) {
      if (d[at + 1] == 0) continue;
      parts[n].iov_base = locate(s, d[at], d[at + 1]);
      parts[n].iov_len = (size_t)d[at + 1];
      valid = valid && parts[n++].iov_base != NULL;
    }
    if (!valid) return throw_errno(env, EFAULT, "send");
    ssize_t written = n == 1 ? write(t->fd, parts[0].iov_base, parts[0].iov_len) : writev(t->fd, parts, n);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) break;
      t->send_errors++;
      t->last_error = errno;
    }
    sent++;
  }
  return make_int(env, sent);
}

// errors(handle) → { receive, send, last }
static napi_value tap_errors(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  if (!get_args(env, info, 1, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  napi_create_object(env, &result);
  set_int(env, result, "receive", t->receive_errors);
  set_int(env, result, "send", t->send_errors);
  set_int(env, result, "last", -t->last_error);
  return result;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Waking up

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)events;
  tap *t = uv_handle_get_data((uv_handle_t *)poll);
  napi_env env = t->owner->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value receiver, callback, argument = make_int(env, status);
  napi_get_global(env, &receiver);
  napi_get_reference_value(env, t->callback, &callback);
  // The callback may close the tap: `t` is not touched behind it.
  if (napi_make_callback(env, t->context, receiver, callback, 1, &argument, NULL) == napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

// watch(handle, callback(status)): called while there is something to read; a negative status says that the device is gone and watching has ended
static napi_value tap_watch(napi_env env, napi_callback_info info) {
  napi_value args[2];
  napi_valuetype type;
  if (!get_args(env, info, 2, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  if (napi_typeof(env, args[1], &type) != napi_ok || type != napi_function) return throw_type(env, "watch needs a function");
  stop_watching(env, t);

  uv_poll_t *poll = malloc(uv_handle_size(UV_POLL));
  if (poll == NULL) return throw_errno(env, ENOMEM, "watch");
  int status = uv_poll_init(t->owner->loop, poll, t->fd);
  if (status < 0) {
    free(poll);
    return throw_errno(env, -status, "uv_poll_init");
  }
  napi_value label;
  napi_create_string_utf8(env, "tapstack:tap", NAPI_AUTO_LENGTH, &label);
  napi_async_init(env, NULL, label, &t->context);
  napi_create_reference(env, args[1], 1, &t->callback);
  t->poll = poll;
  uv_handle_set_data((uv_handle_t *)poll, t);
  if (!t->referenced) uv_unref((uv_handle_t *)poll);
  status = uv_poll_start(poll, UV_READABLE, on_poll);
  if (status < 0) {
    stop_watching(env, t);
    return throw_errno(env, -status, "uv_poll_start");
  }
  return NULL;
}

static napi_value tap_unwatch(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!get_args(env, info, 1, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t != NULL) stop_watching(env, t);
  return NULL;
}

// setRef(handle, boolean): whether a watched tap keeps the event loop alive
static napi_value tap_set_ref(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool on;
  if (!get_args(env, info, 2, args)) return NULL;
  tap *t = get_tap(env, args[0]);
  if (t == NULL) return NULL;
  if (napi_get_value_bool(env, args[1], &on) != napi_ok) return throw_type(env, "setRef needs a boolean");
  t->referenced = on;
  if (t->poll != NULL && on) uv_ref((uv_handle_t *)t->poll);
  if (t->poll != NULL && !on) uv_unref((uv_handle_t *)t->poll);
  return NULL;
}

NAPI_MODULE_INIT() {
  instance *self = calloc(1, sizeof *self);
  if (self == NULL) return throw_errno(env, ENOMEM, "init");
  self->env = env;
  if (napi_get_uv_event_loop(env, &self->loop) != napi_ok ||
      napi_set_instance_data(env, self, on_instance_finalized, NULL) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, self, &self->hook) != napi_ok)
    return throw_errno(env, EINVAL, "init");

  export_function(env, exports, "open", tap_open);
  export_function(env, exports, "close", tap_close);
  export_function(env, exports, "name", tap_name);
  export_function(env, exports, "setOffload", tap_set_offload);
  export_function(env, exports, "createSpace", create_space);
  export_function(env, exports, "addSlab", add_slab);
  export_function(env, exports, "receive", tap_receive);
  export_function(env, exports, "send", tap_send);
  export_function(env, exports, "errors", tap_errors);
  export_function(env, exports, "watch", tap_watch);
  export_function(env, exports, "unwatch", tap_unwatch);
  export_function(env, exports, "setRef", tap_set_ref);
  export_host(env, exports);
  return exports;
}
