// Counters, named after the MIBs where those have a name: RFC 4293 (ip, icmp), RFC 4022 (tcp), RFC 4113 (udp), Linux's TcpExt otherwise.
//
// One flat object of numbers: counting is one increment, and `stats` prints it as it is. Every frame that is discarded
// moves exactly one `drop…` counter, so received = delivered + forwarded + the sum of the drops.

export class Stats {
  // Link
  ifInFrames = 0;
  ifInOctets = 0;
  ifOutFrames = 0;
  ifOutOctets = 0;
  ifOutDiscards = 0;

  // ARP
  arpInRequests = 0;
  arpInReplies = 0;
  arpOutRequests = 0;
  arpOutReplies = 0;
  arpConflicts = 0;
  neighborFailures = 0;

  // IP — RFC 4293
  ipInReceives = 0;
  ipInDelivers = 0;
  ipOutRequests = 0;
  ipOutNoRoutes = 0;
  ipOutDiscards = 0;
  ipReasmReqds = 0;
  ipReasmOKs = 0;
  ipReasmFails = 0;
  ipReasmTimeouts = 0;
  ipFragOKs = 0;
  ipFragFails = 0;
  ipFragCreates = 0;

  // ICMP — RFC 4293
  icmpInMsgs = 0;
  icmpInErrors = 0;
  icmpOutMsgs = 0;
  icmpOutErrors = 0;
  icmpOutRateLimited = 0;

  // UDP — RFC 4113
  udpInDatagrams = 0;
  udpNoPorts = 0;
  udpInErrors = 0;
  udpOutDatagrams = 0;
  udpRcvbufErrors = 0;

  // TCP — RFC 4022
  tcpActiveOpens = 0;
  tcpPassiveOpens = 0;
  tcpAttemptFails = 0;
  tcpEstabResets = 0;
  tcpCurrEstab = 0;
  tcpInSegs = 0;
  tcpOutSegs = 0;
  tcpRetransSegs = 0;
  tcpInErrs = 0;
  tcpOutRsts = 0;
  // TCP — Linux's TcpExt
  tcpListenOverflows = 0;
  tcpListenDrops = 0;
  tcpSyncookiesSent = 0;
  tcpSyncookiesRecv = 0;
  tcpSyncookiesFailed = 0;
  tcpTimeouts = 0;
  tcpFastRetrans = 0;
  tcpSlowStartRetrans = 0;
  tcpLossProbes = 0;
  tcpLossProbeRecovery = 0;
  tcpLostRetransmit = 0;
  tcpSackRecovery = 0;
  tcpRenoRecovery = 0;
  tcpSackReneging = 0;
  tcpDsackOldSent = 0;
  tcpDsackOfoSent = 0;
  tcpDsackRecv = 0;
  tcpSpuriousRtos = 0;
  tcpFullUndo = 0;
  tcpDsackUndo = 0;
  tcpOfoQueue = 0;
  tcpOfoDrop = 0;
  tcpRcvPruned = 0;
  tcpChallengeAck = 0;
  tcpSynChallenge = 0;
  tcpDelayedAcks = 0;
  tcpKeepAlive = 0;
  tcpZeroWindowProbes = 0;
  tcpMtupSuccess = 0;
  tcpMtupFail = 0;
  tcpFastOpenActive = 0;
  tcpFastOpenActiveFail = 0;
  tcpFastOpenPassive = 0;
  tcpFastOpenPassiveFail = 0;
  tcpFastOpenListenOverflow = 0;
  tcpFastOpenCookieReqd = 0;
  tcpFastOpenBlackhole = 0;
  tcpTimeWait = 0;
  tcpTimeWaitReused = 0;
  tcpTimeWaitOverflow = 0;
  tcpAbortOnTimeout = 0;
  tcpAbortOnData = 0;
  tcpAbortOnMemory = 0;
  tcpPawsActive = 0;
  tcpPawsEstab = 0;
  tcpIllegalTransitions = 0;

  // Why a received frame or packet was discarded
  dropShortFrame = 0;
  dropUnknownEtherType = 0;
  dropNotForUs = 0;
  dropMalformedArp = 0;
  dropMalformedIp = 0;
  dropIpChecksum = 0;
  dropIpVersion = 0;
  dropMartianSource = 0;
  dropMartianDestination = 0;
  dropIpOption = 0;
  dropSourceRoute = 0;
  dropForwardingOff = 0;
  dropFragmentInvalid = 0;
  dropFragmentOverlap = 0;
  dropFragmentMemory = 0;
  dropUnknownProtocol = 0;
  dropMalformedIcmp = 0;
  dropIcmpChecksum = 0;
  dropMalformedIgmp = 0;
  dropMalformedUdp = 0;
  dropUdpChecksum = 0;
  dropUdpNoPort = 0;
  dropUdpBufferFull = 0;
  dropMalformedTcp = 0;
  dropTcpChecksum = 0;
  dropTcpBroadcast = 0;
  dropTcpUnacceptable = 0;
  dropNeighborQueueFull = 0;
  dropNeighborUnreachable = 0;
}
