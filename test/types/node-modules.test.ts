// What a stack has instead of Node's modules can stand where Node's modules stand, for the compiler too: this file is checked, not run.

import type dgram from 'node:dgram';
import type dns from 'node:dns';
import type net from 'node:net';
import { expect, test } from 'vitest';
import type { Dgram, Dns, Net } from '../../src/index.ts';

type Assignable<From extends To, To> = From;

export type NetIsNodes = Assignable<Net, typeof net>;
export type DgramIsNodes = Assignable<Dgram, typeof dgram>;
export type DnsIsNodes = Assignable<Dns, typeof dns>;

test('the compiler has seen to it', () => expect(true).toBe(true));
