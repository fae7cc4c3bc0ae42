/**
 * Canonical text of states and messages: equal text means equal behaviour for ever after, in an exploration.
 *
 * Left out, because nothing in an exploration depends on it:
 * - times, beats and heartbeat answers: ticks come only at time 0 (local-steps.ts), where every deadline is far away;
 * - `probeAttempt`: only probes and timeouts read it; `heardLeader`: always empty (local-steps.ts);
 * - `highestSeen`: it only numbers new ballots, and the exploration numbers them itself (local-steps.ts);
 * - `catchUp`: only throttles requests, and any node may learn from any other at any time (local-steps.ts);
 * - `hintedUpTo` and all records where no crash can follow.
 */
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { Entry, PaxosState, Role } from "../../../coordinator/paxos/state.ts";
import { slot as slotOf } from "../../../shared/model/ids.ts";
import type { ExploredMessage } from "./messages.ts";

const FIRST_SLOT = slotOf(1);

const textByValue = new WeakMap<Value, string>();

/** Values are passed on by reference, so each is read once. */
export function valueText(value: Value): string {
  const known = textByValue.get(value);
  if (known !== undefined) return known;
  const text = new TextDecoder().decode(value);
  textByValue.set(value, text);
  return text;
}

export function stateText(state: PaxosState): string {
  const { config, promised, log, chosenUpTo, role } = state;
  const entries = [...log.from(FIRST_SLOT)].map(([slot, entry]) => `${slot}${entryText(entry)}`);
  return [config.self, promised, chosenUpTo, roleText(role), ...entries].join("|");
}

function entryText(entry: Entry): string {
  return entry.kind === "chosen"
    ? `=${valueText(entry.value)}`
    : `@${entry.ballot}:${valueText(entry.value)}`;
}

function roleText(role: Role): string {
  switch (role.kind) {
    case "follower":
    case "prober":
      return role.kind;
    case "candidate": {
      const progress = sorted(role.progress, (next) => String(next));
      const recovered = sorted(role.recovered, (r) => `${r.ballot}:${valueText(r.value)}`);
      return `candidate ${role.ballot} from ${role.fromSlot} [${progress}] [${recovered}] ${refusals(role)}`;
    }
    case "leader": {
      const ahead = [...role.recovered].filter(([slot]) => slot >= role.nextSlot);
      const recovered = sorted(new Map(ahead), (r) => `${r.ballot}:${valueText(r.value)}`);
      const flying = sorted(
        role.inFlight,
        (f) => `${valueText(f.value)}/${[...f.voters].sort().join("+")}`,
      );
      return `leader ${role.ballot} ${role.recoverUpTo} ${role.nextSlot} [${recovered}] [${flying}] ${refusals(role)}`;
    }
  }
}

function refusals({ refusedBy }: { readonly refusedBy: readonly number[] }): string {
  return [...refusedBy].sort().join("+");
}

function sorted<Item>(map: ReadonlyMap<number, Item>, text: (item: Item) => string): string {
  return [...map]
    .sort(([left], [right]) => left - right)
    .map(([key, item]) => `${key}=${text(item)}`)
    .join(",");
}

export function messageText(message: ExploredMessage): string {
  switch (message.kind) {
    case "phase1a":
      return `1a ${message.ballot} ${message.fromSlot}`;
    case "phase1b": {
      const slots = message.slots.map((slot) =>
        slot.kind === "chosen"
          ? `${slot.slot}=${valueText(slot.value)}`
          : `${slot.slot}@${slot.ballot}:${valueText(slot.value)}`,
      );
      return `1b ${message.ballot} ${message.fromSlot} ${message.nextSlot ?? "end"} ${slots.join("|")}`;
    }
    case "phase2a":
      return `2a ${message.ballot} ${message.slot} ${valueText(message.value)}`;
    case "phase2b":
      return `2b ${message.ballot} ${message.slot}`;
    case "nack":
      return `no ${message.ballot}`;
    case "heartbeat":
      return `hb ${message.ballot} ${message.chosenUpTo}`;
    case "learnReply":
      return `lr ${message.slots.map(({ slot, value }) => `${slot}=${valueText(value)}`).join("|")}`;
  }
}
