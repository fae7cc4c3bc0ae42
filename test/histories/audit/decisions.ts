/**
 * Reads decisions off the commands of a log, by rules that are written down here a second time on purpose: a commit below the floor is
 * void, and so is one under a key that was answered for another carrier.
 */
import type { Command, DecidedMember } from "../../../coordinator/transactions/command.ts";
import type { Decision } from "./evidence.ts";

/**
 * Commands in the order of their slots, from the first. A transaction is called by its key, without the client's name that
 * scopes it; without a key by `nameOf` its id, or by the id.
 */
export function decisionsOf(
  commands: Iterable<Command>,
  nameOf: ReadonlyMap<string, string> = new Map(),
): readonly Decision[] {
  const decisions = new Map<string, Decision>();
  const answered = new Set<string>();
  let floor = 0;
  for (const command of commands) {
    if (command.kind === "barrier") floor = Math.max(floor, command.ballot);
    if (command.kind !== "commit") continue;
    const { carrierId, members, branches } = command;
    if (decisions.get(carrierId)?.outcome === "committed") continue;
    const keys = members.flatMap(({ idempotency }) => idempotency?.key ?? []);
    const isVoid = command.ballot < floor || keys.some((key) => answered.has(key));
    if (!isVoid) for (const key of keys) answered.add(key);
    decisions.set(carrierId, {
      carrier: carrierId,
      outcome: isVoid ? "void" : "committed",
      transactions: members.map((member) => nameIn(member, nameOf)),
      branches,
    });
  }
  return [...decisions.values()];
}

function nameIn(
  { idempotency, transactionId }: DecidedMember,
  nameOf: ReadonlyMap<string, string>,
): string {
  if (idempotency === null) return nameOf.get(transactionId) ?? transactionId;
  return idempotency.key.slice(idempotency.key.lastIndexOf(" ") + 1);
}
