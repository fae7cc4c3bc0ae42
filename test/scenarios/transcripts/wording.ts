/** What nodes say, write and hold, as a transcript puts it: one short phrase each. */
import type { PaxosMessage, Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { Entry, PaxosState, Role } from "../../../coordinator/paxos/state.ts";
import type { Ballot } from "../../../shared/model/ids.ts";
import { ownerOf, roundOf, ZERO_SLOT } from "../../../shared/model/ids.ts";
import { text } from "../../paxos/support/group.ts";

const under = (ballot: Ballot): string => {
  const owner = ownerOf(ballot);
  return owner === undefined ? "0" : `${roundOf(ballot)}.${owner}`;
};

const slotted = (slot: number, value: Value): string => `${slot}=${text(value)}`;

const listed = (parts: readonly string[], none: string): string =>
  parts.length === 0 ? none : parts.join(", ");

/** Also how a command names a kind of message. */
export function messageText(message: PaxosMessage): string {
  switch (message.kind) {
    case "probe":
      return `probe, attempt ${message.attempt}`;
    case "probeReply": {
      const { attempt, granted, promised } = message;
      return `probeReply to attempt ${attempt}: ${granted ? "granted" : "denied"}, has seen ${under(promised)}`;
    }
    case "phase1a":
      return `phase1a ${under(message.ballot)}, from slot ${message.fromSlot}`;
    case "phase1b": {
      const slots = message.slots.map((reported) =>
        reported.kind === "chosen"
          ? `${slotted(reported.slot, reported.value)} chosen`
          : `${slotted(reported.slot, reported.value)} accepted under ${under(reported.ballot)}`,
      );
      const more = message.nextSlot === null ? "" : `; more from slot ${message.nextSlot}`;
      const gone = message.truncatedUpTo > 0 ? `; truncated up to ${message.truncatedUpTo}` : "";
      return `phase1b ${under(message.ballot)}, from slot ${message.fromSlot}: ${listed(slots, "nothing accepted")}${more}${gone}`;
    }
    case "phase2a": {
      const { ballot, slot, value, chosenUpTo } = message;
      return `phase2a ${under(ballot)}, ${slotted(slot, value)}, chosen up to ${chosenUpTo}`;
    }
    case "phase2b":
      return `phase2b ${under(message.ballot)}, slot ${message.slot}`;
    case "nack":
      return `nack ${under(message.ballot)}: promised ${under(message.promised)}`;
    case "heartbeat":
      return `heartbeat ${under(message.ballot)}, chosen up to ${message.chosenUpTo}`;
    case "heartbeatReply":
      return `heartbeatReply ${under(message.ballot)}`;
    case "learnRequest":
      return `learnRequest from slot ${message.fromSlot}`;
    case "learnReply": {
      const slots = message.slots.map(({ slot, value }) => slotted(slot, value));
      return `learnReply ${listed(slots, "nothing")}, chosen up to ${message.chosenUpTo}`;
    }
    case "snapshotOffer":
      return `snapshotOffer of slot ${message.slot}, chosen up to ${message.chosenUpTo}`;
  }
}

export function recordText(record: DurableRecord): string {
  switch (record.kind) {
    case "promised":
      return `promised ${under(record.ballot)}`;
    case "accepted":
      return `accepted ${slotted(record.slot, record.value)} under ${under(record.ballot)}`;
    case "learned":
      return `learned ${slotted(record.slot, record.value)}`;
    case "chosenUpTo":
      return `chosen up to ${record.slot}`;
    case "snapshot": {
      const { slot, truncatedUpTo, promised } = record;
      return `snapshot of slot ${slot}, truncated up to ${truncatedUpTo}, promised ${under(promised)}`;
    }
  }
}

export function roleText(role: Role): string {
  switch (role.kind) {
    case "follower":
      return "follows";
    case "prober":
      return "probes";
    case "candidate":
      return `is candidate under ${under(role.ballot)}`;
    case "leader":
      return `leads under ${under(role.ballot)}`;
  }
}

export function chosenText({ slot, value }: { slot: number; value: Value }): string {
  return slotted(slot, value);
}

export function stateText({ role, promised, chosenUpTo, snapshotSlot, log }: PaxosState): string {
  const slots = [...log.from(ZERO_SLOT)].map(([slot, entry]) => entryText(slot, entry));
  const snapshot = `snapshot of slot ${snapshotSlot}, truncated up to ${log.truncatedUpTo}`;
  return [
    roleText(role),
    `promised ${under(promised)}`,
    `chosen up to ${chosenUpTo}`,
    ...(snapshotSlot > 0 ? [snapshot] : []),
    listed(slots, "holds nothing"),
  ].join("; ");
}

function entryText(slot: number, entry: Entry): string {
  return entry.kind === "chosen"
    ? `${slotted(slot, entry.value)} chosen`
    : `${slotted(slot, entry.value)} accepted under ${under(entry.ballot)}`;
}
