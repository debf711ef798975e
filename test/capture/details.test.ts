import { expect, test } from 'vitest';
import { detailLines } from '../../src/capture/details.ts';
import { dissect } from '../../src/capture/dissect.ts';
import { hexLines } from '../../src/capture/hex.ts';
import { icmpFrame, quote, tcpFrame, text, udpFrame } from './frames.ts';

const decode = (frame: Uint8Array): string => detailLines(dissect(frame), frame).join('\n');

test('the full decode names every field of every layer', () => {
  expect(decode(tcpFrame({ flags: 0x18, payload: text('QUIT\r\n') }))).toBe(`  Ethernet
    Destination:           02:00:00:00:00:02
    Source:                02:00:00:00:00:01
    Type:                  0x0800 (IPv4)
  IPv4
    Header length:         20 bytes
    DSCP:                  0
    ECN:                   0 (not ECN-capable)
    Total length:          46 bytes
    Identification:        0x0001 (1)
    Flags:                 don't fragment
    Fragment offset:       0
    Time to live:          64
    Protocol:              6 (TCP)
    Header checksum:       0x26b5 (correct)
    Source:                10.9.0.1
    Destination:           10.9.0.2
  TCP
    Source port:           40000
    Destination port:      110
    Sequence number:       1000
    Acknowledgment number: 0
    Header length:         20 bytes
    Flags:                 0x18 [P.] PSH, ACK
    Window:                64240
    Checksum:              0x5877 (correct)
    Urgent pointer:        0
    Payload:               6 bytes
  Payload, 6 bytes: POP3: QUIT
    0x0000:  5155 4954 0d0a                           QUIT..`);
});

test('an ICMP error contains the packet it complains about, whose checksum is not judged', () => {
  const lines = decode(icmpFrame(3, 3, 0, quote(udpFrame(5000, 33434, text('hello')), 28)));
  expect(lines).toContain('    Packet complained about:\n      IPv4\n');
  expect(lines).toContain('        Destination port:      33434');
  expect(lines).toContain('(not checked: not all of it is here)');
});

test('a hex dump has sixteen bytes to a line and their characters behind', () => {
  expect(hexLines(text('0123456789abcdefgh\n'), ' ')).toEqual([
    ' 0x0000:  3031 3233 3435 3637 3839 6162 6364 6566  0123456789abcdef',
    ' 0x0010:  6768 0a                                  gh.',
  ]);
  expect(hexLines(new Uint8Array(0))).toEqual([]);
});
