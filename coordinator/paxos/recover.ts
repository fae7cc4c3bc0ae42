/**
 * A node's state from its durable records: what it was when it last acknowledged anything, as a follower.
 */
import { assert } from "../../shared/model/assert.ts";
import { nextSlot, ZERO_BALLOT, ZERO_SLOT } from "../../shared/model/ids.ts";
import type { Ballot, Slot } from "../../shared/model/ids.ts";
import type { ChosenSlot } from "./message.ts";
import type { DurableRecord, SnapshotRecord } from "./record.ts";
import { SlotLog } from "./slot-log.ts";
import type { Entry, PaxosConfig, PaxosState } from "./state.ts";

export interface RecoveredNode {
  readonly state: PaxosState;
  /** Slots known to be chosen, to be applied in this order before anything else. */
  readonly apply: readonly ChosenSlot[];
}

function assertConfig(config: PaxosConfig): void {
  const { members, phase1Quorum, phase2Quorum } = config;
  assert(members.includes(config.self), "a node is a member of its own group");
  assert(new Set(members).size === members.length, "members are distinct");
  assert(phase1Quorum + phase2Quorum > members.length, "G3: every two quorums intersect");
  assert(phase1Quorum <= members.length && phase2Quorum <= members.length, "quorums can be met");
  assert(config.windowSlots > 0 && config.pageSlots > 0, "bounds are positive");
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
  let promised: Ballot = ZERO_BALLOT;
  let log = SlotLog.empty<Entry>();
  let chosenUpTo: Slot = ZERO_SLOT;
  let apply: ChosenSlot[] = [];
  const advance = (upTo: Slot | undefined): void => {
    for (let slot = nextSlot(chosenUpTo); ; slot = nextSlot(slot)) {
      const entry = log.get(slot);
      const isHinted = upTo !== undefined && slot <= upTo;
      if (!isHinted && entry?.kind !== "chosen") return;
      assert(entry !== undefined, "C3: every slot below the durable hint is in the log");
      log = log.set(slot, { kind: "chosen", value: entry.value });
      apply.push({ slot, value: entry.value });
      chosenUpTo = slot;
    }
  };
  for (const record of records) {
    if (record.kind === "promised") {
      if (record.ballot > promised) promised = record.ballot;
    } else if (record.kind === "chosenUpTo") {
      advance(record.slot);
    } else if (record.kind === "learned") {
      log = log.set(record.slot, { kind: "chosen", value: record.value });
      advance(undefined);
    } else if (record.kind === "snapshot") {
      if (record.promised > promised) promised = record.promised;
      log = startingWith(record, log);
      if (record.slot > chosenUpTo) chosenUpTo = record.slot;
      apply = apply.filter(({ slot }) => slot > record.slot);
      advance(undefined);
    } else {
      const { ballot, slot, value } = record;
      if (ballot > promised) promised = ballot;
      if (log.get(slot)?.kind !== "chosen")
        log = log.set(slot, { kind: "accepted", ballot, value });
    }
  }
  return { state: initialState(config, promised, log, chosenUpTo), apply };
}

/** What a snapshot leaves of a log; what it holds and leaves is chosen. */
function startingWith(
  { slot: upTo, truncatedUpTo }: SnapshotRecord,
  log: SlotLog<Entry>,
): SlotLog<Entry> {
  let left = SlotLog.empty<Entry>();
  for (const [slot, entry] of log.from(nextSlot(truncatedUpTo))) {
    left = left.set(slot, slot > upTo ? entry : { kind: "chosen", value: entry.value });
  }
  return left;
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
    heardLeader: undefined,
    catchUp: undefined,
  };
}
