// The ceiling: what a TAP could carry if protocols cost nothing. A bare program that answers ARP and ping, acknowledges TCP data without
// looking at it, and sends TCP data as fast as the client's window lets it. No timers but one, no options but two, no checks.
//
//   null-stack TAP ADDRESS OFFLOAD        OFFLOAD 1: super-segments both ways; 0: 1,500-byte packets with full checksums
//
// TCP port 5002 sends; every other port receives and throws away. It attaches to an existing TAP and runs until it is killed.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pattern.h"

enum { VNET = 12, ETH = 14, IP = 20, TCP = 20, SEND_PORT = 5002, FLOWS = 65536, MSS = 1460 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { GOOD_WINDOW = 8 << 20, PLAIN_WINDOW = 768 << 10, SHIFT = 8 };

typedef struct {
  bool open, sends;
  uint32_t irs, rcv_nxt, snd_una, snd_nxt, snd_wnd, iss;
  uint8_t shift, duplicates;
} flow;

static int fd;
static bool offload;
static uint32_t own_ip, peer_ip; // network order
static const uint8_t own_mac[6] = {2, 0, 0x5e, 0x10, 0, 9};
static uint8_t peer_mac[6];
static flow flow_of[FLOWS]; // by the client's port
static uint16_t sending[FLOWS];
static int sending_count;
static uint8_t in[VNET + ETH + 65535];

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v); }

static uint64_t sum(const uint8_t *p, size_t length, uint64_t s) {
  for (; length >= 4; p += 4, length -= 4) {
    uint32_t word;
    memcpy(&word, p, 4);
    s += word;
  }
  if (length >= 2) {
    uint16_t half;
    memcpy(&half, p, 2);
    s += half, p += 2, length -= 2;
  }
  return length > 0 ? s + *p : s;
}

// The folded sum, in memory order.
static uint16_t fold(uint64_t s) {
  while (s >> 16) s = (s & 0xffff) + (s >> 16);
  return (uint16_t)s;
}

static void ip_header(uint8_t *ip, uint32_t length, uint8_t protocol) {
  memset(ip, 0, IP);
  ip[0] = 0x45, ip[8] = 64, ip[9] = protocol;
  put16(ip + 2, length);
  put16(ip + 6, 0x4000);
  memcpy(ip + 12, &own_ip, 4);
  memcpy(ip + 16, &peer_ip, 4);
  uint16_t s = (uint16_t)~fold(sum(ip, IP, 0));
  memcpy(ip + 10, &s, 2);
}

static void ethernet(uint8_t *frame, uint16_t type) {
  memcpy(frame, peer_mac, 6);
  memcpy(frame + 6, own_mac, 6);
  put16(frame + 12, type);
}

// One segment; false when the device is full.
static bool segment(flow *f, uint16_t port, uint16_t own_port, uint32_t seq, uint8_t flags, const uint8_t *data, size_t length) {
  uint8_t out[VNET + ETH + IP + TCP + 8];
  memset(out, 0, VNET);
  struct virtio_net_hdr *vnet = (struct virtio_net_hdr *)out;
  uint8_t *ip = out + VNET + ETH, *tcp = ip + IP;
  size_t header = flags & SYN ? TCP + 8 : TCP;
  ethernet(out + VNET, 0x0800);
  ip_header(ip, (uint32_t)(IP + header + length), 6);
  put16(tcp, own_port);
  put16(tcp + 2, port);
  put32(tcp + 4, seq);
  put32(tcp + 8, f->rcv_nxt);
  tcp[12] = (uint8_t)(header << 2);
  tcp[13] = flags;
  put16(tcp + 14, flags & SYN ? 65535 : (offload ? GOOD_WINDOW : PLAIN_WINDOW) >> SHIFT);
  put32(tcp + 16, 0);
  if (flags & SYN) {
    put32(tcp + 20, 2u << 24 | 4u << 16 | MSS);
    put32(tcp + 24, 1u << 24 | 3u << 16 | 3u << 8 | SHIFT);
  }
  uint64_t pseudo = sum(ip + 12, 8, htons(6)) + htons((uint16_t)(header + length));
  if (offload) {
    uint16_t s = fold(pseudo);
    memcpy(tcp + 16, &s, 2);
    vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    vnet->csum_start = ETH + IP;
    vnet->csum_offset = 16;
    if (length > MSS) {
      vnet->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
      vnet->gso_size = MSS;
      vnet->hdr_len = (uint16_t)(ETH + IP + header);
    }
  } else {
    uint16_t s = (uint16_t)~fold(sum(data, length, sum(tcp, header, pseudo)));
    memcpy(tcp + 16, &s, 2);
  }
  struct iovec parts[2] = {{out, VNET + ETH + IP + header}, {(void *)(uintptr_t)data, length}};
  return writev(fd, parts, length > 0 ? 2 : 1) >= 0;
}

static void stop(flow *f, uint16_t port) {
  f->open = false;
  for (int i = 0; i < sending_count; i++)
    if (sending[i] == port) sending[i--] = sending[--sending_count];
}

// Send what the window allows, a few segments of each flow in turn.
static bool send_some(void) {
  bool any = false;
  size_t largest = offload ? (65535 - IP - TCP) / MSS * MSS : MSS;
  for (int i = 0; i < sending_count; i++) {
    flow *f = &flow_of[sending[i]];
    for (int n = 0; n < (offload ? 2 : 32); n++) {
      uint32_t room = f->snd_wnd - (f->snd_nxt - f->snd_una);
      if ((int32_t)room < (int32_t)largest) break;
      const uint8_t *data = pattern_at(pattern_start(sending[i]) + (f->snd_nxt - f->iss - 1));
      if (!segment(f, sending[i], SEND_PORT, f->snd_nxt, ACK | PSH, data, largest)) break;
      f->snd_nxt += (uint32_t)largest;
      any = true;
    }
  }
  return any;
}

static void tcp_input(const uint8_t *ip, uint32_t total) {
  const uint8_t *tcp = ip + (ip[0] & 15) * 4;
  uint16_t port = get16(tcp), own_port = get16(tcp + 2);
  flow *f = &flow_of[port];
  uint32_t seq = get32(tcp + 4), header = (tcp[12] >> 4) * 4u, length = total - (uint32_t)(tcp - ip) - header;
  uint8_t flags = tcp[13];
  if (flags & RST) {
    stop(f, port);
    return;
  }
  if (flags & SYN) {
    stop(f, port);
    *f = (flow){.open = true, .sends = own_port == SEND_PORT, .irs = seq, .rcv_nxt = seq + 1, .iss = seq ^ 0x5a5a5a5a};
    f->snd_una = f->snd_nxt = f->iss + 1;
    for (const uint8_t *o = tcp + 20; o < tcp + header && *o != 0; o += *o == 1 ? 1 : o[1]) {
      if (*o == 3) f->shift = o[2];
      if (*o > 1 && o[1] < 2) break;
    }
    segment(f, port, own_port, f->iss, SYN | ACK, NULL, 0);
    return;
  }
  if (!f->open) return;
  uint32_t ack = get32(tcp + 8), window = (uint32_t)get16(tcp + 14) << f->shift;
  if ((int32_t)(ack - f->snd_una) > 0) {
    f->snd_una = ack;
    f->duplicates = 0;
    if ((int32_t)(f->snd_una - f->snd_nxt) > 0) f->snd_nxt = ack;
    if (f->sends && f->snd_nxt == ack && ack - f->iss > 0xf0000000u) stop(f, port); // positions are 32 bits here
  } else if (f->sends && ack == f->snd_una && length == 0 && window == f->snd_wnd && f->snd_nxt != ack && ++f->duplicates == 3) {
    f->snd_nxt = f->snd_una; // go back
  }
  f->snd_wnd = window;
  if (f->sends && ack == f->iss + 1 && f->snd_nxt == ack) {
    bool listed = false;
    for (int i = 0; i < sending_count; i++) listed = listed || sending[i] == port;
    if (!listed) sending[sending_count++] = port;
  }
  if (length == 0 && !(flags & FIN)) return;
  if (seq == f->rcv_nxt) {
    f->rcv_nxt += length + (flags & FIN ? 1 : 0);
    if (flags & FIN) {
      stop(f, port);
      segment(f, port, own_port, f->snd_nxt, FIN | ACK, NULL, 0);
      return;
    }
  }
  segment(f, port, own_port, f->snd_nxt, ACK, NULL, 0);
}

static void arp(uint8_t *frame) {
  uint8_t *p = frame + ETH;
  if (get16(p + 6) != 1 || memcmp(p + 24, &own_ip, 4) != 0) return;
  memcpy(peer_mac, p + 8, 6);
  memcpy(&peer_ip, p + 14, 4);
  ethernet(frame, 0x0806);
  put16(p + 6, 2);
  memcpy(p + 18, p + 8, 10);
  memcpy(p + 8, own_mac, 6);
  memcpy(p + 14, &own_ip, 4);
  memset(frame - VNET, 0, VNET);
  if (write(fd, frame - VNET, VNET + ETH + 28) < 0) return;
}

static void icmp(uint8_t *frame, uint32_t total) {
  uint8_t *ip = frame + ETH, *message = ip + (ip[0] & 15) * 4;
  if (message[0] != 8) return;
  ethernet(frame, 0x0800);
  uint8_t swap[4];
  memcpy(swap, ip + 12, 4);
  memcpy(ip + 12, ip + 16, 4);
  memcpy(ip + 16, swap, 4);
  message[0] = 0;
  uint32_t s = (uint32_t)get16(message + 2) + 0x0800; // RFC 1624: only the type has changed
  put16(message + 2, (s & 0xffff) + (s >> 16));
  memset(frame - VNET, 0, VNET);
  if (write(fd, frame - VNET, VNET + ETH + total) < 0) return;
}

static void frame_input(ssize_t n) {
  uint8_t *frame = in + VNET, *ip = frame + ETH;
  if (n < VNET + ETH + 28) return;
  if (get16(frame + 12) == 0x0806) arp(frame);
  if (get16(frame + 12) != 0x0800 || memcmp(ip + 16, &own_ip, 4) != 0) return;
  uint32_t total = get16(ip + 2);
  if (ip[9] == 6) tcp_input(ip, total);
  if (ip[9] == 1) icmp(frame, total);
}

int main(int count, char **arguments) {
  struct ifreq request = {0};
  int header = VNET;
  if (count != 4 || inet_pton(AF_INET, arguments[2], &own_ip) != 1) {
    fprintf(stderr, "usage: null-stack TAP ADDRESS OFFLOAD\n");
    return 2;
  }
  make_pattern();
  offload = atoi(arguments[3]) != 0;
  fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  snprintf(request.ifr_name, IFNAMSIZ, "%s", arguments[1]);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
      ioctl(fd, TUNSETOFFLOAD, offload ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0) < 0) {
    fprintf(stderr, "null-stack: %s: %s\n", arguments[1], strerror(errno));
    return 1;
  }
  printf("ready\n");
  fflush(stdout);
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  for (bool idle = true;;) {
    if (idle && poll(&wait, 1, sending_count > 0 ? 200 : -1) == 0) {
      for (int i = 0; i < sending_count; i++) flow_of[sending[i]].snd_nxt = flow_of[sending[i]].snd_una;
    }
    idle = true;
    for (int n = 0; n < 64; n++) {
      ssize_t length = read(fd, in, sizeof in);
      if (length < 0) break;
      idle = false;
      frame_input(length);
    }
    if (send_some()) idle = false;
  }
}
