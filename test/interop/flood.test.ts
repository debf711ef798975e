// As fast as ping can.

import { expect, test } from 'vitest';
import { STACK, useHost } from '../support/interop.ts';

const host = useHost({ programs: ['ping'] });

test('of 10,000 flooded echoes none is lost', async () => {
  const { status, stdout } = await host.netns.run('ping', ['-n', '-q', '-f', '-c', '10000', STACK], {
    timeout: 110_000,
  });
  expect(stdout).toContain('10000 packets transmitted, 10000 received, 0% packet loss');
  expect(status).toBe(0);
});
