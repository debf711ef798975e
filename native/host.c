// The host's side: interfaces by ioctl, addresses and routes by rtnetlink, the state of the system clock by adjtimex.
//
// Everything acts in the network namespace of the calling thread. IPv4 addresses cross as int32 in network order, MACs as numbers.

#include "tapstack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

unsigned int if_nametoindex(const char *name); // <net/if.h> clashes with <linux/if.h>

// ---------------------------------------------------------------------------------------------------------------------------
// Interfaces

// One ioctl on interface `request->ifr_name`: 0, or an errno.
static int interface_ioctl(unsigned long command, struct ifreq *request) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = ioctl(fd, command, request) < 0 ? errno : 0;
  close(fd);
  return error;
}

static bool get_request(napi_env env, napi_value name, struct ifreq *request) {
  memset(request, 0, sizeof *request);
  return get_string(env, name, request->ifr_name, sizeof request->ifr_name);
}

// getInterface(name) → { index, mac, mtu, up, running, txQueueLength }, or null when there is none of that name
static napi_value get_interface(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  struct ifreq request;
  if (!get_args(env, info, 1, args) || !get_request(env, args[0], &request)) return NULL;
  int error = interface_ioctl(SIOCGIFINDEX, &request);
  if (error == ENODEV) {
    napi_get_null(env, &result);
    return result;
  }
  if (error != 0) return throw_errno(env, error, "ioctl SIOCGIFINDEX");
  napi_create_object(env, &result);
  set_int(env, result, "index", request.ifr_ifindex);
  if ((error = interface_ioctl(SIOCGIFHWADDR, &request)) != 0) return throw_errno(env, error, "ioctl SIOCGIFHWADDR");
  int64_t mac = 0;
  for (int i = 0; i < 6; i++) mac = mac << 8 | (uint8_t)request.ifr_hwaddr.sa_data[i];
  set_int(env, result, "mac", mac);
  if ((error = interface_ioctl(SIOCGIFMTU, &request)) != 0) return throw_errno(env, error, "ioctl SIOCGIFMTU");
  set_int(env, result, "mtu", request.ifr_mtu);
  if ((error = interface_ioctl(SIOCGIFFLAGS, &request)) != 0) return throw_errno(env, error, "ioctl SIOCGIFFLAGS");
  set_bool(env, result, "up", (request.ifr_flags & IFF_UP) != 0);
  set_bool(env, result, "running", (request.ifr_flags & IFF_RUNNING) != 0);
  if ((error = interface_ioctl(SIOCGIFTXQLEN, &request)) != 0) return throw_errno(env, error, "ioctl SIOCGIFTXQLEN");
  set_int(env, result, "txQueueLength", request.ifr_qlen);
  return result;
}

// setMac(name, mac)
static napi_value set_mac(napi_env env, napi_callback_info info) {
  napi_value args[2];
  struct ifreq request;
  int64_t mac;
  if (!get_args(env, info, 2, args) || !get_request(env, args[0], &request)) return NULL;
  if (napi_get_value_int64(env, args[1], &mac) != napi_ok) return throw_type(env, "a number was expected");
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (int i = 0; i < 6; i++) request.ifr_hwaddr.sa_data[i] = (char)(mac >> (40 - 8 * i));
  int error = interface_ioctl(SIOCSIFHWADDR, &request);
  return error == 0 ? NULL : throw_errno(env, error, "ioctl SIOCSIFHWADDR");
}

// setMtu(name, mtu)
static napi_value set_mtu(napi_env env, napi_callback_info info) {
  napi_value args[2];
  struct ifreq request;
  int32_t mtu;
  if (!get_args(env, info, 2, args) || !get_request(env, args[0], &request) || !get_int(env, args[1], &mtu)) return NULL;
  request.ifr_mtu = mtu;
  int error = interface_ioctl(SIOCSIFMTU, &request);
  return error == 0 ? NULL : throw_errno(env, error, "ioctl SIOCSIFMTU");
}

// setTxQueueLength(name, frames)
static napi_value set_tx_queue_length(napi_env env, napi_callback_info info) {
  napi_value args[2];
  struct ifreq request;
  int32_t length;
  if (!get_args(env, info, 2, args) || !get_request(env, args[0], &request) || !get_int(env, args[1], &length)) return NULL;
  request.ifr_qlen = length;
  int error = interface_ioctl(SIOCSIFTXQLEN, &request);
  return error == 0 ? NULL : throw_errno(env, error, "ioctl SIOCSIFTXQLEN");
}

// setUp(name, boolean)
static napi_value set_up(napi_env env, napi_callback_info info) {
  napi_value args[2];
  struct ifreq request;
  bool up;
  if (!get_args(env, info, 2, args) || !get_request(env, args[0], &request)) return NULL;
  if (napi_get_value_bool(env, args[1], &up) != napi_ok) return throw_type(env, "setUp needs a boolean");
  int error = interface_ioctl(SIOCGIFFLAGS, &request);
  if (error != 0) return throw_errno(env, error, "ioctl SIOCGIFFLAGS");
  if (up) request.ifr_flags |= IFF_UP;
  else request.ifr_flags &= ~IFF_UP;
  error = interface_ioctl(SIOCSIFFLAGS, &request);
  return error == 0 ? NULL : throw_errno(env, error, "ioctl SIOCSIFFLAGS");
}

// ---------------------------------------------------------------------------------------------------------------------------
// rtnetlink

typedef void (*on_message)(struct nlmsghdr *message, void *context);

// Send one request and read its answer, a dump or an acknowledgement: 0, or an errno.
static int netlink(struct nlmsghdr *request, on_message each, void *context) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return errno;
  struct timeval limit = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  request->nlmsg_flags |= NLM_F_REQUEST;
  request->nlmsg_seq = 1;
  int error = -1; // not answered yet
  if (send(fd, request, request->nlmsg_len, 0) < 0) error = errno;
  union {
    struct nlmsghdr header; // for its alignment
    char bytes[32768];
  } buffer;
  while (error < 0) {
    ssize_t n = recv(fd, &buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      error = n < 0 ? errno : EIO;
      break;
    }
    unsigned left = (unsigned)n;
    for (struct nlmsghdr *m = &buffer.header; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE) error = 0;
      else if (m->nlmsg_type == NLMSG_ERROR) error = -((struct nlmsgerr *)NLMSG_DATA(m))->error;
      else if (each != NULL) each(m, context);
    }
  }
  close(fd);
  return error;
}

typedef struct list {
  napi_env env;
  napi_value array;
  uint32_t count;
} list;

static int32_t attribute_int(const struct rtattr *attribute) {
  uint32_t value = 0;
  memcpy(&value, RTA_DATA(attribute), sizeof value);
  return (int32_t)value;
}

static void name_of(uint32_t index, char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_ifindex = (int)index;
  strcpy(name, interface_ioctl(SIOCGIFNAME, &request) == 0 ? request.ifr_name : "");
}

static void append(list *to, napi_value item) { napi_set_element(to->env, to->array, to->count++, item); }

typedef struct address {
  uint32_t index;
  int32_t local;
  int prefix;
  char label[IFNAMSIZ];
} address;

static bool parse_address(struct nlmsghdr *m, address *out) {
  struct ifaddrmsg *message = NLMSG_DATA(m);
  if (m->nlmsg_type != RTM_NEWADDR || message->ifa_family != AF_INET) return false;
  bool local = false;
  unsigned left = IFA_PAYLOAD(m);
  for (struct rtattr *a = IFA_RTA(message); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    // On a point-to-point interface IFA_ADDRESS is the peer's, IFA_LOCAL ours.
    if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !local)) out->local = attribute_int(a);
    if (a->rta_type == IFA_LOCAL) local = true;
  }
  out->index = message->ifa_index;
  out->prefix = message->ifa_prefixlen;
  return true;
}

static void collect_address(struct nlmsghdr *m, void *context) {
  list *to = context;
  address found = {0};
  if (!parse_address(m, &found)) return;
  char name[IFNAMSIZ];
  name_of(found.index, name);
  napi_value item;
  napi_create_object(to->env, &item);
  set_string(to->env, item, "interface", name);
  set_int(to->env, item, "address", (int32_t)ntohl((uint32_t)found.local));
  set_int(to->env, item, "prefix", found.prefix);
  append(to, item);
}

typedef struct {
  struct nlmsghdr header;
  struct ifaddrmsg message;
  char attributes[64];
} address_request;

static int dump_addresses(on_message each, void *context) {
  address_request request = {0};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message);
  request.header.nlmsg_type = RTM_GETADDR;
  request.header.nlmsg_flags = NLM_F_DUMP;
  request.message.ifa_family = AF_INET;
  return netlink(&request.header, each, context);
}

// addresses() → [{ interface, address, prefix }], the host's IPv4 addresses
static napi_value get_addresses(napi_env env, napi_callback_info info) {
  (void)info;
  list found = {.env = env};
  napi_create_array(env, &found.array);
  int error = dump_addresses(collect_address, &found);
  return error == 0 ? found.array : throw_errno(env, error, "netlink RTM_GETADDR");
}

static void collect_route(struct nlmsghdr *m, void *context) {
  list *to = context;
  struct rtmsg *message = NLMSG_DATA(m);
  if (m->nlmsg_type != RTM_NEWROUTE || message->rtm_family != AF_INET) return;
  uint32_t index = 0, table = message->rtm_table;
  int32_t destination = 0, gateway = 0, metric = 0;
  bool has_gateway = false;
  unsigned left = RTM_PAYLOAD(m);
  for (struct rtattr *a = RTM_RTA(message); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    if (a->rta_type == RTA_DST) destination = attribute_int(a);
    else if (a->rta_type == RTA_OIF) index = (uint32_t)attribute_int(a);
    else if (a->rta_type == RTA_PRIORITY) metric = attribute_int(a);
    else if (a->rta_type == RTA_TABLE) table = (uint32_t)attribute_int(a);
    else if (a->rta_type == RTA_GATEWAY) {
      gateway = attribute_int(a);
      has_gateway = true;
    }
  }
  // Local and broadcast entries mirror the addresses.
  if (message->rtm_type == RTN_LOCAL || message->rtm_type == RTN_BROADCAST) return;
  char name[IFNAMSIZ] = "";
  if (index != 0) name_of(index, name);
  napi_value item, none;
  napi_create_object(to->env, &item);
  napi_get_null(to->env, &none);
  set_string(to->env, item, "interface", name);
  set_int(to->env, item, "destination", (int32_t)ntohl((uint32_t)destination));
  set_int(to->env, item, "prefix", message->rtm_dst_len);
  if (has_gateway) set_int(to->env, item, "gateway", (int32_t)ntohl((uint32_t)gateway));
  else napi_set_named_property(to->env, item, "gateway", none);
  set_int(to->env, item, "metric", (uint32_t)metric);
  set_int(to->env, item, "table", table);
  append(to, item);
}

// routes() → [{ interface, destination, prefix, gateway: number | null, metric, table }], the host's IPv4 routes
static napi_value get_routes(napi_env env, napi_callback_info info) {
  (void)info;
  struct {
    struct nlmsghdr header;
    struct rtmsg message;
  } request = {0};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message);
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_DUMP;
  request.message.rtm_family = AF_INET;
  list found = {.env = env};
  napi_create_array(env, &found.array);
  int error = netlink(&request.header, collect_route, &found);
  return error == 0 ? found.array : throw_errno(env, error, "netlink RTM_GETROUTE");
}

enum { MAX_ADDRESSES = 64 };

typedef struct {
  uint32_t index;
  int count;
  address found[MAX_ADDRESSES];
} addresses_of;

static void collect_of(struct nlmsghdr *m, void *context) {
  addresses_of *of = context;
  address found = {0};
  if (parse_address(m, &found) && found.index == of->index && of->count < MAX_ADDRESSES) of->found[of->count++] = found;
}

static void add_attribute(struct nlmsghdr *header, unsigned short type, int32_t value) {
  struct rtattr *attribute = (struct rtattr *)((char *)header + NLMSG_ALIGN(header->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(sizeof value);
  memcpy(RTA_DATA(attribute), &value, sizeof value);
  header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + attribute->rta_len;
}

// Add or delete one address, in network byte order.
static int change_address(unsigned short type, const address *of) {
  address_request request = {0};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message);
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_ACK | (type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0);
  request.message.ifa_family = AF_INET;
  request.message.ifa_prefixlen = (unsigned char)of->prefix;
  request.message.ifa_index = of->index;
  add_attribute(&request.header, IFA_LOCAL, of->local);
  add_attribute(&request.header, IFA_ADDRESS, of->local);
  // RFC 3021: a /31 has no broadcast address.
  if (type == RTM_NEWADDR && of->prefix < 31) {
    uint32_t mask = of->prefix == 0 ? 0 : htonl(~0u << (32 - of->prefix));
    add_attribute(&request.header, IFA_BROADCAST, (int32_t)((uint32_t)of->local | ~mask));
  }
  return netlink(&request.header, NULL, NULL);
}

// setAddress(name, address, prefix): make it the interface's only IPv4 address; a negative prefix leaves it with none
static napi_value set_address(napi_env env, napi_callback_info info) {
  napi_value args[3];
  struct ifreq request;
  int32_t local, prefix;
  if (!get_args(env, info, 3, args) || !get_request(env, args[0], &request) || !get_int(env, args[1], &local) ||
      !get_int(env, args[2], &prefix))
    return NULL;
  int error = interface_ioctl(SIOCGIFINDEX, &request);
  if (error != 0) return throw_errno(env, error, "ioctl SIOCGIFINDEX");
  addresses_of now = {.index = (uint32_t)request.ifr_ifindex};
  if ((error = dump_addresses(collect_of, &now)) != 0) return throw_errno(env, error, "netlink RTM_GETADDR");
  address wanted = {.index = now.index, .local = (int32_t)htonl((uint32_t)local), .prefix = prefix};
  bool present = false;
  for (int i = 0; i < now.count; i++) {
    if (now.found[i].local == wanted.local && now.found[i].prefix == prefix) {
      present = true;
      continue;
    }
    error = change_address(RTM_DELADDR, &now.found[i]);
    // Deleting a primary address takes its secondaries along.
    if (error != 0 && error != EADDRNOTAVAIL) return throw_errno(env, error, "netlink RTM_DELADDR");
  }
  if (prefix < 0) return NULL;
  error = change_address(RTM_NEWADDR, &wanted);
  return error == 0 || (error == EEXIST && present) ? NULL : throw_errno(env, error, "netlink RTM_NEWADDR");
}

// ---------------------------------------------------------------------------------------------------------------------------
// Clock

// clockState() → the kernel clock's discipline, as adjtimex(2) reports it, in seconds
static napi_value clock_state(napi_env env, napi_callback_info info) {
  (void)info;
  struct timex t;
  memset(&t, 0, sizeof t);
  int state = adjtimex(&t);
  if (state < 0) return throw_errno(env, errno, "adjtimex");
  struct timespec resolution = {0};
  clock_getres(CLOCK_REALTIME, &resolution);
  napi_value result;
  napi_create_object(env, &result);
  set_int(env, result, "state", state);
  set_int(env, result, "status", t.status);
  set_bool(env, result, "synchronized", state != TIME_ERROR && (t.status & STA_UNSYNC) == 0);
  set_double(env, result, "offset", (double)t.offset / (t.status & STA_NANO ? 1e9 : 1e6));
  set_double(env, result, "frequency", (double)t.freq / 65536e6); // scaled ppm → a ratio
  set_double(env, result, "maxError", (double)t.maxerror / 1e6);
  set_double(env, result, "estimatedError", (double)t.esterror / 1e6);
  set_double(env, result, "precision", (double)t.precision / 1e6);
  set_double(env, result, "resolution", (double)resolution.tv_sec + (double)resolution.tv_nsec / 1e9);
  set_int(env, result, "timeConstant", t.constant);
  set_int(env, result, "tick", t.tick);
  set_int(env, result, "tai", t.tai);
  return result;
}

// realtime() → nanoseconds since 1970-01-01T00:00:00Z, a bigint
static napi_value realtime(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  napi_value result;
  napi_create_bigint_int64(env, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, &result);
  return result;
}

void export_host(napi_env env, napi_value exports) {
  export_function(env, exports, "getInterface", get_interface);
  export_function(env, exports, "setMac", set_mac);
  export_function(env, exports, "setMtu", set_mtu);
  export_function(env, exports, "setTxQueueLength", set_tx_queue_length);
  export_function(env, exports, "setUp", set_up);
  export_function(env, exports, "setAddress", set_address);
  export_function(env, exports, "addresses", get_addresses);
  export_function(env, exports, "routes", get_routes);
  export_function(env, exports, "clockState", clock_state);
  export_function(env, exports, "realtime", realtime);
}
