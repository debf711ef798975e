// What `make bench` measures, and what each figure has to reach: one entry per row of the goal table.

import type { Contender, Lab, Sample } from './lab.ts';

export interface Goal {
  readonly against: Contender;
  readonly ratio: number;
}

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly contenders: readonly Contender[];
  readonly goals: readonly Goal[];
  /** Less is better: the goal is an upper bound. */
  readonly lower?: boolean;
  measure(lab: Lab, contender: Contender): Promise<Sample>;
  /** Proves with every byte compared that `contender` does what is measured. Without it each run checks all it moves. */
  prove?(lab: Lab, contender: Contender): Promise<void>;
}

const SECONDS = Number(process.env.BENCH_SECONDS ?? 1);
const MEGABYTES_PROVED = 256;

const isNull = (contender: Contender): boolean => contender.startsWith('null');
const silent = (contender: Contender): string[] => (isNull(contender) ? ['silent'] : []);

const bulkReceive = (name: string, flows: number, contenders: readonly Contender[], goals: readonly Goal[]): Row => ({
  name,
  unit: 'Gbit/s',
  contenders,
  goals,
  measure: (lab, contender) => lab.measure(contender, 'send', 5001, SECONDS, `flows=${flows}`, ...silent(contender)),
  prove: async (lab, contender) => {
    if (isNull(contender)) return; // it throws away what it gets
    await lab.measure(contender, 'send', 5011, 1, `flows=${flows}`, `bytes=${MEGABYTES_PROVED * 2 ** 20}`);
  },
});

const bulkSend = (name: string, flows: number, contenders: readonly Contender[], goals: readonly Goal[]): Row => ({
  name,
  unit: 'Gbit/s',
  contenders,
  goals,
  measure: (lab, contender) => lab.measure(contender, 'receive', 5002, SECONDS, `flows=${flows}`),
  prove: async (lab, contender) => {
    await lab.measure(contender, 'receive', 5002, 1, `flows=${flows}`, `bytes=${MEGABYTES_PROVED * 2 ** 20}`, 'full');
  },
});

const against = (name: string, mode: string, port: number, ratio: number, unit: string, ...more: string[]): Row => ({
  name,
  unit,
  contenders: ['ours', 'kernel'],
  goals: [{ against: 'kernel', ratio }],
  measure: (lab, contender) => lab.measure(contender, mode, port, SECONDS, ...more),
});

async function ping(lab: Lab, contender: Contender): Promise<Sample> {
  const { address } = await lab.side(contender);
  const { status, stdout, stderr } = await lab.client.run('ping', ['-i', '0.001', '-c', '700', '-p', 'a5', address]);
  if (status !== 0 || !/ 0% packet loss/.test(stdout))
    throw new Error(`${contender}: ping: ${stdout.slice(-200)}${stderr}`);
  const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000).sort((a, b) => a - b);
  return { value: times[times.length >> 1], seconds: 0, cpu: 0, amount: times.length };
}

async function warm(lab: Lab, contender: Contender): Promise<void> {
  const { address } = await lab.side(contender);
  const { status, stdout } = await lab.client.run('ping', ['-f', '-q', '-c', '30000', address], { timeout: 20_000 });
  if (status !== 0 || !/ 0% packet loss/.test(stdout)) throw new Error(`${contender}: ping -f: ${stdout.slice(-200)}`);
}

async function wrk(lab: Lab, contender: Contender): Promise<Sample> {
  const { address } = await lab.side(contender);
  const url = `http://${address}:5004/`;
  const { status, stdout, stderr } = await lab.client.run('wrk', ['-t1', '-c50', `-d${Math.ceil(SECONDS)}s`, url]);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout);
  if (status !== 0 || rate === null || /Socket errors|Non-2xx/.test(stdout))
    throw new Error(`${contender}: wrk: ${stdout}${stderr}`);
  return { value: Number(rate[1]), seconds: 1, cpu: 0, amount: 0 };
}

async function fetchHello(lab: Lab, contender: Contender): Promise<void> {
  const { address } = await lab.side(contender);
  const { stdout } = await lab.client.run('curl', ['-s', '-m', '5', `http://${address}:5004/`]);
  if (stdout !== 'Hello, world!\n') throw new Error(`${contender}: HTTP answered ${JSON.stringify(stdout)}`);
}

const BULK: readonly Contender[] = ['ours', 'kernel', 'null'];
const PLAIN: readonly Contender[] = ['ours-plain', 'null-plain'];
const perGigabyte = ({ cpu, amount, ...rest }: Sample): Sample => ({
  ...rest,
  cpu,
  amount,
  value: (cpu * 1e9) / amount,
});

const cpu = (row: Row, name: string, ratio: number): Row => ({
  ...row,
  name,
  unit: 'CPU s/GB',
  contenders: ['ours', 'kernel'],
  goals: [{ against: 'kernel', ratio }],
  lower: true,
  measure: async (lab, contender) => perGigabyte(await row.measure(lab, contender)),
});

const receive1 = bulkReceive('bulk-receive', 1, BULK, [
  { against: 'kernel', ratio: 3 },
  { against: 'null', ratio: 0.75 },
]);
const send1 = bulkSend('bulk-send', 1, BULK, [
  { against: 'kernel', ratio: 1.25 },
  { against: 'null', ratio: 0.8 },
]);

export const ROWS: readonly Row[] = [
  receive1,
  bulkReceive('bulk-receive-8', 8, BULK, receive1.goals),
  send1,
  bulkSend('bulk-send-8', 8, BULK, send1.goals),
  bulkReceive('bulk-receive-plain', 1, PLAIN, [{ against: 'null-plain', ratio: 0.5 }]),
  bulkSend('bulk-send-plain', 1, PLAIN, [{ against: 'null-plain', ratio: 0.5 }]),
  against('request-response', 'rr', 5003, 1.2, '/s'),
  against('connect-close', 'crr', 5003, 2, '/s', 'flows=16'),
  { ...against('http-hello', '', 5004, 1.2, '/s'), measure: wrk, prove: fetchHello },
  against('udp-echo', 'udp-echo', 5005, 2, '/s'),
  against('udp-echo-16', 'udp-echo', 5005, 2, '/s', 'flows=16'),
  against('udp-in', 'udp-in', 5006, 2, '/s'),
  against('udp-out', 'udp-out', 5008, 2, '/s'),
  {
    name: 'ping',
    unit: 'us',
    contenders: ['ours', 'null'],
    goals: [{ against: 'null', ratio: 1.3 }],
    lower: true,
    measure: ping,
    // A thousand pings are fewer than V8 wants to see before it compiles: measured cold, the interpreter is all one sees.
    prove: warm,
  },
  cpu(receive1, 'cpu-receive', 0.5),
  cpu(send1, 'cpu-send', 0.9),
];
