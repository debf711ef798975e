// A POP3 session captured in 2000, byte for byte: decoded it is the JSON beside it, encoded again it is the capture.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { CapturedFrame } from '../../src/capture/frame.ts';
import { CaptureReader } from '../../src/capture/reader.ts';
import { formatIpv4, formatMac } from '../../src/wire/address.ts';
import * as checksum from '../../src/wire/checksum.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as tcpOptions from '../../src/wire/tcp-options.ts';

const fixture = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
const golden = JSON.parse(fixture('pop3-session-2000.json').toString('utf8')) as Record<string, number | string>[];
const FIRST_FRAME = 3;

function frames(): CapturedFrame[] {
  const reader = new CaptureReader();
  reader.push(fixture('pop3-session-2000.pcap'));
  const all: CapturedFrame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) all.push(frame);
  expect(reader.finish()).toBeNull();
  return all;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Where the headers of a frame are. */
function offsets(bytes: Uint8Array) {
  const dv = viewOf(bytes);
  const ip = ethernet.check(dv, 0, bytes.length);
  const transport = ip + ipv4.check(dv, ip, bytes.length);
  const end = ip + ipv4.totalLength(dv, ip);
  const payload = transport + tcp.check(dv, transport, end);
  return { dv, ip, transport, payload, end };
}

const pseudo = (dv: DataView, ip: number, length: number): number =>
  checksum.pseudoV4(ipv4.src(dv, ip), ipv4.dst(dv, ip), ipv4.PROTOCOL_TCP, length);

function decode(frame: CapturedFrame, index: number): Record<string, unknown> {
  const { dv, ip, transport, payload, end } = offsets(frame.bytes);
  const anew = viewOf(frame.bytes.slice());
  ipv4.updateChecksum(anew, ip);
  tcp.setChecksum(anew, transport, 0);
  const sum = checksum.sum(anew, transport, end - transport, pseudo(dv, ip, end - transport));
  return {
    frame: index + FIRST_FRAME,
    wireLength: frame.wireLength,
    timeMicros: Number((frame.time / 1000n) % 1_000_000n),
    ethDst: formatMac(ethernet.dst(dv, 0)),
    ethSrc: formatMac(ethernet.src(dv, 0)),
    ipTotalLength: ipv4.totalLength(dv, ip),
    ipId: ipv4.id(dv, ip),
    ttl: ipv4.ttl(dv, ip),
    ipChecksum: ipv4.checksum(dv, ip),
    src: formatIpv4(ipv4.src(dv, ip)),
    dst: formatIpv4(ipv4.dst(dv, ip)),
    srcPort: tcp.srcPort(dv, transport),
    dstPort: tcp.dstPort(dv, transport),
    seq: tcp.seq(dv, transport) >>> 0,
    ack: tcp.ack(dv, transport) >>> 0,
    tcpHeaderLength: tcp.headerLength(dv, transport),
    flags: tcp.flags(dv, transport),
    window: tcp.window(dv, transport),
    tcpChecksum: tcp.checksum(dv, transport),
    payloadLength: end - payload,
    ipChecksumRebuilt: ipv4.checksum(anew, ip),
    tcpChecksumRebuilt: checksum.finish(sum),
    tcpChecksumValid: checksum.verify(dv, transport, end - transport, pseudo(dv, ip, end - transport)),
  };
}

/** Build the frame anew from its decoded fields, its options and its payload. */
function encode(bytes: Uint8Array): Uint8Array {
  const { dv, ip, transport, payload, end } = offsets(bytes);
  const out = new Uint8Array(bytes.length);
  const to = viewOf(out);
  ethernet.set(to, 0, ethernet.dst(dv, 0), ethernet.src(dv, 0), ethernet.etherType(dv, 0));
  ipv4.set(
    to,
    ip,
    ipv4.headerLength(dv, ip),
    ipv4.tos(dv, ip),
    ipv4.totalLength(dv, ip),
    ipv4.id(dv, ip),
    ipv4.fragment(dv, ip),
    ipv4.ttl(dv, ip),
    ipv4.protocol(dv, ip),
    ipv4.src(dv, ip),
    ipv4.dst(dv, ip),
  );
  ipv4.updateChecksum(to, ip);
  tcp.set(
    to,
    transport,
    tcp.srcPort(dv, transport),
    tcp.dstPort(dv, transport),
    tcp.seq(dv, transport),
    tcp.ack(dv, transport),
    tcp.headerLength(dv, transport),
    tcp.flags(dv, transport),
    tcp.window(dv, transport),
  );
  tcp.setUrgentPointer(to, transport, tcp.urgentPointer(dv, transport));
  const options = new tcpOptions.TcpOptions();
  tcpOptions.parse(dv, transport + tcp.MIN_HEADER, payload, options);
  if (options.mss > 0) {
    const { mss, windowScale, sackPermitted, hasTimestamp, tsVal, tsEcr } = options;
    tcpOptions.setSyn(to, transport + tcp.MIN_HEADER, mss, windowScale, sackPermitted, hasTimestamp, tsVal, tsEcr);
  }
  out.set(bytes.subarray(payload), payload); // payload, and the padding behind it
  const sum = checksum.sum(to, transport, end - transport, pseudo(to, ip, end - transport));
  tcp.setChecksum(to, transport, checksum.finish(sum));
  return out;
}

describe('the captured POP3 session', () => {
  test('decodes to exactly its JSON', () => {
    expect(frames().map(decode)).toEqual(golden);
  });

  test('encodes again to exactly its bytes, the damaged checksum of frame 10 aside', () => {
    frames().forEach((frame, i) => {
      const again = encode(frame.bytes);
      if (i + FIRST_FRAME === 10) viewOf(again).setUint16(50, viewOf(frame.bytes).getUint16(50));
      expect([...again], `frame ${i + FIRST_FRAME}`).toEqual([...frame.bytes]);
    });
  });

  test('has a bad TCP checksum in frame 10 and in no other (M3)', () => {
    const bad = frames()
      .map(decode)
      .filter((frame) => frame.tcpChecksumValid !== true)
      .map((frame) => frame.frame);
    expect(bad).toEqual([10]);
  });

  test('has good IPv4 header checksums throughout (RFC 1122 §3.2.1.2)', () => {
    for (const frame of frames()) expect(ipv4.checksumIsValid(viewOf(frame.bytes), 14)).toBe(true);
  });
});
