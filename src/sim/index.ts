// tapstack/sim: networks under simulated time, for tests of programs that use one.

export type { CodelOptions, QueueOptions } from './bottleneck.ts';
export type { Cable, LinkOptions, Outage } from './cable.ts';
export type { Channel, ChannelCounters, ChannelOptions } from './channel.ts';
export type { FaultOptions } from './faults.ts';
export { Host, type HostOptions } from './host.ts';
export {
  bleachEcn,
  clampMss,
  clampWindowScale,
  firewall,
  type Middlebox,
  type OptionName,
  stripOptions,
} from './middlebox.ts';
export type { Nat, NatOptions } from './nat.ts';
export { Network, type NetworkOptions, type Plug } from './network.ts';
export { NodeHost, type NodeHostOptions } from './node/node-host.ts';
export {
  type RunOptions,
  type SimTimeout,
  type SimulateOptions,
  Simulation,
  simulate,
  simulation,
} from './node/simulation.ts';
export { Peer, type PeerOptions } from './peer.ts';
export type { Port, SimNode } from './port.ts';
export { Random } from './random.ts';
export type { Router, RouterOptions, RouterPort, RouterPortOptions } from './router.ts';
export { type FlowReport, type Report, type ScenarioOptions, scenario } from './scenario.ts';
export type { Switch } from './switch.ts';
