/**
 * Who has ever been deadlocked, as the databases know it at every moment: a circle of waits is closed by a wait that begins,
 * so it is enough to look then. Nobody else may be aborted as deadlocked.
 */
import type { CarrierId } from "../../../shared/model/ids.ts";
import { demand } from "./violation.ts";

/** A carrier where it is known, else whatever stands for one transaction on one database. */
export type Party = CarrierId | object;

export interface TruthfulWait {
  readonly waiter: Party;
  readonly holders: readonly Party[];
}

export class DeadlockChecker {
  readonly #waits: () => readonly TruthfulWait[];
  readonly #deadlocked = new Set<Party>();

  /** `waits`: of all databases, as they are now. */
  constructor(waits: () => readonly TruthfulWait[]) {
    this.#waits = waits;
  }

  waitBegan(waiter: Party): void {
    const waits = this.#waits();
    const before = reachable(waiter, (party) =>
      waits.flatMap((wait) => (wait.waiter === party ? wait.holders : [])),
    );
    if (!before.has(waiter)) return;
    const behind = reachable(waiter, (party) =>
      waits.flatMap((wait) => (wait.holders.includes(party) ? [wait.waiter] : [])),
    );
    for (const party of before) if (behind.has(party)) this.#deadlocked.add(party);
  }

  victim(carrierId: CarrierId): void {
    const isTrue = this.#deadlocked.has(carrierId);
    demand(isTrue, "no false victim", () => `${carrierId} was never in a circle of waits`);
  }
}

/** Whoever is met on the way from `start`, which is among them only if a way leads back. */
function reachable(start: Party, next: (party: Party) => readonly Party[]): ReadonlySet<Party> {
  const met = new Set<Party>();
  const open = [start];
  for (const party of open) {
    for (const other of next(party)) {
      if (met.has(other)) continue;
      met.add(other);
      open.push(other);
    }
  }
  return met;
}
