// `tapstack dump`: frames of a capture file or of a running stack, a line each, in full, in hexadecimal or as JSON.

import { createReadStream, existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { detailLines } from '../capture/details.ts';
import { dissect } from '../capture/dissect.ts';
import { compileFilter, type Filter, FilterError } from '../capture/filter.ts';
import { type CapturedFrame, LINKTYPE_ETHERNET } from '../capture/frame.ts';
import { hexLines } from '../capture/hex.ts';
import { interfaceDescription, packet, sectionHeader } from '../capture/pcapng.ts';
import { readCapture } from '../capture/reader.ts';
import { Summary } from '../capture/summary.ts';
import type { FrameView } from '../control/views.ts';
import { follow, type RemoteOptions, withRemoteOptions } from './remote.ts';
import { portOf } from './services.ts';
import { CommandError, misuse } from './usage.ts';

export interface PrintOptions {
  /** Every field of every layer. */
  readonly verbose?: boolean;
  /** The bytes of every frame. */
  readonly hex?: boolean;
  /** Begin lines with the Ethernet header. */
  readonly link?: boolean;
  /** Sequence numbers as they stand in the header. */
  readonly absolute?: boolean;
  /** No time in front. */
  readonly noTime?: boolean;
  /** Stop after so many frames have been printed. */
  readonly count?: number;
  /** One JSON object per line. */
  readonly json?: boolean;
  readonly filter?: Filter;
}

/** What is printed to: `process.stdout`, or a string in a test. */
export interface Output {
  write(text: string): boolean;
  once?(event: 'drain', listener: () => void): unknown;
}

/** Print frames until the source ends or `count` are printed; returns how many were. Waits for `out` when it is slow. */
export async function printFrames(
  source: AsyncIterable<CapturedFrame>,
  options: PrintOptions,
  out: Output,
): Promise<number> {
  const summary = new Summary({ absolute: options.absolute ?? false, link: options.link ?? false });
  const filter = options.filter ?? (() => true);
  const limit = options.count ?? Number.POSITIVE_INFINITY;
  let number = 0;
  let printed = 0;
  for await (const frame of source) {
    number++;
    const layers = dissect(frame.bytes, frame.linkType, frame.wireLength);
    if (!filter({ frame, layers })) continue;
    let text: string;
    if (options.json === true) {
      text = JSON.stringify({
        number,
        time: isoTime(frame.time),
        length: frame.wireLength,
        direction: frame.direction,
        interface: frame.interfaceName,
        comment: frame.comment,
        summary: summary.line(layers, frame.wireLength),
        layers,
        ...(options.hex === true ? { bytes: Buffer.from(frame.bytes).toString('hex') } : {}),
      });
    } else {
      const lines = [`${headOf(frame, options)}${summary.line(layers, frame.wireLength)}`];
      if (options.verbose === true) {
        lines.push(frameLine(frame, number), ...detailLines(layers, frame.bytes, '  '));
      }
      if (frame.comment !== null) lines.push(`  # ${frame.comment}`);
      if (options.hex === true) lines.push(...hexLines(frame.bytes, '  '));
      text = lines.join('\n');
    }
    if (!out.write(`${text}\n`) && out.once !== undefined) {
      await new Promise<void>((resolve) => out.once?.('drain', resolve));
    }
    if (++printed >= limit) break;
  }
  return printed;
}

const NANOS = 1_000_000_000n;

/** `2000-10-12T09:19:15.375600000Z` */
export function isoTime(nanos: bigint): string {
  const seconds = nanos / NANOS;
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${date}.${String(nanos % NANOS).padStart(9, '0')}Z`;
}

/** Time of day where we are, to the microsecond, as tcpdump prints it. */
function clockTime(nanos: bigint): string {
  const date = new Date(Number(nanos / 1_000_000n));
  const pad = (value: number): string => String(value).padStart(2, '0');
  const micros = String((nanos % NANOS) / 1000n).padStart(6, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${micros}`;
}

function headOf(frame: CapturedFrame, options: PrintOptions): string {
  const time = options.noTime === true ? '' : `${clockTime(frame.time)} `;
  const direction = frame.direction === null ? '' : frame.direction === 'in' ? 'In  ' : 'Out ';
  return time + direction;
}

function frameLine(frame: CapturedFrame, number: number): string {
  const cut = frame.bytes.length < frame.wireLength ? `, ${frame.bytes.length} of them captured` : '';
  const at = frame.interfaceName === null ? '' : ` on ${frame.interfaceName}`;
  return `  Frame ${number}, ${frame.wireLength} bytes${cut}${at}, ${isoTime(frame.time)}`;
}

/** The frames of a capture file, or of standard input for "-". */
async function* framesOf(path: string): AsyncGenerator<CapturedFrame> {
  try {
    yield* readCapture(path === '-' ? process.stdin : createReadStream(path));
  } catch (error) {
    throw new CommandError(`dump: ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function* liveFrames(options: RemoteOptions): AsyncGenerator<CapturedFrame> {
  for await (const view of follow<FrameView>(options, 'dump')) {
    if (view.lost > 0) process.stderr.write(`tapstack: dump: ${view.lost} frames missed here\n`);
    const bytes = new Uint8Array(Buffer.from(view.data, 'base64'));
    yield {
      time: BigInt(view.time),
      bytes,
      wireLength: bytes.length,
      linkType: LINKTYPE_ETHERNET,
      direction: view.direction,
      interfaceName: view.interface,
      comment: null,
    };
  }
}

/** Write what the filter lets through as pcapng; returns how many frames. */
async function writeFrames(source: AsyncIterable<CapturedFrame>, options: PrintOptions, path: string): Promise<number> {
  const file = await open(path, 'w').catch((error: unknown) => {
    throw new CommandError(`dump: ${path}: ${error instanceof Error ? error.message : String(error)}`);
  });
  const interfaces = new Map<string, number>();
  let written = 0;
  try {
    await file.write(sectionHeader('tapstack dump'));
    for await (const frame of source) {
      const { bytes, linkType, wireLength, interfaceName, time, direction, comment } = frame;
      if (options.filter?.({ frame, layers: dissect(bytes, linkType, wireLength) }) === false) continue;
      const key = `${linkType} ${interfaceName ?? ''}`;
      let id = interfaces.get(key);
      if (id === undefined) {
        id = interfaces.size;
        interfaces.set(key, id);
        await file.write(interfaceDescription({ name: interfaceName ?? 'unknown', linkType }));
      }
      await file.write(packet(id, time, direction, bytes, 0, bytes.length, wireLength, comment ?? undefined));
      if (++written >= (options.count ?? Number.POSITIVE_INFINITY)) break;
    }
  } finally {
    await file.close();
  }
  return written;
}

interface DumpOptions extends RemoteOptions {
  readonly read?: string;
  readonly write?: string;
  readonly verbose?: boolean;
  readonly hex?: boolean;
  readonly link?: boolean;
  readonly absolute?: boolean;
  readonly time: boolean;
  readonly count?: number;
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(text);
}

/** The first word is a file when it is there, or looks like a capture. */
const isFile = (word: string | undefined): word is string =>
  word !== undefined &&
  (word === '-' || /\.(pcap|pcapng|cap)$/i.test(word) || (word.includes('/') && existsSync(word)));

/** @throws CommandError when the words are no filter */
export function parseFilter(words: readonly string[]): Filter {
  try {
    return compileFilter(words.join(' '), { portOf });
  } catch (error) {
    if (error instanceof FilterError) throw misuse(`dump: ${error.message}`);
    throw error;
  }
}

async function dump(words: string[], options: DumpOptions): Promise<void> {
  const named = options.read === undefined && isFile(words[0]);
  const path = named ? words[0] : options.read;
  const filter = parseFilter(named ? words.slice(1) : words);
  if (path !== undefined && options.stack !== undefined) {
    throw misuse('dump: --stack is for frames of a running stack, not of a file');
  }
  const source = path === undefined ? liveFrames(options) : framesOf(path);
  const { verbose, hex, link, absolute, count, json } = options;
  const print: PrintOptions = { verbose, hex, link, absolute, count, json, filter, noTime: !options.time };
  if (options.write === undefined) {
    await printFrames(source, print, process.stdout);
    return;
  }
  const written = await writeFrames(source, print, options.write);
  process.stderr.write(`${written} frames written to ${options.write}\n`);
}

export function register(program: Command): void {
  const command = new Command('dump')
    .description('print the frames of a running stack, or of a capture file (pcap or pcapng)')
    .argument('[words...]', 'a capture file ("-" for standard input; none: a running stack), then a filter')
    .option('-r, --read <file>', 'read this capture')
    .option('-w, --write <file>', 'write the frames to a pcapng file instead of printing them')
    .option('-v, --verbose', 'print every field of every layer')
    .option('-x, --hex', 'print the bytes of every frame')
    .option('-e, --link', 'print the Ethernet header in every line')
    .option('-S, --absolute', 'print sequence numbers as they are, not relative to the connection')
    .option('-t, --no-time', 'print no time')
    .option('-c, --count <n>', 'stop after so many frames', positive)
    .addHelpText(
      'after',
      `
The filter is tcpdump's language: host, net, port, portrange with src or dst; ip, arp, tcp, udp, icmp, igmp, ip6; and, or, not;
broadcast, multicast, vlan, less, greater, inbound, outbound; tcp[tcpflags] & (tcp-syn|tcp-fin) != 0.

Examples:
  $ sudo tapstack dump                              what a running stack receives and sends
  $ sudo tapstack dump -v tcp port pop3             every field of the POP3 traffic
  $ tapstack dump session.pcapng host 10.9.0.1 and not icmp
  $ tapstack dump -r session.pcap --json | jq .summary`,
    );
  withRemoteOptions(command).action(dump);
  program.addCommand(command);
}
