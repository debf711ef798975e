// Explicit Congestion Notification — RFC 3168 §6.1 (RFC 9293 §3.8.2, SHLD-8): who may use it, and how two SYNs agree on it.
//
//   SYN      ECE CWR     "ECN-setup SYN": I can                       SYN,ACK  ECE    so can I
//   SYN   AE ECE CWR     AccECN (RFC 9768 §3.1): I can, and more      SYN,ACK  ECE    only what RFC 3168 has (RFC 9768 §3.1.3, table 2)
//
// The receiver echoes (receiver.ts), the sender reacts (sender.ts), the connection marks packets (connection.ts).
//
// Invariant: ECT goes on new data alone, and only after both SYNs have agreed; a SYN, an ACK, a probe or a retransmission never carries it.

import { CWR, ECE } from '../wire/tcp.ts';

/** 'on': offer and accept. 'passive': accept what others offer, as Linux's tcp_ecn=2 (the default). 'off': neither. */
export type EcnMode = 'on' | 'passive' | 'off';
export const ECN_MODES: readonly EcnMode[] = ['on', 'passive', 'off'];

/** The ECN field of the IP header (RFC 3168 §5): the two low bits of TOS. */
export const ECN_FIELD = 3;
export const ECT0 = 2;

/** What an ECN-setup SYN carries. */
export const SETUP_SYN = ECE | CWR;
/** What an ECN-setup SYN,ACK carries. */
export const SETUP_SYN_ACK = ECE;

/**
 * A SYN with `flags`, in a packet with `tos`, that we may answer with an ECN-setup SYN,ACK. AccECN's third flag makes no difference: we are
 * an RFC 3168 host to it. A SYN never is ECT (RFC 3168 §6.1.1): where one is, somebody rewrites the field, and its marks mean nothing.
 */
export const isSetupSyn = (flags: number, tos: number): boolean =>
  (flags & SETUP_SYN) === SETUP_SYN && (tos & ECN_FIELD) === 0;

/** RFC 3168 §6.1.1: ECE without CWR. Both mean that a broken host has reflected our flags. */
export const isSetupSynAck = (flags: number): boolean => (flags & SETUP_SYN) === SETUP_SYN_ACK;
