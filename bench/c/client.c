// The benchmarks' client on kernel sockets. It runs one measurement and prints one line of JSON.
//
//   client MODE ADDRESS PORT SECONDS [flows=N] [pid=N] [bytes=N] [full] [silent]
//
//   send      bulk to the server over `flows` connections; the server answers the end with the number of bytes it has checked
//   receive   bulk from the server over `flows` connections
//   rr        one byte there and back, one connection
//   crr       connect, one byte each way, close by both; `flows` at a time
//   udp-echo  64 bytes there and back, `flows` outstanding
//   udp-in    64-byte datagrams to the server as fast as they go; the server counts, and is asked on PORT + 1 by TCP
//   udp-out   64-byte datagrams from the server as fast as they come
//
//   pid=N     report the CPU seconds process N used meanwhile
//   bytes=N   end after N bytes instead of SECONDS
//   full      compare every byte; otherwise the first and last eight of each piece, which costs nothing to speak of
//   silent    the server does not answer with a count (the null stack)
//
// The first fifth of the time warms up and does not count.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

enum { MAX_FLOWS = 1024, PIECE = 1 << 17, DATAGRAM = 64 };

typedef struct {
  int fd;
  uint64_t start; // the flow's place in the pattern
  uint64_t count; // bytes moved
  bool answered;
} flow;

static struct sockaddr_in server;
static double seconds;
static int flows = 1, pid = 0;
static uint64_t limit = 0;
static bool full = false, silent = false;
static uint8_t buffer[PIECE];
static flow flow_of[MAX_FLOWS];

static void fail(const char *what) {
  fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void wrong(const char *what, uint64_t position) {
  fprintf(stderr, "client: %s at byte %llu\n", what, (unsigned long long)position);
  exit(3);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// User and system time of process `pid`, all of its threads.
static double cpu_seconds(void) {
  if (pid == 0) return 0;
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  unsigned long user = 0, system = 0;
  if (fgets(line, sizeof line, file) != NULL) {
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
      user = system = 0;
  }
  fclose(file);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int open_tcp(bool wait) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) fail("connect");
  if (!wait) return fd;
  struct timeval bound = {5, 0};
  fcntl(fd, F_SETFL, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  int error = ETIMEDOUT;
  socklen_t length = sizeof error;
  if (select(fd + 1, NULL, &set, NULL, &bound) == 1) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    errno = error;
    fail("connect");
  }
  return fd;
}

static uint16_t local_port(int fd) {
  struct sockaddr_in own;
  socklen_t length = sizeof own;
  if (getsockname(fd, (struct sockaddr *)&own, &length) < 0) fail("getsockname");
  return ntohs(own.sin_port);
}

static void check(const flow *f, const uint8_t *bytes, size_t length) {
  const uint8_t *want = pattern_at(f->start + f->count);
  if (full || length < 16) {
    if (memcmp(bytes, want, length) != 0) wrong("wrong bytes", f->count);
  } else if (memcmp(bytes, want, 8) != 0 || memcmp(bytes + length - 8, want + length - 8, 8) != 0) {
    wrong("wrong bytes", f->count);
  }
}

static void result(double value, double elapsed, double cpu, double amount) {
  printf("{\"value\":%.6g,\"seconds\":%.4f,\"cpu\":%.3f,\"amount\":%.0f}\n", value, elapsed, cpu, amount);
}

// Bytes that have left for good: accepted by the kernel and acknowledged by the server.
static uint64_t acknowledged(void) {
  uint64_t sum = 0;
  for (int i = 0; i < flows; i++) {
    int waiting = 0;
    ioctl(flow_of[i].fd, SIOCOUTQ, &waiting);
    sum += flow_of[i].count - (uint64_t)waiting;
  }
  return sum;
}

static uint64_t moved_bytes(void) {
  uint64_t sum = 0;
  for (int i = 0; i < flows; i++) sum += flow_of[i].count;
  return sum;
}

static void bulk(bool sending) {
  int poll = epoll_create1(0);
  for (int i = 0; i < flows; i++) {
    flow *f = &flow_of[i];
    f->fd = open_tcp(true);
    f->start = pattern_start(local_port(f->fd));
    fcntl(f->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = sending ? EPOLLOUT : EPOLLIN, .data.ptr = f};
    epoll_ctl(poll, EPOLL_CTL_ADD, f->fd, &event);
  }
  double start = now(), from = start, end = start + seconds, cpu = cpu_seconds();
  uint64_t before = 0;
  bool warm = limit > 0;
  double last = start;
  for (;;) {
    double t = now();
    if (limit > 0 ? moved_bytes() >= limit : t >= end) break;
    if (!warm && t >= start + seconds / 5) {
      warm = true;
      before = sending ? acknowledged() : moved_bytes();
      from = t;
      cpu = cpu_seconds();
    }
    struct epoll_event events[64];
    int n = epoll_wait(poll, events, 64, 1000);
    if (n == 0 && t - last > 5) {
      errno = ETIMEDOUT;
      fail("no progress");
    }
    for (int i = 0; i < n; i++) {
      flow *f = events[i].data.ptr;
      ssize_t moved;
      if (sending) moved = send(f->fd, pattern_at(f->start + f->count), PIECE, MSG_NOSIGNAL);
      else moved = recv(f->fd, buffer, sizeof buffer, 0);
      if (moved < 0 && errno == EAGAIN) continue;
      if (moved <= 0) fail(sending ? "send" : "recv");
      if (!sending) check(f, buffer, (size_t)moved);
      f->count += (uint64_t)moved;
      last = t;
    }
  }
  double elapsed = now() - from;
  double amount = (double)((sending ? acknowledged() : moved_bytes()) - before);
  double used = cpu_seconds() - cpu;
  for (int i = 0; i < flows; i++) {
    flow *f = &flow_of[i];
    if (sending && !silent) {
      struct timeval bound = {5, 0};
      uint64_t total = 0;
      shutdown(f->fd, SHUT_WR);
      fcntl(f->fd, F_SETFL, 0);
      setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
      if (recv(f->fd, &total, sizeof total, MSG_WAITALL) != sizeof total) fail("the server's count");
      if (total != f->count) wrong("the server has another count", total);
    } else {
      struct linger abort = {1, 0};
      setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    }
    close(f->fd);
  }
  result(amount * 8e-9 / elapsed, elapsed, used, amount);
}

static void request_response(void) {
  int fd = open_tcp(true);
  double start = now(), from = start, end = start + seconds, cpu = cpu_seconds();
  uint64_t count = 0, before = 0;
  bool warm = false;
  for (double t = start; t < end; t = now()) {
    if (!warm && t >= start + seconds / 5) {
      warm = true;
      before = count;
      from = t;
      cpu = cpu_seconds();
    }
    uint8_t out = *pattern_at(count), in = 0;
    if (send(fd, &out, 1, MSG_NOSIGNAL) != 1) fail("send");
    if (recv(fd, &in, 1, 0) != 1) fail("recv");
    if (in != out) wrong("wrong answer", count);
    count++;
  }
  double elapsed = now() - from, amount = (double)(count - before);
  result(amount / elapsed, elapsed, cpu_seconds() - cpu, amount);
}

static void connect_request_response(void) {
  int poll = epoll_create1(0);
  double start = now(), from = start, end = start + seconds, cpu = cpu_seconds();
  uint64_t count = 0, before = 0;
  bool warm = false;
  for (int i = 0; i < flows; i++) flow_of[i].fd = -1;
  for (double t = start; t < end; t = now()) {
    if (!warm && t >= start + seconds / 5) {
      warm = true;
      before = count;
      from = t;
      cpu = cpu_seconds();
    }
    for (int i = 0; i < flows; i++) {
      flow *f = &flow_of[i];
      if (f->fd >= 0) continue;
      f->fd = open_tcp(false);
      f->count = 0;
      f->answered = false;
      struct epoll_event event = {.events = EPOLLOUT, .data.ptr = f};
      epoll_ctl(poll, EPOLL_CTL_ADD, f->fd, &event);
    }
    struct epoll_event events[64];
    int n = epoll_wait(poll, events, 64, 5000);
    if (n == 0) {
      errno = ETIMEDOUT;
      fail("no progress");
    }
    for (int i = 0; i < n; i++) {
      flow *f = events[i].data.ptr;
      if (f->count == 0) {
        f->start = count + (uint64_t)(f - flow_of);
        if (send(f->fd, pattern_at(f->start), 1, MSG_NOSIGNAL) != 1) fail("connect or send");
        f->count = 1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = f};
        epoll_ctl(poll, EPOLL_CTL_MOD, f->fd, &event);
        continue;
      }
      uint8_t in[2];
      ssize_t got = recv(f->fd, in, sizeof in, 0);
      if (got < 0 && errno == EAGAIN) continue;
      if (got < 0) fail("recv");
      if (!f->answered) {
        if (got != 1 || in[0] != *pattern_at(f->start)) wrong("wrong answer", count);
        f->answered = true;
        shutdown(f->fd, SHUT_WR);
      } else {
        if (got != 0) wrong("more than one byte", count);
        close(f->fd); // leaves the epoll set by itself
        f->fd = -1;
        count++;
      }
    }
  }
  double elapsed = now() - from, amount = (double)(count - before);
  result(amount / elapsed, elapsed, cpu_seconds() - cpu, amount);
}

static int open_udp(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
  struct timeval bound = {0, 200000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect");
  return fd;
}

static void udp_echo(void) {
  int fd = open_udp(), lost = 0;
  double start = now(), from = start, end = start + seconds, cpu = cpu_seconds();
  uint64_t sent = 0, count = 0, before = 0;
  bool warm = false;
  uint8_t out[DATAGRAM], in[DATAGRAM + 1];
  for (double t = start; t < end; t = now()) {
    if (!warm && t >= start + seconds / 5) {
      warm = true;
      before = count;
      from = t;
      cpu = cpu_seconds();
    }
    while (sent - count < (uint64_t)flows) {
      memcpy(out, pattern_at(sent * DATAGRAM), DATAGRAM);
      memcpy(out, &sent, sizeof sent);
      if (send(fd, out, DATAGRAM, 0) != DATAGRAM) fail("send");
      sent++;
    }
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0 && errno == EAGAIN) {
      if (++lost > 5) fail("echo");
      sent = count; // lost: go on with the next
      continue;
    }
    if (got != DATAGRAM) fail("recv");
    uint64_t number;
    memcpy(&number, in, sizeof number);
    if (memcmp(in + 8, pattern_at(number * DATAGRAM) + 8, DATAGRAM - 8) != 0) wrong("wrong echo", count);
    count++;
  }
  double elapsed = now() - from, amount = (double)(count - before);
  result(amount / elapsed, elapsed, cpu_seconds() - cpu, amount);
}

// How many good datagrams the server has seen, and when by its own clock.
static void ask_count(double *count, double *at) {
  struct sockaddr_in saved = server;
  server.sin_port = htons((uint16_t)(ntohs(server.sin_port) + 1));
  int fd = open_tcp(true);
  server = saved;
  char text[128];
  size_t length = 0;
  for (ssize_t n; length < sizeof text - 1 && (n = recv(fd, text + length, sizeof text - 1 - length, 0)) > 0;) length += (size_t)n;
  text[length] = 0;
  close(fd);
  if (sscanf(text, "%lf %lf", count, at) != 2) fail("the server's count");
}

static void blast(int fd, double until) {
  uint8_t out[DATAGRAM];
  static uint64_t number = 0;
  while (now() < until) {
    for (int i = 0; i < 32; i++, number++) {
      memcpy(out, pattern_at(number * DATAGRAM), DATAGRAM);
      memcpy(out, &number, sizeof number);
      if (send(fd, out, DATAGRAM, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED) fail("send");
    }
  }
}

static void udp_in(void) {
  int fd = open_udp();
  double before, after, from, to;
  blast(fd, now() + seconds / 5);
  ask_count(&before, &from);
  double cpu = cpu_seconds();
  blast(fd, now() + seconds * 4 / 5);
  ask_count(&after, &to);
  double elapsed = (to - from) * 1e-3;
  result((after - before) / elapsed, elapsed, cpu_seconds() - cpu, after - before);
}

static void udp_out(void) {
  // The answers come from a port of their own: take them unconnected.
  int fd = open_udp();
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  char request[32];
  int length = snprintf(request, sizeof request, "%.0f", seconds * 1000);
  if (connect(fd, &none, sizeof none) < 0) fail("connect");
  if (sendto(fd, request, (size_t)length, 0, (struct sockaddr *)&server, sizeof server) != length) fail("send");
  double start = now(), from = start, end = start + seconds, cpu = cpu_seconds();
  uint64_t count = 0, before = 0;
  bool warm = false;
  uint8_t in[DATAGRAM + 1];
  for (double t = start; t < end; t = now()) {
    if (!warm && t >= start + seconds / 5) {
      warm = true;
      before = count;
      from = t;
      cpu = cpu_seconds();
    }
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0 && errno == EAGAIN) continue;
    if (got != DATAGRAM) fail("recv");
    uint32_t number;
    memcpy(&number, in, sizeof number);
    if (memcmp(in + 8, pattern_at((uint64_t)number * DATAGRAM) + 8, DATAGRAM - 8) != 0) wrong("wrong datagram", count);
    count++;
  }
  double elapsed = now() - from, amount = (double)(count - before);
  result(amount / elapsed, elapsed, cpu_seconds() - cpu, amount);
}

int main(int count, char **arguments) {
  if (count < 5) {
    fprintf(stderr, "usage: client MODE ADDRESS PORT SECONDS [flows=N] [pid=N] [bytes=N] [full] [silent]\n");
    return 2;
  }
  make_pattern();
  const char *mode = arguments[1];
  server.sin_family = AF_INET;
  server.sin_port = htons((uint16_t)atoi(arguments[3]));
  seconds = atof(arguments[4]);
  if (inet_pton(AF_INET, arguments[2], &server.sin_addr) != 1) return 2;
  for (int i = 5; i < count; i++) {
    const char *a = arguments[i];
    if (strncmp(a, "flows=", 6) == 0) flows = atoi(a + 6);
    else if (strncmp(a, "pid=", 4) == 0) pid = atoi(a + 4);
    else if (strncmp(a, "bytes=", 6) == 0) limit = strtoull(a + 6, NULL, 10);
    else if (strcmp(a, "full") == 0) full = true;
    else if (strcmp(a, "silent") == 0) silent = true;
    else return 2;
  }
  if (flows < 1 || flows > MAX_FLOWS) return 2;
  if (strcmp(mode, "send") == 0) bulk(true);
  else if (strcmp(mode, "receive") == 0) bulk(false);
  else if (strcmp(mode, "rr") == 0) request_response();
  else if (strcmp(mode, "crr") == 0) connect_request_response();
  else if (strcmp(mode, "udp-echo") == 0) udp_echo();
  else if (strcmp(mode, "udp-in") == 0) udp_in();
  else if (strcmp(mode, "udp-out") == 0) udp_out();
  else return 2;
  return 0;
}
