/**
 * Canonical text of states and messages: equal text means equal behaviour for ever after, in an exploration.
 *
 * Left out, because nothing in an exploration depends on it:
 * - times, beats and heartbeat answers: ticks come at time 0 (local-steps.ts), where every deadline is far away, and after
 *   time-outs all times are set back (node.ts);
 * - `probeAttempt`, and `heardLeader`, which is always empty: only probes and time-outs read them; there they are told;
 * - `highestSeen`: it only numbers new ballots, and the exploration numbers them itself, but where there are probes;
 * - `catchUp`: only throttles requests; told where requests are explored;
 * - `hintedUpTo` and all records where no crash can follow.
 */
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { Entry, PaxosState, Role } from "../../../coordinator/paxos/state.ts";
import { slot as slotOf } from "../../../shared/model/ids.ts";
import type { ExploredMessage } from "./messages.ts";
import type { Scope } from "./scope.ts";

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

export function stateText(state: PaxosState, scope: Scope): string {
  const { config, promised, log, chosenUpTo, snapshotSlot, role } = state;
  const entries = [...log.from(FIRST_SLOT)].map(([slot, entry]) => `${slot}${entryText(entry)}`);
  const covered = `${log.truncatedUpTo}-${snapshotSlot}`;
  const more = `${electionText(state, scope)}${catchUpText(state, scope)}`;
  return [config.self, promised, chosenUpTo, covered, roleText(role), more, ...entries].join("|");
}

function electionText(
  { highestSeen, heardLeader, probeAttempt, role }: PaxosState,
  { timeouts }: Scope,
): string {
  if (timeouts === undefined) return "";
  const grants = role.kind === "prober" ? role.grants.join("+") : "";
  return `saw ${highestSeen} hears ${heardLeader?.ballot ?? 0} of ${heardLeader?.node ?? 0} probes ${probeAttempt} ${grants}`;
}

function catchUpText({ catchUp: wanted }: PaxosState, { catchUp }: Scope): string {
  if (catchUp !== "messages" || wanted === undefined) return "";
  return `wants ${wanted.upTo} of ${wanted.peer}`;
}

function entryText(entry: Entry): string {
  return entry.kind === "chosen"
    ? `=${valueText(entry.value)}@${entry.acceptedUnder}`
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
      const range = `${message.fromSlot} ${message.nextSlot ?? "end"} ${message.truncatedUpTo}`;
      return `1b ${message.ballot} ${range} ${slots.join("|")}`;
    }
    case "phase2a":
      return `2a ${message.ballot} ${message.slot} ${valueText(message.value)}`;
    case "phase2b":
      return `2b ${message.ballot} ${message.slot}`;
    case "nack":
      return `no ${message.ballot}`;
    case "heartbeat":
      return `hb ${message.ballot} ${message.chosenUpTo}`;
    case "learnRequest":
      return `lq ${message.fromSlot}`;
    case "learnReply": {
      const slots = message.slots.map(({ slot, value }) => `${slot}=${valueText(value)}`);
      return `lr ${message.chosenUpTo} ${slots.join("|")}`;
    }
    case "probe":
      return `pq ${message.attempt}`;
    case "probeReply":
      return `pr ${message.attempt} ${message.granted} ${message.promised}`;
    case "snapshotOffer":
      return `so ${message.slot} ${message.chosenUpTo}`;
    case "snapshotArrives":
      return `sa ${message.slot}`;
  }
}
