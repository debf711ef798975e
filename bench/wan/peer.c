// Linux's end of a race.
//
//   peer sink PORT SKIP SECONDS       accept one connection, count what comes from SKIP to SECONDS after it opened, then reset it
//   peer source ADDRESS PORT CC       connect, send with congestion control CC until the other end has had enough
//
// Both print one line of JSON.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROTO_TCP = 6, CHUNK = 1 << 17 };

static char chunk[CHUNK];

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int sink(int port, double skip, double seconds) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1) < 0) fail("listen");
  puts("listening");
  fflush(stdout);
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("accept");
  double start = now();
  uint64_t bytes = 0;
  for (;;) {
    double left = start + seconds - now();
    if (left <= 0) break;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, (int)(left * 1e3) + 1) <= 0) continue;
    ssize_t n = read(fd, chunk, CHUNK);
    if (n <= 0) break;
    if (now() >= start + skip) bytes += (uint64_t)n;
  }
  struct linger reset = {.l_onoff = 1};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  printf("{\"bytes\":%lu,\"seconds\":%.6f}\n", bytes, seconds - skip);
  return 0;
}

static int source(const char *address, int port, const char *cc) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (setsockopt(fd, PROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)) < 0) fail(cc);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  while (send(fd, chunk, CHUNK, MSG_NOSIGNAL) > 0) {
  }
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  getsockopt(fd, PROTO_TCP, TCP_INFO, &info, &length);
  printf("{\"segments\":%u,\"retransmitted\":%u,\"reordering\":%u,\"srtt\":%u,\"minRtt\":%u,\"cwnd\":%u,\"ssthresh\":%u}\n",
         info.tcpi_segs_out, info.tcpi_total_retrans, info.tcpi_reordering, info.tcpi_rtt, info.tcpi_min_rtt,
         info.tcpi_snd_cwnd, info.tcpi_snd_ssthresh);
  return 0;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 5 && !strcmp(argv[1], "sink")) return sink(atoi(argv[2]), atof(argv[3]), atof(argv[4]));
  if (argc == 5 && !strcmp(argv[1], "source")) return source(argv[2], atoi(argv[3]), argv[4]);
  fprintf(stderr, "usage: peer sink PORT SKIP SECONDS | peer source ADDRESS PORT CC\n");
  return 2;
}
