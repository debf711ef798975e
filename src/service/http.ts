// A small HTTP service for trying a stack out: a status page, bytes by the gigabyte, and a sink that proves what arrived.
//
//   GET  /            what this is and how it does
//   GET  /bytes/N     N octets, each derived from its position, so that a piece out of place shows; single ranges are served
//   PUT  /sink        counts and hashes the body: {"length":…,"sha256":"…"}   (POST too)
//
// node:http does the protocol; it is handed connections of whatever network it runs on by its 'connection' event.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import debug from 'debug';
import type { NetApi } from './api.ts';
import { type Listening, listenTcp } from './listen.ts';

const log = debug('tapstack:http');

export const MAX_BYTES = 2 ** 40;
const CHUNK = 64 * 1024;
const REQUEST_TIMEOUT = 120_000;

export interface HttpServiceOptions {
  net: NetApi;
  port?: number | undefined;
  host?: string | undefined;
  maxConnections?: number | undefined;
  /** Shown on the status page. */
  title?: string | undefined;
}

interface Tally {
  readonly started: number;
  readonly title: string;
  requests: number;
  sent: number;
  received: number;
}

export async function startHttp(options: HttpServiceOptions): Promise<Listening> {
  const tally: Tally = {
    started: Date.now(),
    title: options.title ?? `tapstack on ${hostname()}`,
    requests: 0,
    sent: 0,
    received: 0,
  };
  let open: () => number = () => 0;
  const server: Server = createServer((request, response) => {
    tally.requests++;
    log('%s %s', request.method, request.url);
    respond(request, response, tally, open).catch((error: Error) => {
      log('%s %s: %s', request.method, request.url, error.message);
      response.destroy();
    });
  });
  server.timeout = REQUEST_TIMEOUT; // no octet either way for this long: gone
  server.on('clientError', (error, socket) => {
    log('client error: %s', error.message);
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  const listening = await listenTcp(
    {
      net: options.net,
      port: options.port ?? 80,
      host: options.host,
      maxConnections: options.maxConnections,
      idleTimeout: 0,
      log,
    },
    // node:http documents that any Duplex may be given to it this way; its types say net.Socket.
    (socket) => void server.emit('connection', socket as unknown as Socket),
  );
  open = () => listening.connections.size;
  return listening;
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  tally: Tally,
  open: () => number,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0] as string;
  const method = request.method ?? 'GET';
  const reading = method === 'GET' || method === 'HEAD';
  if (path === '/' || path === '/index.html') {
    if (!reading) return refuse(response, 405, 'use GET', { Allow: 'GET, HEAD' });
    const page = Buffer.from(statusPage(tally, open()));
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Length': page.length });
    response.end(method === 'HEAD' ? undefined : page);
    return;
  }
  if (path.startsWith('/bytes/')) {
    if (!reading) return refuse(response, 405, 'use GET', { Allow: 'GET, HEAD' });
    return sendBytes(request, response, path.slice('/bytes/'.length), tally);
  }
  if (path === '/sink') {
    if (method !== 'PUT' && method !== 'POST') return refuse(response, 405, 'use PUT or POST', { Allow: 'PUT, POST' });
    return sink(request, response, tally);
  }
  return refuse(response, 404, 'there are /, /bytes/N and /sink here');
}

function refuse(response: ServerResponse, status: number, why: string, headers: Record<string, string> = {}): void {
  const body = Buffer.from(`${why}\n`);
  response.writeHead(status, { ...headers, 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
}

async function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  count: string,
  tally: Tally,
): Promise<void> {
  const length = /^\d{1,13}$/.test(count) ? Number(count) : Number.NaN;
  if (!(length <= MAX_BYTES)) return refuse(response, 400, `N in /bytes/N is a whole number from 0 to ${MAX_BYTES}`);
  const range = parseRange(request.headers.range, length);
  if (range === 'unsatisfiable') {
    return refuse(response, 416, 'no such range', { 'Content-Range': `bytes */${length}` });
  }
  const [from, to] = range ?? [0, length];
  response.writeHead(range ? 206 : 200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': to - from,
    'Accept-Ranges': 'bytes',
    ...(range ? { 'Content-Range': `bytes ${from}-${to - 1}/${length}` } : {}),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  let position = from;
  const source = new Readable({
    highWaterMark: CHUNK,
    read() {
      if (position === to) return void this.push(null);
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, to - position));
      fillPattern(chunk, position);
      position += chunk.length;
      tally.sent += chunk.length;
      this.push(chunk);
    },
  });
  await pipeline(source, response);
}

/**
 * The octets at [position, position + into.length) of the pattern: big-endian 32-bit words, word i being i times the
 * odd constant 0x9e3779b1, so that no word repeats within 16 GB.
 */
export function fillPattern(into: Uint8Array, position: number): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  let i = 0;
  for (; i < into.length && (position + i) % 4 !== 0; i++) into[i] = octetAt(position + i);
  let word = (position + i) / 4;
  for (; i + 4 <= into.length; i += 4) view.setInt32(i, Math.imul(word++, 0x9e3779b1));
  for (; i < into.length; i++) into[i] = octetAt(position + i);
}

function octetAt(position: number): number {
  return (Math.imul(Math.floor(position / 4), 0x9e3779b1) >>> (24 - (position % 4) * 8)) & 0xff;
}

/** One range of RFC 9110 §14.1.2 as [from, to); null when there is none, or more than one (then all is sent, as allowed). */
export function parseRange(header: string | undefined, length: number): [number, number] | 'unsatisfiable' | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const suffix = Math.min(Number(match[2]), length);
    return suffix === 0 ? 'unsatisfiable' : [length - suffix, length];
  }
  const from = Number(match[1]);
  const to = match[2] === '' ? length : Math.min(Number(match[2]) + 1, length);
  if (match[2] !== '' && Number(match[2]) < from) return null; // malformed: ignored
  return from >= length ? 'unsatisfiable' : [from, to];
}

async function sink(request: IncomingMessage, response: ServerResponse, tally: Tally): Promise<void> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
    tally.received += chunk.length;
  }
  const body = Buffer.from(`${JSON.stringify({ length, sha256: hash.digest('hex') })}\n`);
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}

function statusPage(tally: Tally, open: number): string {
  const title = tally.title.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title></head>
<body>
<h1>${title}</h1>
<p>This page came to you through a TCP/IP stack that runs inside a Node.js process.</p>
<table>
<tr><th align="left">up for</th><td>${((Date.now() - tally.started) / 1000).toFixed(1)} s</td></tr>
<tr><th align="left">open connections</th><td>${open}</td></tr>
<tr><th align="left">requests</th><td>${tally.requests}</td></tr>
<tr><th align="left">pattern bytes sent</th><td>${tally.sent}</td></tr>
<tr><th align="left">bytes received</th><td>${tally.received}</td></tr>
</table>
<ul>
<li><a href="/bytes/1000000">/bytes/1000000</a>: a million position-derived bytes</li>
<li><code>curl -T FILE http://…/sink</code>: length and SHA-256 of what arrived</li>
</ul>
</body>
</html>
`;
}
