// A path between two TAPs in two network namespaces, in real time: rate, queue, delay, loss, reordering, the same both ways.
//
//   relay LEFT-NETNS:TAP RIGHT-NETNS:TAP rate=BITS/S delay=MICROSECONDS queue=BYTES loss=PROBABILITY seed=N [reorder=PROBABILITY]
//         [swap=1]
//
// A frame waits until the bottleneck has sent those before it, is dropped when they are more than `queue` bytes, is lost with `loss` once it
// has been sent, and arrives `delay` after that. Only TCP is lost, so that a seed loses the same segments whatever else the hosts say. Each
// direction has dice of its own, so that what it loses does not depend on the other's timing; `swap` exchanges them, for a race the other
// way. SIGTERM ends it: then it prints what it did, as JSON.
//
// Invariant: the frames of a direction lie in its ring in the order of their arrival times.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 1600, SLOTS = 1 << 16, BURST = 64 };

struct slot {
  int64_t at; // ns
  int length;
  uint8_t bytes[FRAME];
};

struct direction {
  int from, to;
  struct slot *ring;
  unsigned head, tail;
  int64_t idle_at; // when the bottleneck has sent all it has
  uint64_t dice;
  uint64_t frames, bytes, lost, overflowed, reordered, late_ns, late_max_ns;
};

static double rate = 1e8, loss, reorder;
static int64_t delay_ns, queue_bytes = 1 << 20;
static volatile sig_atomic_t stopped;

static void stop(int signal) { stopped = signal; }

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// splitmix64
static double roll(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static int open_tap(char *where) {
  char *name = strchr(where, ':');
  if (name == NULL) {
    fprintf(stderr, "relay: %s: want NETNS:TAP\n", where);
    exit(2);
  }
  *name++ = 0;
  char path[128];
  snprintf(path, sizeof path, "/run/netns/%s", where);
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0) fail(path);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail(name);
  // No offload: the kernel cuts and completes what it sends here, so that every frame is one packet.
  if (ioctl(fd, TUNSETOFFLOAD, 0) < 0) fail("TUNSETOFFLOAD");
  if (setns(home, CLONE_NEWNET) < 0) fail("setns");
  close(home);
  close(there);
  return fd;
}

// Take in what has come. Returns the number of frames.
static int take(struct direction *d) {
  int count = 0;
  for (; count < BURST && d->tail - d->head < SLOTS; count++) {
    struct slot *slot = &d->ring[d->tail % SLOTS];
    ssize_t length = read(d->from, slot->bytes, FRAME);
    if (length <= 0) break;
    int64_t t = now();
    if (d->idle_at < t) d->idle_at = t;
    int64_t waiting = (int64_t)((double)(d->idle_at - t) * rate / 8e9);
    if (waiting + length > queue_bytes) {
      d->overflowed++;
      continue;
    }
    d->idle_at += (int64_t)((double)length * 8e9 / rate);
    int is_tcp = length > 34 && slot->bytes[12] == 8 && slot->bytes[13] == 0 && slot->bytes[23] == 6;
    if (is_tcp && roll(&d->dice) < loss) {
      d->lost++;
      continue;
    }
    slot->length = (int)length;
    slot->at = d->idle_at + delay_ns;
    unsigned i = d->tail++;
    if (is_tcp && reorder > 0 && roll(&d->dice) < reorder) {
      // Overtakes what is under way, by a quarter of the delay.
      int64_t at = slot->at - delay_ns / 4;
      struct slot moved = *slot;
      moved.at = at;
      for (; i != d->head && d->ring[(i - 1) % SLOTS].at > at; i--) d->ring[i % SLOTS] = d->ring[(i - 1) % SLOTS];
      d->ring[i % SLOTS] = moved;
      d->reordered++;
    }
  }
  return count;
}

// Hand over what is due.
static void give(struct direction *d) {
  while (d->head != d->tail) {
    struct slot *slot = &d->ring[d->head % SLOTS];
    int64_t late = now() - slot->at;
    if (late < 0) return;
    if (write(d->to, slot->bytes, (size_t)slot->length) < 0 && errno == EAGAIN) return;
    d->late_ns += (uint64_t)late;
    if ((uint64_t)late > d->late_max_ns) d->late_max_ns = (uint64_t)late;
    d->frames++;
    d->bytes += (uint64_t)slot->length;
    d->head++;
  }
}

static void report(const char *name, const struct direction *d) {
  printf("\"%s\":{\"frames\":%lu,\"bytes\":%lu,\"lost\":%lu,\"overflowed\":%lu,\"reordered\":%lu,\"lateMean\":%.1f,\"lateMax\":%.1f}",
         name, d->frames, d->bytes, d->lost, d->overflowed, d->reordered,
         d->frames ? (double)d->late_ns / (double)d->frames / 1e3 : 0.0, (double)d->late_max_ns / 1e3);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: relay NETNS:TAP NETNS:TAP rate= delay= queue= loss= seed= reorder=\n");
    return 2;
  }
  uint64_t seed = 1;
  int swap = 0;
  for (int i = 3; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    double number = value ? atof(value + 1) : 0;
    if (!strncmp(argv[i], "rate=", 5) && number > 0) rate = number;
    else if (!strncmp(argv[i], "delay=", 6)) delay_ns = (int64_t)(number * 1e3);
    else if (!strncmp(argv[i], "queue=", 6)) queue_bytes = (int64_t)number;
    else if (!strncmp(argv[i], "loss=", 5)) loss = number;
    else if (!strncmp(argv[i], "seed=", 5)) seed = (uint64_t)number;
    else if (!strncmp(argv[i], "reorder=", 8)) reorder = number;
    else if (!strncmp(argv[i], "swap=", 5)) swap = number != 0;
    else {
      fprintf(stderr, "relay: what is %s?\n", argv[i]);
      return 2;
    }
  }
  struct direction d[2] = {{.dice = seed * 2 + (unsigned)swap}, {.dice = seed * 2 + (unsigned)!swap}};
  d[0].from = d[1].to = open_tap(argv[1]);
  d[1].from = d[0].to = open_tap(argv[2]);
  for (int i = 0; i < 2; i++)
    if ((d[i].ring = calloc(SLOTS, sizeof(struct slot))) == NULL) fail("memory");

  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  prctl(PR_SET_TIMERSLACK, 1UL);
  // Be on time while others compute, the racers included. Without the privilege it works as well, a little later.
  struct sched_param priority = {.sched_priority = 2};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) < 0) fprintf(stderr, "relay: no real-time priority: %s\n", strerror(errno));

  puts("ready");
  fflush(stdout);
  while (!stopped) {
    int64_t next = INT64_MAX;
    for (int i = 0; i < 2; i++) {
      give(&d[i]);
      if (d[i].head != d[i].tail && d[i].ring[d[i].head % SLOTS].at < next) next = d[i].ring[d[i].head % SLOTS].at;
    }
    int64_t wait = next == INT64_MAX ? 1000000000 : next - now();
    if (wait < 0) wait = 0;
    struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
    struct pollfd fds[2] = {{.fd = d[0].from, .events = POLLIN}, {.fd = d[1].from, .events = POLLIN}};
    if (ppoll(fds, 2, &timeout, NULL) > 0)
      for (int i = 0; i < 2; i++)
        if (fds[i].revents & POLLIN) take(&d[i]);
  }
  printf("{");
  report("right", &d[0]);
  printf(",");
  report("left", &d[1]);
  printf("}\n");
  return 0;
}
