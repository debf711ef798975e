// BBR version 3 — draft-ietf-ccwg-bbr.
//
// A model of the path: the bandwidth it delivers (max filter over two probe cycles) and its round trip (min filter over ten seconds), bounded by what
// losses have shown: inflightHi and bwLo/inflightLo. Sends at the modelled rate, and probes for more now and then.
//
//   STARTUP ──full pipe──> DRAIN ──inflight <= BDP──> PROBE_BW: DOWN ─> CRUISE ─> REFILL ─> UP ─> DOWN …
//   any ──min RTT not seen for 5 s──> PROBE_RTT ──200 ms──> PROBE_BW or STARTUP
//
// Names follow the draft. Bandwidths are bytes per second, amounts bytes, times µs.
// Invariant: min(bw, bwLo) paces; cwnd never exceeds what the bounds of the state allow, and never falls below 4 segments.

import type { AckSample, CongestionControl } from './congestion.ts';

const STARTUP = 0;
const DRAIN = 1;
const PROBE_BW_DOWN = 2;
const PROBE_BW_CRUISE = 3;
const PROBE_BW_REFILL = 4;
const PROBE_BW_UP = 5;
const PROBE_RTT = 6;
export const BBR_STATES = ['startup', 'drain', 'down', 'cruise', 'refill', 'up', 'probe-rtt'];

const LOSS_THRESH = 0.02;
const BETA = 0.7;
const HEADROOM = 0.15;
const STARTUP_PACING_GAIN = 2.77;
const STARTUP_CWND_GAIN = 2;
const DRAIN_PACING_GAIN = 0.5;
const CWND_GAIN = 2;
const UP_CWND_GAIN = 2.25;
const PACING_MARGIN = 0.99;
const MIN_PIPE_SEGMENTS = 4;
const MIN_RTT_FILTER = 10_000_000;
const PROBE_RTT_INTERVAL = 5_000_000;
const PROBE_RTT_DURATION = 200_000;
const PROBE_RTT_CWND_GAIN = 0.5;
const STARTUP_FULL_LOSS_COUNT = 6;
const FULL_BW_THRESH = 1.25;
const FULL_BW_ROUNDS = 3;
const EXTRA_ACKED_ROUNDS = 10;
const MAX_PROBE_ROUNDS = 63;
/** µs of sending assumed to be batched on the way (send quantum of the draft's §5.6.3). */
const QUANTUM_TIME = 1_000;

/** Where in a probe the ACKs being received were sent: the draft's BBR.ack_phase. */
const ACKS_INIT = 0;
const ACKS_REFILLING = 1;
const ACKS_PROBE_STARTING = 2;
const ACKS_PROBE_FEEDBACK = 3;
const ACKS_PROBE_STOPPING = 4;

export class Bbr implements CongestionControl {
  readonly name = 'bbr';
  readonly ownsRecovery = true;
  cwnd: number;
  ssthresh = Infinity;
  pacingRate: number;
  state = STARTUP;
  /** BBR.max_bw */
  maxBw = 0;
  /** BBR.min_rtt; Infinity before the first sample. */
  minRtt = Infinity;
  inflightHi = Infinity;
  bwLo = Infinity;
  inflightLo = Infinity;
  /** BBR.full_bw_reached */
  filledPipe = false;

  #mss: number;
  readonly #initial: number;
  #pacingGain = STARTUP_PACING_GAIN;
  #cwndGain = STARTUP_CWND_GAIN;

  // Rounds: one ends when what was sent at its start is delivered.
  #nextRoundDelivered = 0;
  #roundStart = false;

  // Max filter over two probe cycles.
  #bwCycle0 = 0;
  #bwCycle1 = 0;

  // Full pipe
  #fullBw = 0;
  #fullBwCount = 0;
  #fullBwNow = false;

  // Loss in the present round
  #lossInRound = false;
  #lossEventsInRound = 0;
  #lossRoundDelivered = 0;
  #lossRoundStart = false;
  #bwLatest = 0;
  #inflightLatest = 0;

  // min RTT
  #minRttAt = 0;
  #probeRttMin = Infinity;
  #probeRttMinAt = 0;
  #probeRttDoneAt = 0;
  #probeRttRoundDone = false;
  #priorCwnd = 0;

  // PROBE_BW
  #cycleAt = 0;
  #bwProbeWait = 0;
  #roundsSinceProbe = 0;
  #ackPhase = ACKS_INIT;
  #bwProbeSamples = false;
  #upRounds = 0;
  #upAcks = 0;
  #upCount = Infinity;
  #probeCycle = 0;

  // ACK aggregation
  #extraAcked = 0;
  #extraAckedPrior = 0;
  #extraAckedRounds = 0;
  #ackIntervalAt = 0;
  #ackIntervalBytes = 0;

  #idleRestart = false;
  /** A timeout or recovery: one packet in for one out, for a round. */
  #packetConservation = false;
  #conservationUntil = 0;
  #inRecovery = false;
  #undoBwLo = Infinity;
  #undoInflightLo = Infinity;
  #undoInflightHi = Infinity;

  constructor(mss: number, initialWindow: number) {
    this.#mss = mss;
    this.#initial = initialWindow;
    this.cwnd = initialWindow;
    // Without an RTT the draft assumes 1 ms (§5.6.2).
    this.pacingRate = (STARTUP_PACING_GAIN * initialWindow * 1e6) / 1_000;
  }

  get bw(): number {
    return Math.min(this.maxBw, this.bwLo);
  }

  onAck(s: AckSample): void {
    this.#updateLatest(s);
    this.#updateCongestionSignals(s);
    this.#updateAckAggregation(s);
    this.#checkFullBw(s);
    this.#checkStartupDone(s);
    this.#checkDrain(s);
    this.#updateProbeBwCycle(s);
    this.#updateMinRtt(s);
    this.#checkProbeRtt(s);
    this.#advanceLatest(s);
    this.#setPacingRate(s);
    this.#setCwnd(s);
    if (s.acked > 0) this.#idleRestart = false;
  }

  onLoss(_flight: number, _now: number): void {
    this.#remember();
    if (!this.#inRecovery) this.#priorCwnd = Math.max(this.cwnd, this.state === PROBE_RTT ? this.#priorCwnd : 0);
    this.#inRecovery = true;
    this.#packetConservation = true;
    this.#conservationUntil = this.#nextRoundDelivered;
  }

  onTimeout(_flight: number, first: boolean, _now: number): void {
    if (first) {
      this.#remember();
      if (!this.#inRecovery) this.#priorCwnd = this.cwnd;
    }
    this.#inRecovery = true;
    this.#packetConservation = false;
    this.cwnd = this.#mss; // §5.6.4.4: back up one segment at a time, to what the model allows
  }

  onEcnEcho(_flight: number, _now: number): void {
    // A mark is counted like a loss event of the round (§5.5.10).
    this.#lossInRound = true;
    this.#lossEventsInRound++;
  }

  onIdle(_idle: number, _rto: number, now: number): void {
    // §5.4.1: the pipe is empty and the model knows its rate: restart at exactly that.
    this.#idleRestart = true;
    this.#ackIntervalAt = now;
    this.#ackIntervalBytes = 0;
    if (this.#isProbingBw()) this.pacingRate = PACING_MARGIN * this.bw || this.pacingRate;
  }

  onRecoveryExit(_now: number): void {
    if (!this.#inRecovery) return;
    this.#inRecovery = false;
    this.#packetConservation = false;
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd);
  }

  undo(_now: number): void {
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd);
    this.bwLo = Math.max(this.bwLo, this.#undoBwLo);
    this.inflightLo = Math.max(this.inflightLo, this.#undoInflightLo);
    this.inflightHi = Math.max(this.inflightHi, this.#undoInflightHi);
    this.#inRecovery = false;
    this.#packetConservation = false;
  }

  setMss(mss: number): void {
    this.#mss = mss;
    this.cwnd = Math.max(this.cwnd, mss);
  }

  #remember(): void {
    this.#undoBwLo = this.bwLo;
    this.#undoInflightLo = this.inflightLo;
    this.#undoInflightHi = this.inflightHi;
  }

  // ── The model: what this ACK measures (§5.5)

  #updateLatest(s: AckSample): void {
    this.#roundStart = false;
    this.#lossRoundStart = false;
    if (s.priorDelivered >= 0) {
      this.#bwLatest = Math.max(this.#bwLatest, s.rate);
      this.#inflightLatest = Math.max(this.#inflightLatest, s.delivered - s.priorDelivered);
      if (s.priorDelivered >= this.#nextRoundDelivered) {
        this.#nextRoundDelivered = s.delivered;
        this.#roundsSinceProbe++;
        this.#roundStart = true;
        if (this.#packetConservation && s.delivered >= this.#conservationUntil) this.#packetConservation = false;
      }
      if (s.priorDelivered >= this.#lossRoundDelivered) {
        this.#lossRoundDelivered = s.delivered;
        this.#lossRoundStart = true;
      }
    }
    if (s.lost > 0) {
      this.#lossInRound = true;
      this.#lossEventsInRound++;
      this.#onLostBytes(s);
    }
  }

  #updateCongestionSignals(s: AckSample): void {
    // §5.5.5: only samples that are not limited by the application lower the estimate.
    if (s.rate > 0 && (s.rate >= this.maxBw || !s.rateAppLimited)) {
      this.#bwCycle1 = Math.max(this.#bwCycle1, s.rate);
      this.maxBw = Math.max(this.#bwCycle0, this.#bwCycle1);
    }
    if (!this.#lossRoundStart) return;
    if (this.#lossInRound && !this.#isProbing()) {
      // §5.5.10.3: when a round had losses while not probing, adapt to what was delivered in spite of them.
      if (this.bwLo === Infinity) this.bwLo = this.maxBw;
      if (this.inflightLo === Infinity) this.inflightLo = this.cwnd;
      this.bwLo = Math.max(this.#bwLatest, BETA * this.bwLo);
      this.inflightLo = Math.max(this.#inflightLatest, BETA * this.inflightLo);
    }
  }

  #advanceLatest(s: AckSample): void {
    if (this.#roundStart) this.#checkStartupLoss(s);
    if (!this.#lossRoundStart) return;
    this.#bwLatest = s.rate;
    this.#inflightLatest = s.priorDelivered < 0 ? 0 : s.delivered - s.priorDelivered;
    this.#lossInRound = false;
    this.#lossEventsInRound = 0;
  }

  // §5.5.9: how much more arrives in a burst than the rate explains; cwnd makes room for it.
  #updateAckAggregation(s: AckSample): void {
    let expected = (this.bw * (s.now - this.#ackIntervalAt)) / 1e6;
    if (this.#ackIntervalBytes <= expected) {
      this.#ackIntervalBytes = 0;
      this.#ackIntervalAt = s.now;
      expected = 0;
    }
    this.#ackIntervalBytes += s.acked;
    const extra = Math.min(this.#ackIntervalBytes - expected, this.cwnd);
    if (this.#roundStart && ++this.#extraAckedRounds >= (this.filledPipe ? EXTRA_ACKED_ROUNDS : 1)) {
      this.#extraAckedRounds = 0;
      this.#extraAckedPrior = this.#extraAcked;
      this.#extraAcked = 0;
    }
    if (extra > this.#extraAcked) this.#extraAcked = extra;
  }

  // ── STARTUP and DRAIN (§5.3.1, §5.3.2)

  #checkFullBw(s: AckSample): void {
    if (this.#fullBwNow || !this.#roundStart || s.rateAppLimited || s.rate === 0) return;
    if (s.rate >= this.#fullBw * FULL_BW_THRESH) {
      this.#resetFullBw();
      this.#fullBw = s.rate;
      return;
    }
    this.#fullBwNow = ++this.#fullBwCount >= FULL_BW_ROUNDS;
    if (this.#fullBwNow) this.filledPipe = true;
  }

  #resetFullBw(): void {
    this.#fullBw = 0;
    this.#fullBwCount = 0;
    this.#fullBwNow = false;
  }

  // §5.3.1.3: persistent and heavy loss ends startup too.
  #checkStartupLoss(s: AckSample): void {
    if (this.state !== STARTUP || this.filledPipe || !this.#inRecovery) return;
    if (this.#lossEventsInRound < STARTUP_FULL_LOSS_COUNT || !this.#isTooMuch(s)) return;
    this.filledPipe = true;
    this.inflightHi = Math.max(this.#bdp(this.maxBw, 1), this.#inflightLatest);
  }

  #checkStartupDone(s: AckSample): void {
    if (this.state !== STARTUP || !this.filledPipe) return;
    this.state = DRAIN;
    this.#pacingGain = DRAIN_PACING_GAIN;
    this.#cwndGain = STARTUP_CWND_GAIN;
    this.ssthresh = this.#inflight(1);
    this.#checkDrain(s);
  }

  #checkDrain(s: AckSample): void {
    if (this.state === DRAIN && s.pipe <= this.#inflight(1)) this.#startDown(s.now);
  }

  // ── PROBE_BW (§5.3.3)

  #isProbingBw(): boolean {
    return this.state >= PROBE_BW_DOWN && this.state <= PROBE_BW_UP;
  }

  #isProbing(): boolean {
    return this.state === STARTUP || this.state === PROBE_BW_REFILL || this.state === PROBE_BW_UP;
  }

  #startDown(now: number): void {
    this.#upCount = Infinity;
    this.bwLo = this.inflightLo = Infinity;
    this.#lossInRound = false;
    this.#pickProbeWait();
    this.#cycleAt = now;
    this.#ackPhase = ACKS_PROBE_STOPPING;
    this.#enter(PROBE_BW_DOWN, 0.9, CWND_GAIN);
  }

  #enter(state: number, pacingGain: number, cwndGain: number): void {
    this.state = state;
    this.#pacingGain = pacingGain;
    this.#cwndGain = cwndGain;
  }

  // §5.3.3.8: 2 to 3 s between probes, so that flows do not probe in step. The draft draws lots; a fixed walk through the interval
  // by the golden ratio spreads as well and keeps the core free of dice.
  #pickProbeWait(): void {
    this.#probeCycle = (this.#probeCycle + 0.618_033_988_7) % 1;
    this.#bwProbeWait = 2_000_000 + 1_000_000 * this.#probeCycle;
    this.#roundsSinceProbe = this.#probeCycle < 0.5 ? 0 : 1;
  }

  #startRefill(): void {
    this.bwLo = this.inflightLo = Infinity;
    this.#lossInRound = false;
    this.#upRounds = 0;
    this.#upAcks = 0;
    this.#ackPhase = ACKS_REFILLING;
    this.#roundStart = false;
    this.#refillUntil = this.#nextRoundDelivered;
    this.#enter(PROBE_BW_REFILL, 1, CWND_GAIN);
  }
  #refillUntil = 0;

  #startUp(s: AckSample): void {
    this.#ackPhase = ACKS_PROBE_STARTING;
    this.#bwProbeSamples = true;
    this.#resetFullBw();
    this.#fullBw = s.rate;
    this.#cycleAt = s.now;
    this.#enter(PROBE_BW_UP, 1.25, UP_CWND_GAIN);
    this.#raiseSlope();
  }

  #updateProbeBwCycle(s: AckSample): void {
    if (!this.filledPipe) return;
    this.#adaptUpperBounds(s);
    if (!this.#isProbingBw()) return;
    switch (this.state) {
      case PROBE_BW_DOWN:
        if (this.#isTimeToProbe(s)) this.#startRefill();
        else if (this.#isTimeToCruise(s)) this.#enter(PROBE_BW_CRUISE, 1, CWND_GAIN);
        break;
      case PROBE_BW_CRUISE:
        if (this.#isTimeToProbe(s)) this.#startRefill();
        break;
      case PROBE_BW_REFILL:
        // One round at the estimated rate fills the pipe, before it is pushed.
        if (this.#roundStart && s.priorDelivered >= this.#refillUntil) this.#startUp(s);
        break;
      case PROBE_BW_UP:
        if (this.#isTimeToGoDown(s)) this.#startDown(s.now);
        break;
    }
  }

  #isTimeToProbe(s: AckSample): boolean {
    if (s.now - this.#cycleAt > this.#bwProbeWait) return true;
    // §5.3.3.8: often enough to coexist with Reno on short paths.
    const rounds = Math.min(this.#target() / this.#mss, MAX_PROBE_ROUNDS);
    return this.#roundsSinceProbe >= rounds;
  }

  #isTimeToCruise(s: AckSample): boolean {
    if (s.pipe > this.#withHeadroom()) return false;
    return s.pipe <= this.#inflight(1);
  }

  #isTimeToGoDown(s: AckSample): boolean {
    if (this.#fullBwNow) return true;
    // Held back by inflightHi, with nothing more to find: stay until the estimate no longer grows.
    if (s.cwndLimited && this.cwnd >= this.inflightHi) {
      this.#resetFullBw();
      this.#fullBw = s.rate;
      return false;
    }
    return s.now - this.#cycleAt > this.minRtt && s.pipe >= this.#inflight(1.25) && this.#roundsSinceProbe > 2;
  }

  #adaptUpperBounds(s: AckSample): void {
    if (this.#ackPhase === ACKS_PROBE_STARTING && this.#roundStart) this.#ackPhase = ACKS_PROBE_FEEDBACK;
    if (this.#ackPhase === ACKS_PROBE_STOPPING && this.#roundStart) {
      // The feedback of the probe is in: a new cycle of the max filter.
      if (this.#isProbingBw() && !s.rateAppLimited) {
        this.#bwCycle0 = this.#bwCycle1;
        this.#bwCycle1 = 0;
        this.maxBw = Math.max(this.#bwCycle0, this.#bwCycle1);
      }
      this.#ackPhase = ACKS_INIT;
      this.#bwProbeSamples = false;
    }
    if (this.#isTooMuch(s)) {
      if (this.#bwProbeSamples) this.#handleTooMuch(s.pipeAtSend, s);
      return;
    }
    if (this.inflightHi === Infinity) return;
    if (s.priorDelivered >= 0 && s.pipeAtSend > this.inflightHi) this.inflightHi = s.pipeAtSend;
    if (this.state === PROBE_BW_UP) this.#probeInflightHi(s);
  }

  /** More than 2 % of what was sent with the sampled segment was lost. */
  #isTooMuch(s: AckSample): boolean {
    return s.priorDelivered >= 0 && s.lostTotal - s.priorLost > s.pipeAtSend * LOSS_THRESH;
  }

  // §5.5.10.2: a loss while probing: the volume at which it became too much is the bound.
  #onLostBytes(s: AckSample): void {
    if (!this.#bwProbeSamples || !this.#isTooMuch(s)) return;
    const inFlight = s.pipeAtSend;
    const lost = s.lostTotal - s.priorLost;
    const before = inFlight - s.lost;
    const lostBefore = lost - s.lost;
    const prefix = (LOSS_THRESH * before - lostBefore) / (1 - LOSS_THRESH);
    this.#handleTooMuch(before + Math.max(0, prefix), s);
  }

  #handleTooMuch(inflight: number, s: AckSample): void {
    this.#bwProbeSamples = false;
    if (!s.rateAppLimited) this.inflightHi = Math.max(inflight, this.#target() * BETA, MIN_PIPE_SEGMENTS * this.#mss);
    if (this.state === PROBE_BW_UP) this.#startDown(s.now);
  }

  // §5.3.3.6: grow inflightHi slowly at first, twice as fast each round.
  #raiseSlope(): void {
    const growth = this.#mss * 2 ** Math.min(this.#upRounds, 30);
    this.#upRounds = Math.min(this.#upRounds + 1, 30);
    this.#upCount = Math.max(this.cwnd / growth, 1) * this.#mss;
  }

  #probeInflightHi(s: AckSample): void {
    if (!s.cwndLimited || this.cwnd < this.inflightHi) return;
    this.#upAcks += s.acked;
    if (this.#upAcks >= this.#upCount) {
      const steps = Math.floor(this.#upAcks / this.#upCount);
      this.#upAcks -= steps * this.#upCount;
      this.inflightHi += steps * this.#mss;
    }
    if (this.#roundStart) this.#raiseSlope();
  }

  // ── min RTT and PROBE_RTT (§5.3.4)

  #updateMinRtt(s: AckSample): void {
    const expired = s.now > this.#probeRttMinAt + PROBE_RTT_INTERVAL;
    this.#probeRttExpired = expired && this.#probeRttMin !== Infinity;
    if (s.rtt >= 0 && (s.rtt < this.#probeRttMin || expired)) {
      this.#probeRttMin = s.rtt;
      this.#probeRttMinAt = s.now;
    }
    if (this.#probeRttMin < this.minRtt || s.now > this.#minRttAt + MIN_RTT_FILTER) {
      this.minRtt = this.#probeRttMin;
      this.#minRttAt = this.#probeRttMinAt;
    }
  }
  #probeRttExpired = false;

  #checkProbeRtt(s: AckSample): void {
    if (this.state !== PROBE_RTT) {
      // An application that pauses lets the queue drain by itself.
      if (!this.#probeRttExpired || this.#idleRestart) return;
      this.#priorCwnd = this.#inRecovery ? Math.max(this.cwnd, this.#priorCwnd) : this.cwnd;
      this.#enter(PROBE_RTT, 1, PROBE_RTT_CWND_GAIN);
      this.#probeRttDoneAt = 0;
      this.#ackPhase = ACKS_PROBE_STOPPING;
      this.#upCount = Infinity;
      return;
    }
    if (this.#probeRttDoneAt === 0) {
      if (s.pipe > this.#probeRttCwnd()) return;
      this.#probeRttDoneAt = s.now + PROBE_RTT_DURATION;
      this.#probeRttRoundDone = false;
      this.#probeRttUntil = s.delivered;
      return;
    }
    if (this.#roundStart && s.priorDelivered >= this.#probeRttUntil) this.#probeRttRoundDone = true;
    if (!this.#probeRttRoundDone || s.now <= this.#probeRttDoneAt) return;
    this.#probeRttMinAt = s.now;
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd);
    if (this.filledPipe) {
      this.#startDown(s.now);
      this.#enter(PROBE_BW_CRUISE, 1, CWND_GAIN);
    } else this.#enter(STARTUP, STARTUP_PACING_GAIN, STARTUP_CWND_GAIN);
  }
  #probeRttUntil = 0;

  // ── What follows from it (§5.6)

  #bdp(bw: number, gain: number): number {
    return this.minRtt === Infinity ? this.#initial : (gain * bw * this.minRtt) / 1e6;
  }

  /** The draft's BBRInflight: a BDP, and room for how sending is batched. */
  #inflight(gain: number): number {
    const quantum = Math.max(2 * this.#mss, (this.pacingRate * QUANTUM_TIME) / 1e6);
    const amount = Math.max(this.#bdp(this.bw, gain), MIN_PIPE_SEGMENTS * this.#mss) + 2 * quantum;
    return this.state === PROBE_BW_UP ? amount + 2 * this.#mss : amount;
  }

  #target(): number {
    return Math.min(this.#bdp(this.bw, 1), this.cwnd);
  }

  #withHeadroom(): number {
    if (this.inflightHi === Infinity) return Infinity;
    const headroom = Math.max(this.#mss, HEADROOM * this.inflightHi);
    return Math.max(this.inflightHi - headroom, MIN_PIPE_SEGMENTS * this.#mss);
  }

  #probeRttCwnd(): number {
    return Math.max(this.#bdp(this.bw, PROBE_RTT_CWND_GAIN), MIN_PIPE_SEGMENTS * this.#mss);
  }

  #setPacingRate(s: AckSample): void {
    const { bw } = this;
    if (bw === 0) {
      if (s.srtt > 0) this.pacingRate = (STARTUP_PACING_GAIN * this.cwnd * 1e6) / s.srtt;
      return;
    }
    const rate = PACING_MARGIN * this.#pacingGain * bw;
    // In startup a low early sample must not slow it down.
    if (this.filledPipe || rate > this.pacingRate) this.pacingRate = rate;
  }

  #setCwnd(s: AckSample): void {
    const most = this.#inflight(this.#cwndGain) + Math.max(this.#extraAcked, this.#extraAckedPrior);
    if (this.#packetConservation) {
      this.cwnd = Math.max(s.pipe + s.acked, this.cwnd - s.lost);
    } else if (this.filledPipe) this.cwnd = Math.min(this.cwnd + s.acked, most);
    else if (this.cwnd < most || s.delivered < this.#initial) this.cwnd += s.acked;
    if (s.timedOut) this.cwnd = Math.max(this.cwnd, this.#mss);
    else this.cwnd = Math.max(this.cwnd, MIN_PIPE_SEGMENTS * this.#mss);
    if (this.state === PROBE_RTT) this.cwnd = Math.min(this.cwnd, this.#probeRttCwnd());

    // §5.6.4.7: the bounds that losses have taught.
    let cap = Infinity;
    if (this.#isProbingBw() && this.state !== PROBE_BW_CRUISE) cap = this.inflightHi;
    else if (this.state === PROBE_RTT || this.state === PROBE_BW_CRUISE) cap = this.#withHeadroom();
    cap = Math.max(Math.min(cap, this.inflightLo), MIN_PIPE_SEGMENTS * this.#mss);
    this.cwnd = Math.floor(Math.min(this.cwnd, cap));
  }
}
