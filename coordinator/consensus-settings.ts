/** The bounds that a node's log runs with, beside what its configuration says. */
import type { CoordinatorConfig } from "./config.ts";
import { majority } from "./paxos/recover.ts";
import type { PaxosConfig } from "./paxos/state.ts";
import type { SnapshotPolicy } from "./replication/snapshots.ts";

/** Unchosen slots at once. */
const WINDOW_SLOTS = 16;
/**
 * Slots that a node accepts beyond what it knows to be chosen: at most 64 MiB of full batches. A follower in step is a window
 * or two behind.
 */
const ACCEPT_AHEAD_SLOTS = 1_024;
const PAGE_SLOTS = 64;
const PAGE_BYTES = 256 * 1024;
/** Log kept below a snapshot: a peer that is a little behind catches up without one. */
const TRAILING_SLOTS = 4_096;
const TRAILING_BYTES = 4 * 1024 * 1024;
/**
 * Log between two snapshots while the ledger is small: 8,192 slots of one block each. With the trailing part that is at most
 * 48 MiB of blocks. While a peer fetches a snapshot, the log behind that one stays for two more such growths.
 */
const SNAPSHOT_GROWTH_BYTES = 32 * 1024 * 1024;
/** The node looks at its deadlines so many times per heartbeat. */
const TICKS_PER_HEARTBEAT = 3;

export interface ConsensusSettings {
  readonly paxos: PaxosConfig;
  readonly tickIntervalMs: number;
  readonly snapshots: SnapshotPolicy;
}

export function consensusSettings(
  config: Pick<
    CoordinatorConfig,
    "nodeId" | "members" | "heartbeatIntervalMs" | "electionTimeoutMs"
  >,
): ConsensusSettings {
  const { nodeId: self, members, heartbeatIntervalMs, electionTimeoutMs } = config;
  const quorum = majority(members.length);
  return {
    paxos: {
      ...{ self, members, heartbeatIntervalMs, electionTimeoutMs },
      ...{ phase1Quorum: quorum, phase2Quorum: quorum },
      ...{ windowSlots: WINDOW_SLOTS, acceptAheadSlots: ACCEPT_AHEAD_SLOTS },
      ...{ pageSlots: PAGE_SLOTS, pageBytes: PAGE_BYTES },
      ...{ trailingSlots: TRAILING_SLOTS, trailingBytes: TRAILING_BYTES },
    },
    tickIntervalMs: heartbeatIntervalMs / TICKS_PER_HEARTBEAT,
    snapshots: { minGrowthBytes: SNAPSHOT_GROWTH_BYTES },
  };
}
