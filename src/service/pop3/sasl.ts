// SASL PLAIN — RFC 4616: base64 of [authzid] NUL authcid NUL password, all UTF-8.

export interface Plain {
  readonly authorization: string;
  readonly name: string;
  readonly password: Buffer;
}

/** Null when it is not well formed. "=" stands for an empty response (RFC 5034 §4), which PLAIN has no use for. */
export function decodePlain(base64: string): Plain | null {
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  const message = Buffer.from(base64, 'base64');
  const first = message.indexOf(0);
  const second = message.indexOf(0, first + 1);
  if (first < 0 || second < 0 || message.indexOf(0, second + 1) >= 0) return null;
  const name = message.toString('utf8', first + 1, second);
  const password = message.subarray(second + 1);
  if (name === '' || password.length === 0) return null;
  return { authorization: message.toString('utf8', 0, first), name, password };
}
