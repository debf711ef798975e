// A switch in this process's own time.

import { SystemClock } from '../driver/system-clock.ts';
import { SystemEntropy } from '../driver/system-entropy.ts';
import { Switch, type SwitchOptions } from '../link/switch.ts';

/** A learning switch: join links with `add`, or get a cable to it with `plug`. */
export const createSwitch = (options: SwitchOptions = {}): Switch =>
  new Switch({ clock: new SystemClock(), entropy: new SystemEntropy(), defer: setImmediate }, options);
