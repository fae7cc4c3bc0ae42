/**
 * A node's state from its durable records: what it was when it last acknowledged anything, as a follower.
 *
 * The last snapshot record gives the start: nothing at or below its truncation counts, whatever of it is still in the log, and
 * everything up to its slot is chosen.
 */
import { assert, unreachable } from "../../shared/model/assert.ts";
import { nextSlot, ZERO_BALLOT, ZERO_SLOT } from "../../shared/model/ids.ts";
import type { Ballot, Slot } from "../../shared/model/ids.ts";
import type { ChosenSlot } from "./message.ts";
import type { DurableRecord } from "./record.ts";
import { SlotLog } from "./slot-log.ts";
import type { Entry, PaxosConfig, PaxosState } from "./state.ts";
import { chosenAfter } from "./turn.ts";

export interface RecoveredNode {
  readonly state: PaxosState;
  /** Slots known to be chosen, to be applied in this order before anything else, on top of the snapshot of `snapshotSlot`. */
  readonly apply: readonly ChosenSlot[];
}

interface Coverage {
  readonly snapshotSlot: Slot;
  readonly truncatedUpTo: Slot;
}

function assertConfig(config: PaxosConfig): void {
  const { members, phase1Quorum, phase2Quorum } = config;
  assert(members.includes(config.self), "a node is a member of its own group");
  assert(new Set(members).size === members.length, "members are distinct");
  assert(phase1Quorum + phase2Quorum > members.length, "G3: every two quorums intersect");
  assert(phase1Quorum <= members.length && phase2Quorum <= members.length, "quorums can be met");
  assert(config.windowSlots > 0 && config.pageSlots > 0, "bounds are positive");
  assert(config.acceptAheadSlots >= config.windowSlots, "what a leader proposes can be accepted");
  assert(config.trailingSlots >= 0 && config.trailingBytes >= 0, "bounds are not negative");
  assert(
    config.electionTimeoutMs > 2 * config.heartbeatIntervalMs,
    "an election timeout outlasts a lost heartbeat",
  );
}

/** The smallest quorum that intersects itself. */
export function majority(members: number): number {
  return Math.floor(members / 2) + 1;
}

export function recover(config: PaxosConfig, records: readonly DurableRecord[]): RecoveredNode {
  assertConfig(config);
  const { snapshotSlot, truncatedUpTo } = coverage(records);
  let promised: Ballot = ZERO_BALLOT;
  let log = SlotLog.empty<Entry>().truncate(truncatedUpTo);
  let chosenUpTo = truncatedUpTo;
  const apply: ChosenSlot[] = [];
  const promise = (ballot: Ballot): void => {
    if (ballot > promised) promised = ballot;
  };
  const advance = (upTo: Slot | undefined): void => {
    for (let slot = nextSlot(chosenUpTo); ; slot = nextSlot(slot)) {
      const entry = log.get(slot);
      const isHinted = upTo !== undefined && slot <= upTo;
      if (!isHinted && entry?.kind !== "chosen") return;
      assert(entry !== undefined, "C3: every slot below the durable hint is in the log");
      if (entry.kind === "accepted") log = log.set(slot, chosenAfter(entry, entry.value));
      if (slot > snapshotSlot) apply.push({ slot, value: entry.value });
      chosenUpTo = slot;
    }
  };
  for (const record of records) {
    switch (record.kind) {
      case "promised":
        promise(record.ballot);
        break;
      case "accepted":
        promise(record.ballot);
        log = withAccepted(log, record);
        break;
      case "learned":
        if (record.slot <= truncatedUpTo) break;
        log = log.set(record.slot, chosenAfter(log.get(record.slot), record.value));
        advance(undefined);
        break;
      case "chosenUpTo":
        advance(record.slot);
        break;
      case "snapshot":
        promise(record.promised);
        advance(record.slot);
        break;
      default:
        unreachable(record);
    }
  }
  const state = initialState(config, promised, log, chosenUpTo);
  return { state: { ...state, snapshotSlot }, apply };
}

/** Of the last snapshot: an earlier one covers no more. */
function coverage(records: readonly DurableRecord[]): Coverage {
  for (let index = records.length - 1; index >= 0; index -= 1) {
    const record = records[index];
    if (record?.kind !== "snapshot") continue;
    assert(record.truncatedUpTo <= record.slot, "A6: what is gone from the log is in a snapshot");
    return { snapshotSlot: record.slot, truncatedUpTo: record.truncatedUpTo };
  }
  return { snapshotSlot: ZERO_SLOT, truncatedUpTo: ZERO_SLOT };
}

function withAccepted(
  log: SlotLog<Entry>,
  { ballot, slot, value }: Extract<DurableRecord, { kind: "accepted" }>,
): SlotLog<Entry> {
  if (slot <= log.truncatedUpTo) return log;
  const known = log.get(slot);
  return known?.kind === "chosen"
    ? log.set(slot, { ...known, acceptedUnder: ballot })
    : log.set(slot, { kind: "accepted", ballot, value });
}

function initialState(
  config: PaxosConfig,
  promised: Ballot,
  log: SlotLog<Entry>,
  chosenUpTo: Slot,
): PaxosState {
  return {
    config,
    role: { kind: "follower" },
    nowMs: 0,
    patienceMs: config.electionTimeoutMs,
    electionDeadlineMs: 0,
    probeAttempt: 0,
    promised,
    highestSeen: promised,
    log,
    chosenUpTo,
    hintedUpTo: chosenUpTo,
    snapshotSlot: ZERO_SLOT,
    heardLeader: undefined,
    catchUp: undefined,
  };
}
