// A Maildir to try a server with: what real mail does that a line of text does not.

import { link, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeMaildir } from './maildrop.ts';

interface DemoMessage {
  name: string;
  octets: Buffer;
}

const header = (from: string, subject: string, date: string, id: number, ...more: string[]): string =>
  [
    `Return-Path: <${from.replace(/^.*<|>.*$/g, '')}>`,
    `Date: ${date}`,
    `From: ${from}`,
    'To: Demo <demo@tapstack.example>',
    `Subject: ${subject}`,
    `Message-ID: <${id}.demo@tapstack.example>`,
    'MIME-Version: 1.0',
    ...more,
    '',
    '',
  ].join('\n');

function messages(): DemoMessage[] {
  const attachment = Buffer.alloc(3000);
  for (let i = 0; i < attachment.length; i++) attachment[i] = i & 0xff;
  const base64 = (attachment.toString('base64').match(/.{1,76}/g) as string[]).join('\n');
  return [
    {
      name: '946684800.M1',
      octets: Buffer.from(
        header(
          'Postmaster <postmaster@tapstack.example>',
          'Welcome',
          'Sat, 01 Jan 2000 00:00:00 +0000',
          1,
          'Content-Type: text/plain; charset=us-ascii',
        ) +
          'This mailbox is served by a TCP/IP stack that runs inside a Node.js process.\n\nTry:\n\n' +
          '  telnet HOST 110      then USER, PASS, STAT, LIST, RETR 1, QUIT\n  curl pop3://NAME:PASSWORD@HOST/1\n',
      ),
    },
    {
      name: '946771200.M2',
      octets: Buffer.from(
        `${header(
          'Žofie Nováková <zofie@tapstack.example>',
          '=?UTF-8?Q?Gr=C3=BC=C3=9Fe_=F0=9F=93=AC?=',
          'Sun, 02 Jan 2000 00:00:00 +0000',
          2,
          'Content-Type: text/plain; charset=utf-8',
          'Content-Transfer-Encoding: 8bit',
        )}Grüße aus Köln · Příliš žluťoučký kůň · 日本語 · Ελληνικά · 📬\n`,
      ),
    },
    {
      name: '946857600.M3',
      octets: Buffer.from(
        `${header(
          'Dot <dot@tapstack.example>',
          'Lines that start with a dot',
          'Mon, 03 Jan 2000 00:00:00 +0000',
          3,
          'Content-Type: text/plain; charset=us-ascii',
        )}.\n..\n...three\n.hidden\nA line with only a dot ends a message on the wire; this one must arrive whole:\n.\nEnd.\n`,
      ),
    },
    {
      name: '946944000.M4',
      octets: Buffer.concat([
        Buffer.from(
          header(
            'Marcel <marcel@tapstack.example>',
            'Huit bits',
            'Tue, 04 Jan 2000 00:00:00 +0000',
            4,
            'Content-Type: text/plain; charset=iso-8859-1',
            'Content-Transfer-Encoding: 8bit',
          ),
        ),
        Buffer.from(
          'Voil\u00e0 du texte en ISO-8859-1 : \u00e9\u00e8\u00ea\u00eb \u00e7 \u00f9 \u00df \u00ff\n',
          'latin1',
        ),
      ]),
    },
    {
      name: '947030400.M5',
      octets: Buffer.from(
        header(
          'Files <files@tapstack.example>',
          'An attachment',
          'Wed, 05 Jan 2000 00:00:00 +0000',
          5,
          'Content-Type: multipart/mixed; boundary="=_demo"',
        ) +
          '--=_demo\nContent-Type: text/plain; charset=us-ascii\n\n3000 octets are attached.\n\n' +
          '--=_demo\nContent-Type: application/octet-stream; name="octets.bin"\n' +
          'Content-Disposition: attachment; filename="octets.bin"\nContent-Transfer-Encoding: base64\n\n' +
          `${base64}\n\n--=_demo--\n`,
      ),
    },
  ];
}

/** Make a Maildir with a few messages; one that has mail already is left alone. How many messages were put in. */
export async function createDemoMaildir(directory: string): Promise<number> {
  await mkdir(dirname(directory), { recursive: true });
  await makeMaildir(directory);
  for (const folder of ['new', 'cur']) if ((await readdir(join(directory, folder))).length > 0) return 0;
  const host = hostname().replace(/\//g, '\\057').replace(/:/g, '\\072');
  const demo = messages();
  for (const { name, octets } of demo) {
    // As every delivery to a Maildir: written in tmp, linked to new when complete.
    const unique = `${name}.${host}`;
    const temporary = join(directory, 'tmp', unique);
    await writeFile(temporary, octets, { mode: 0o600 });
    await link(temporary, join(directory, 'new', unique));
    await rm(temporary);
  }
  return demo.length;
}
