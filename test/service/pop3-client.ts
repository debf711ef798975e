// A POP3 client for tests: sends octets, reads lines, misbehaves on request.

import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export class Pop3Client {
  socket: net.Socket;
  #text = '';
  #closed = false;
  #wake: (() => void)[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.#attach();
  }

  static async connect(port: number): Promise<Pop3Client> {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Pop3Client(socket);
  }

  #attach(): void {
    const wake = (): void => {
      for (const go of this.#wake.splice(0)) go();
    };
    this.socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      wake();
    });
    this.socket.on('error', () => undefined); // its 'close' follows
    this.socket.on('close', () => {
      this.#closed = true;
      wake();
    });
  }

  async startTls(): Promise<void> {
    this.socket.removeAllListeners();
    const plain = this.socket;
    const secure = tls.connect({ socket: plain, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    this.socket = secure;
    this.#text = '';
    this.#attach();
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** The next line, or null at the end of the connection. */
  async line(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf('\r\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return line;
      }
      if (this.#closed) return null;
      await new Promise<void>((go) => this.#wake.push(go));
    }
  }

  async ask(command: string): Promise<string | null> {
    this.send(`${command}\r\n`);
    return this.line();
  }

  /** A multi-line answer, dots undone, as one text. */
  async body(): Promise<string> {
    let text = '';
    for (;;) {
      const line = await this.line();
      if (line === null) throw new Error('closed within a multi-line answer');
      if (line === '.') return text;
      text += `${line.startsWith('.') ? line.slice(1) : line}\r\n`;
    }
  }

  async logIn(name: string, password: string): Promise<string | null> {
    await this.ask(`USER ${name}`);
    return this.ask(`PASS ${password}`);
  }
}
