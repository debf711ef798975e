// The host a script was written for: which dialect it speaks, and the settings it makes.
//
// A script says by its sysctls whether it means Linux or FreeBSD. Both are TCP; they differ in defaults a script can see (RFC 9293 leaves them
// open), which are gathered here. Settings are those of the stack where it has them, are without consequence here, or raise a doubt:
// a script that fails under a doubt is reported as unsupported for that reason, not as failed.

import type { TcpOptions } from '../../tcp/options.ts';
import { MILLISECOND, SECOND } from '../../world.ts';

export type Dialect = 'linux' | 'freebsd';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Profile {
  dialect: Dialect = 'linux';
  mtu = 1500;
  readonly tcp: Mutable<TcpOptions>;
  /** What a socket's buffers are before anything is set, as getsockopt shows it. */
  receiveSpace = 131_072;
  sendSpace = 16_384;
  readonly doubts: string[] = [];

  constructor() {
    // Linux as packetdrill finds it: pfifo, so no pacing; tcp_rmem and tcp_wmem as after boot.
    this.tcp = {
      pacing: 'off',
      mtuProbing: false, // tcp_mtu_probing
      recvBufferMax: 6_291_456,
      sendBufferMax: 4_194_304,
      synTimeout: synTimeout(6),
      synAckRetries: 5,
      initialWindow: 10,
      firstPort: 32_768,
      lastPort: 60_999,
    };
  }

  doubt(what: string): void {
    if (!this.doubts.includes(what)) this.doubts.push(what);
  }

  useFreebsd(): void {
    if (this.dialect === 'freebsd') return;
    this.dialect = 'freebsd';
    this.receiveSpace = 65_536;
    this.sendSpace = 32_768;
    this.tcp.recvBufferMax = 2_097_152; // kern.ipc.maxsockbuf: a window scale of 6
    this.tcp.synTimeout = 75 * SECOND; // net.inet.tcp.keepinit
    this.tcp.synAckRetries = 3;
    this.tcp.minRto = 30 * MILLISECOND;
    this.tcp.rtoSlop = 200 * MILLISECOND;
    this.tcp.answerInterval = 0; // it counts challenge ACKs per second instead of spacing them
  }

  /** What the scripts' own `defaults.sh` sets on Linux. */
  useLinuxDefaults(): void {
    this.tcp.recvBufferMax = 15 * 1024 * 1024;
    this.sendSpace = 256 * 1024;
    this.tcp.synTimeout = synTimeout(5);
    this.tcp.idleRestart = false; // tcp_slow_start_after_idle = 0
    this.tcp.ecn = 'off'; // tcp_ecn = 0
  }

  set(name: string, value: string): void {
    if (name.startsWith('net.inet.') || name.startsWith('kern.') || name.startsWith('net.inet6.')) {
      this.useFreebsd();
      this.#apply(FREEBSD, name, value);
    } else this.#apply(LINUX, name.replaceAll('/', '.').replace(/^\.?proc\.sys\./, ''), value);
  }

  #apply(table: Readonly<Record<string, Setting>>, name: string, value: string): void {
    const setting = Object.hasOwn(table, name) ? table[name] : undefined;
    if (setting === undefined) {
      if (!IRRELEVANT.test(name)) this.doubt(`setting ${name}=${value}`);
      return;
    }
    if (setting(this, value.trim()) === false) this.doubt(`setting ${name}=${value}`);
  }
}

/** Applies a value; false when the stack does not do that. */
type Setting = (profile: Profile, value: string) => unknown;

/** Linux's net.ipv4.tcp_syn_retries as a time: 1 + 2 + 4 … s. */
const synTimeout = (retries: number): number => (2 ** (retries + 1) - 1) * SECOND;

/** A setting the stack has only one value of. */
const only =
  (...values: string[]): Setting =>
  (_, value) =>
    values.includes(value);

const numbers = (value: string): number[] => value.split(/\s+/).map(Number);

const seconds =
  (name: 'finWait2' | 'keepAliveIdle' | 'keepAliveInterval'): Setting =>
  (profile, value) => {
    profile.tcp[name] = Number(value) * SECOND;
  };

const millis =
  (
    name: 'synTimeout' | 'initialRto' | 'minRto' | 'rtoSlop' | 'finWait2' | 'keepAliveIdle' | 'keepAliveInterval',
  ): Setting =>
  (profile, value) => {
    profile.tcp[name] = Number(value) * MILLISECOND;
  };

const CONGESTION: Record<string, string> = { cubic: 'cubic', reno: 'reno', newreno: 'reno', bbr: 'bbr' };

const congestion: Setting = (profile, value) => {
  if (!Object.hasOwn(CONGESTION, value)) return false;
  profile.tcp.congestion = CONGESTION[value];
  return true;
};

/** 0, 1 and 2 mean the same on both; what is above is AccECN. */
const ecn: Setting = (profile, value) => {
  const mode = { '0': 'off', '1': 'on', '2': 'passive' }[value];
  if (mode === undefined) return false;
  profile.tcp.ecn = mode as 'off' | 'on' | 'passive';
  return true;
};

const LINUX: Readonly<Record<string, Setting>> = {
  'net.ipv4.tcp_sack': (p, v) => {
    p.tcp.sack = v !== '0';
  },
  'net.ipv4.tcp_dsack': only('1'),
  'net.ipv4.tcp_timestamps': (p, v) => {
    p.tcp.timestamps = v !== '0';
  },
  'net.ipv4.tcp_window_scaling': (p, v) => {
    p.tcp.windowScaling = v !== '0';
  },
  'net.ipv4.tcp_ecn': ecn,
  'net.ipv4.tcp_reordering': only('3'),
  'net.ipv4.tcp_congestion_control': congestion,
  'net.ipv4.tcp_rmem': (p, v) => {
    const [, initial, most] = numbers(v);
    p.receiveSpace = initial;
    p.tcp.recvBufferMax = Math.min(most, 15 * 1024 * 1024);
  },
  'net.ipv4.tcp_wmem': (p, v) => {
    const [, initial, most] = numbers(v);
    p.sendSpace = initial;
    p.tcp.sendBufferMax = Math.min(most, 16 * 1024 * 1024);
  },
  'net.ipv4.tcp_syn_retries': (p, v) => {
    p.tcp.synTimeout = synTimeout(Number(v));
  },
  'net.ipv4.tcp_synack_retries': (p, v) => {
    p.tcp.synAckRetries = Number(v);
  },
  'net.ipv4.tcp_retries2': (p, v) => {
    // The time so many retransmissions take from an RTO of 200 ms on, doubled up to 120 s: Linux computes the same.
    let total = 0;
    for (let i = 0; i <= Number(v); i++) total += Math.min(200 * MILLISECOND * 2 ** i, 120 * SECOND);
    p.tcp.userTimeout = total;
  },
  'net.ipv4.tcp_fin_timeout': seconds('finWait2'),
  'net.ipv4.tcp_keepalive_time': seconds('keepAliveIdle'),
  'net.ipv4.tcp_keepalive_intvl': seconds('keepAliveInterval'),
  'net.ipv4.tcp_keepalive_probes': (p, v) => {
    p.tcp.keepAliveCount = Number(v);
  },
  'net.ipv4.tcp_slow_start_after_idle': (p, v) => {
    p.tcp.idleRestart = v !== '0';
  },
  'net.ipv4.tcp_early_retrans': (p, v) => {
    p.tcp.tailLossProbe = Number(v) >= 3;
  },
  'net.ipv4.tcp_recovery': (p, v) => {
    p.tcp.lossDetection = (Number(v) & 1) !== 0 ? 'rack' : 'sack';
  },
  'net.ipv4.tcp_frto': only('1', '2'),
  'net.ipv4.tcp_syncookies': (p, v) => {
    p.tcp.synCookies = v === '0' ? 'off' : v === '2' ? 'always' : 'auto';
  },
  'net.ipv4.tcp_challenge_ack_limit': (p, v) => {
    p.tcp.challengeAcks = Math.min(Number(v), 1_000_000);
  },
  'net.ipv4.tcp_rto_min_us': (p, v) => {
    p.tcp.minRto = Number(v);
  },
  'net.ipv4.tcp_abort_on_overflow': only('0'),
  'net.ipv4.tcp_mtu_probing': (p, v) => {
    p.tcp.mtuProbing = v !== '0';
  },
  'net.ipv4.tcp_thin_linear_timeouts': only('0'),
  'net.ipv4.tcp_invalid_ratelimit': (p, v) => {
    p.tcp.answerInterval = Number(v) * MILLISECOND;
  },
  'net.ipv4.tcp_shrink_window': only('0'),
  'net.ipv4.tcp_notsent_lowat': only('4294967295', '-1'),
  'net.ipv4.ip_default_ttl': (p, v) => {
    p.tcp.ttl = Number(v);
  },
};

const FREEBSD: Readonly<Record<string, Setting>> = {
  'net.inet.tcp.rfc1323': (p, v) => {
    p.tcp.windowScaling = v === '1' || v === '2';
    p.tcp.timestamps = v === '1' || v === '3';
  },
  'net.inet.tcp.sack.enable': (p, v) => {
    p.tcp.sack = v !== '0';
  },
  'net.inet.tcp.ecn.enable': ecn,
  'net.inet.tcp.rexmit_initial': millis('initialRto'),
  'net.inet.tcp.rexmit_min': millis('minRto'),
  'net.inet.tcp.rexmit_slop': millis('rtoSlop'),
  'net.inet.tcp.rexmit_drop_options': only('0'),
  'net.inet.tcp.recvspace': (p, v) => {
    p.receiveSpace = Number(v);
  },
  'net.inet.tcp.sendspace': (p, v) => {
    p.sendSpace = Number(v);
  },
  'kern.ipc.maxsockbuf': (p, v) => {
    p.tcp.recvBufferMax = Math.min(Number(v), 15 * 1024 * 1024);
  },
  'net.inet.tcp.initcwnd_segments': (p, v) => {
    p.tcp.initialWindow = Number(v);
  },
  'net.inet.tcp.msl': (p, v) => {
    p.tcp.timeWait = 2 * Number(v) * MILLISECOND;
  },
  'net.inet.tcp.keepinit': millis('synTimeout'),
  'net.inet.tcp.keepidle': millis('keepAliveIdle'),
  'net.inet.tcp.keepintvl': millis('keepAliveInterval'),
  'net.inet.tcp.keepcnt': (p, v) => {
    p.tcp.keepAliveCount = Number(v);
  },
  'net.inet.tcp.finwait2_timeout': millis('finWait2'),
  'net.inet.tcp.cc.algorithm': congestion,
  'net.inet.tcp.insecure_syn': only('0'),
  'net.inet.tcp.insecure_rst': only('0'),
  'net.inet.tcp.insecure_ack': only('0'),
  'net.inet.tcp.blackhole': only('0'),
  'net.inet.tcp.drop_synfin': only('0'),
  'net.inet.tcp.icmp_may_rst': only('1'),
  'net.inet.tcp.always_keepalive': only('1', '0'),
  'net.inet.tcp.functions_default': only('freebsd'),
  'net.inet.tcp.tolerate_missing_ts': only('0'),
  'net.inet.tcp.delayed_ack': only('1'),
  'net.inet.tcp.path_mtu_discovery': only('1'),
  'net.inet.tcp.syncookies_only': only('0'),
  'net.inet.ip.ttl': (p, v) => {
    p.tcp.ttl = Number(v);
  },
};

// Settings of things that are not there, or that no packet and no call can show: offloads, pacing below the stack, caches, statistics, routing.
const IRRELEVANT = new RegExp(
  `^(?:${[
    'net\\.ipv4\\.tcp_(?:fack|fastopen|fastopen_key|fastopen_blackhole_timeout_sec|tso_win_divisor|min_tso_segs|tso_rtt_log|pacing_ss_ratio|pacing_ca_ratio|no_metrics_save|moderate_rcvbuf|retries1|max_syn_backlog|autocorking|limit_output_bytes|min_rtt_wlen|base_mss|comp_sack_.*|adv_win_scale|app_win|early_demux|max_tw_buckets|tw_reuse|tw_reuse_delay|rfc1337|mem|orphan_retries|max_orphans|max_reordering|workaround_signed_windows|reflect_tos|stdurg|probe_interval|probe_threshold|low_latency|plb_.*|syn_linear_timeouts|migrate_req|backlog_ack_defer|available_.*|allowed_.*)',
    'net\\.ipv4\\.(?:conf|route|neigh|ip_local_port_range|ip_forward|icmp_.*|xfrm.*|ip_no_pmtu_disc).*',
    'net\\.(?:core|ipv6|netfilter|mptcp|unix)\\..*',
    'net\\.inet\\.tcp\\.(?:hostcache\\..*|delacktime|mssdflt|minmss|v6mssdflt|nolocaltimewait|fast_finwait2_recycle|tso|do_tcpdrain|syncookies|syncache\\..*|rfc3042|rfc3390|rfc3465|abc_l_var|do_prr|do_prr_conservative|do_lrd|rfc6675_pipe|fastopen\\..*|log_.*|lro\\..*|reass\\..*|sendbuf_.*|recvbuf_.*|isn_reseed_interval|soreceive_stream|sack\\..*|ecn\\.maxretries|ecn\\.generalized|maxtcptw|drop|pcbcount|per_cpu_timers|timer_race|udp_tunneling.*|ack_war_.*|newcwv|pmtud_blackhole_.*|cc\\..*|experimental\\..*|rack\\..*|bb\\..*|hpts\\..*|persmax|persmin|persist.*|maxpersistidle|map_limit|split_limit|retries|ts_offset_per_conn|require_unique_port|bind_all_fibs|delack.*|slowstart_flightsize|local_slowstart_flightsize|initcwnd.*|inflight.*)',
    'net\\.inet\\.(?:icmp|udp|ip|raw)\\..*',
    'net\\.inet6\\..*',
    'kern\\..*',
  ].join('|')})$`,
);
