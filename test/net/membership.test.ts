import { expect, test } from 'vitest';
import { formatIpv4 } from '../../src/wire/address.ts';
import * as igmp from '../../src/wire/igmp.ts';
import { SECOND } from '../../src/world.ts';
import type { BenchHost } from '../support/bench-host.ts';
import { benchHost, frame, ip, ipPacket } from '../support/bench-host.ts';

const GROUP = ip('239.1.2.3');
const OTHER = ip('239.4.5.6');

/** What was said, and where to. */
function said(host: BenchHost): string[] {
  return host.frames().map((bytes) => {
    const dv = new DataView(bytes.buffer);
    const at = 14 + (bytes[14] & 15) * 4;
    expect([bytes[22], bytes[23], bytes[34]], 'TTL 1, IGMP, router alert').toEqual([1, 2, 148]);
    expect(igmp.check(dv, at, bytes.length)).toBeGreaterThan(0);
    const to = formatIpv4(dv.getInt32(30));
    expect(bytes[2]).toBe(0x5e);
    if (igmp.type(dv, at) !== igmp.V3_REPORT)
      return `${igmp.type(dv, at).toString(16)} ${formatIpv4(igmp.group(dv, at))} to ${to}`;
    const records = Array.from(
      { length: igmp.recordCount(dv, at) },
      (_, i) => `${igmp.recordType(dv, at, i)}:${formatIpv4(igmp.recordGroup(dv, at, i))}`,
    );
    return `v3 ${records.join(' ')} to ${to}`;
  });
}

function query(code: number, group: number, v3: boolean): Uint8Array {
  const bytes = new Uint8Array(v3 ? 12 : 8);
  const dv = new DataView(bytes.buffer);
  igmp.set(dv, 0, igmp.QUERY, group);
  bytes[1] = code;
  igmp.finish(dv, 0, bytes.length);
  const options = Uint8Array.of(148, 4, 0, 0);
  return frame(ipPacket({ protocol: 2, ttl: 1, dst: '224.0.0.1', payload: bytes, options }), 0x01005e000001);
}

test('joining and leaving are reported twice to 224.0.0.22 (RFC 3376 §5.1), and 224.0.0.1 never (RFC 1112 §4)', () => {
  const host = benchHost();
  host.nic.membership.join(GROUP);
  host.nic.membership.join(GROUP);
  host.nic.membership.join(ip('224.0.0.1'));
  host.net.run(5 * SECOND);
  expect(said(host)).toEqual(new Array(2).fill('v3 4:239.1.2.3 to 224.0.0.22'));
  host.nic.membership.leave(GROUP);
  host.net.run(5 * SECOND);
  expect(said(host)).toEqual([]);
  host.nic.membership.leave(GROUP);
  expect(host.nic.membership.has(GROUP)).toBe(false);
  host.net.run(5 * SECOND);
  expect(said(host)).toEqual(new Array(2).fill('v3 3:239.1.2.3 to 224.0.0.22'));
  expect(host.stack.wheel.queued).toBe(0);
});

test('a general query is answered with one report of all groups, within the time it allows (RFC 3376 §5.2)', () => {
  const host = benchHost();
  host.nic.membership.join(GROUP);
  host.nic.membership.join(OTHER);
  host.net.run(5 * SECOND);
  said(host);
  host.inject(query(20, 0, true));
  host.net.run(2 * SECOND + 1000);
  expect(said(host)).toEqual(['v3 2:239.1.2.3 2:239.4.5.6 to 224.0.0.22']);
  host.inject(query(20, OTHER, true));
  host.net.run(2 * SECOND + 1000);
  expect(said(host)).toEqual(['v3 2:239.4.5.6 to 224.0.0.22']);
});

test('an older querier is answered in its version, and leaving goes to 224.0.0.2 (RFC 3376 §7.2.1, RFC 2236 §3)', () => {
  const host = benchHost();
  host.nic.membership.join(GROUP);
  host.net.run(5 * SECOND);
  said(host);
  host.inject(query(50, 0, false));
  host.net.run(6 * SECOND);
  expect(said(host)).toEqual(['16 239.1.2.3 to 239.1.2.3']);
  host.nic.membership.leave(GROUP);
  host.net.run(30 * SECOND);
  expect(said(host)).toEqual(['17 239.1.2.3 to 224.0.0.2']);
  host.inject(query(0, 0, false));
  host.nic.membership.join(OTHER);
  host.net.run(30 * SECOND);
  expect(said(host)).toEqual(new Array(2).fill('12 239.4.5.6 to 239.4.5.6'));
  host.net.run(400 * SECOND);
  host.nic.membership.join(GROUP);
  expect(said(host).length).toBe(0);
  host.net.run(5 * SECOND);
  expect(said(host)[0]).toBe('v3 4:239.1.2.3 to 224.0.0.22');
});

test('malformed IGMP is dropped and counted; closing leaves every group', () => {
  const host = benchHost();
  const bad = query(20, 0, true);
  bad[bad.length - 1] ^= 1;
  host.inject(bad);
  expect(host.stack.stats.dropMalformedIgmp).toBe(1);
  host.nic.membership.join(GROUP);
  host.net.run(5 * SECOND);
  said(host);
  host.net.close();
  expect(said(host)).toEqual(['v3 3:239.1.2.3 to 224.0.0.22']);
});
