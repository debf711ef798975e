// A self-signed X.509 certificate — RFC 5280 — made in memory, for services that offer TLS and were given no certificate.
//
// It keeps a passive listener out and proves nothing about who we are: clients have to be told to accept it.

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** One DER element: tag, definite length, contents (X.690 §8.1). */
function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest >>>= 8) length.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), body]);
}

const sequence = (...contents: Uint8Array[]): Buffer => der(0x30, ...contents);
const set = (...contents: Uint8Array[]): Buffer => der(0x31, ...contents);
const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));
const octets = (body: Uint8Array): Buffer => der(0x04, body);
const bits = (body: Uint8Array): Buffer => der(0x03, Buffer.from([0]), body);
const generalizedTime = (at: Date): Buffer =>
  der(0x18, Buffer.from(`${at.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));

/** An object identifier from its encoded arcs. */
const oid = (...encoded: number[]): Buffer => der(0x06, Buffer.from(encoded));
const ECDSA_WITH_SHA256 = oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02); // 1.2.840.10045.4.3.2
const COMMON_NAME = oid(0x55, 0x04, 0x03); // 2.5.4.3
const SUBJECT_ALT_NAME = oid(0x55, 0x1d, 0x11); // 2.5.29.17
const BASIC_CONSTRAINTS = oid(0x55, 0x1d, 0x13); // 2.5.29.19
const TRUE = Buffer.from([0x01, 0x01, 0xff]);

const DAY = 24 * 3600_000;

/** Key and certificate for `host`, as PEM, valid from yesterday for `days`. */
export function selfSigned(host: string, days = 397, now = new Date()): { key: string; cert: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(set(sequence(COMMON_NAME, utf8(host.slice(0, 64)))));
  const serial = randomBytes(16);
  serial[0] = (serial[0] & 0x7f) | 0x40; // positive, and no leading zero
  const algorithm = sequence(ECDSA_WITH_SHA256);
  const extensions = sequence(
    sequence(SUBJECT_ALT_NAME, octets(sequence(der(0x82, Buffer.from(host, 'latin1'))))), // dNSName
    sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence())), // not a CA
  );
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // v3
    der(0x02, serial),
    algorithm,
    name,
    sequence(generalizedTime(new Date(now.getTime() - DAY)), generalizedTime(new Date(now.getTime() + days * DAY))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  const certificate = sequence(toBeSigned, algorithm, bits(sign('sha256', toBeSigned, privateKey)));
  const lines = certificate.toString('base64').match(/.{1,64}/g) as string[];
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}
