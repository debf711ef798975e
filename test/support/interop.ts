// What every interop file does around its tests: a namespace with a stack in it, skipped with a reason where it cannot run, and
// at the end the proof that the stack went away as it came.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { interrupt, missing, Netns, type Running } from './netns.ts';

export const TAP = 'tap0';
export const STACK = '10.9.0.2';
export const HOST = '10.9.0.1';
export const BASIC = ['--tap', TAP, '--address', `${STACK}/24`, '--host', `${HOST}/24`] as const;

/** Skip every test of this file, saying why, unless root and `programs` are there. Returns whether they are. */
export function needs(...programs: string[]): boolean {
  const reason = missing(...programs);
  beforeEach((context) => {
    if (reason !== null) context.skip(reason);
  });
  return reason === null;
}

export interface Host {
  readonly netns: Netns;
  readonly stack: Running;
  /** Where `--pcap` wrote, when `capture` was asked for. */
  readonly pcap: string;
}

export interface HostOptions {
  programs?: string[];
  args?: readonly string[] | ((netns: Netns) => readonly string[] | Promise<readonly string[]>);
  /** Record every frame, and check at the end that tshark finds none malformed and no bad checksum. */
  capture?: boolean;
  /** Protocols above TCP and UDP that tshark is not to judge, because it mistakes them. */
  undissected?: string[];
}

/** A namespace with a running stack for the tests of this file. */
export function useHost(options: HostOptions = {}): Host {
  const { programs = [], args = [], capture = false, undissected = [] } = options;
  const able = needs(...programs, ...(capture ? ['tshark'] : []));
  let netns: Netns | undefined;
  let stack: Running | undefined;
  const pcap = (): string => join((netns as Netns).directory, 'frames.pcapng');

  beforeAll(async () => {
    if (!able) return;
    netns = new Netns();
    const more = typeof args === 'function' ? await args(netns) : args;
    stack = await netns.up([...BASIC, ...more, ...(capture ? ['--pcap', pcap()] : [])]);
  });

  afterAll(async () => {
    if (netns === undefined) return;
    try {
      if (stack === undefined) return;
      const { status, stderr } = await interrupt(stack);
      expect(status, `exit status of the stack\n${stderr}`).toBe(0);
      expect(stderr).toBe('');
      expect(netns.interfaces()).toEqual([]);
      expect(existsSync(join(netns.directory, 'tapstack'))).toBe(false);
      expect(netns.ip('route', 'show')).toBe('');
      if (capture) await expectCleanCapture(netns, pcap(), undissected);
    } finally {
      await netns.destroy();
    }
  });

  return {
    get netns() {
      return netns as Netns;
    },
    get stack() {
      return stack as Running;
    },
    get pcap() {
      return pcap();
    },
  };
}

const VALIDATE = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'].flatMap((name) => [
  '-o',
  `${name}:TRUE`,
]);
const BAD = ['ip', 'tcp', 'udp', 'icmp'].map((name) => `${name}.checksum.status == "Bad"`).join(' || ');

/** What tshark's expert thinks of `file`: no frame malformed, no checksum bad, and at least some frames there. */
export async function expectCleanCapture(netns: Netns, file: string, undissected: string[] = []): Promise<void> {
  const tshark = async (...args: string[]): Promise<string> => {
    const options = [...VALIDATE, ...undissected.flatMap((protocol) => ['--disable-protocol', protocol])];
    const { status, stdout, stderr } = await netns.run('tshark', ['-r', file, ...options, ...args], {
      timeout: 120_000,
    });
    expect(status, stderr).toBe(0);
    return stdout;
  };
  const frames = await tshark('-T', 'fields', '-e', 'frame.number');
  expect(frames.split('\n').length, 'frames captured').toBeGreaterThan(10);
  expect(await tshark('-Y', `_ws.malformed || ${BAD}`)).toBe('');
  expect(await tshark('-q', '-z', 'expert')).not.toMatch(/malformed|checksum/i);
}

/** Files below `directory`, for "nothing left behind". */
export const filesIn = (directory: string): string[] =>
  existsSync(directory) ? (readdirSync(directory, { recursive: true }) as string[]).sort() : [];
