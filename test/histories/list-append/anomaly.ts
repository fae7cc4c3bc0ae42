/** What can be wrong with a history, each with the evidence that a reader needs to believe it. */
import type { View } from "../history/event.ts";

/** Of transactions, by their place in the history: `B` must come after `A` because of what was seen on one key. */
export interface Step {
  readonly from: number;
  readonly to: number;
  readonly why: Dependency;
}

/**
 *   writeWrite  `to` appended behind what `from` appended
 *   writeRead   `to` read what `from` appended
 *   readWrite   `from` read a list in which what `to` appended was not yet
 *   realTime    `to` was invoked after `from` was acknowledged
 *
 * `position` is where in the key's order: of the later append, the append that was read, or the append that was not yet there.
 * It is the length of the order for an append that no read shows.
 */
export type Dependency =
  | {
      readonly kind: "writeWrite" | "writeRead";
      readonly key: number;
      readonly position: number;
    }
  | {
      readonly kind: "readWrite";
      readonly key: number;
      readonly position: number;
      readonly view: View;
    }
  | { readonly kind: "realTime" };

/**
 *   G0        a circle of writeWrite: writes of two transactions lie around each other
 *   G1c       a circle of writeWrite and writeRead: each has seen what the other did
 *   G-single  one readWrite closes the circle
 *   G2        several do (write skew among them)
 */
export const CYCLE_NAMES = ["G0", "G1c", "G-single", "G2"] as const;
export type CycleName = (typeof CYCLE_NAMES)[number];

/** Where a circle was looked for; `shard` is the name of one. */
export type Scope =
  | { readonly kind: "everything" }
  | { readonly kind: "heldByLocks" }
  | { readonly kind: "shardSnapshots"; readonly shard: string };

export type Anomaly =
  | {
      readonly kind: "cycle";
      readonly name: CycleName;
      readonly scope: Scope;
      readonly steps: readonly Step[];
    }
  /** Two reads of a key of which neither is the beginning of the other. */
  | {
      readonly kind: "incompatible order";
      readonly key: number;
      readonly readers: readonly [number, number];
      readonly lists: readonly [readonly number[], readonly number[]];
    }
  | {
      readonly kind: "duplicate append";
      readonly key: number;
      readonly reader: number;
      readonly value: number;
    }
  /** Nobody ever asked for it. */
  | {
      readonly kind: "unknown value";
      readonly key: number;
      readonly reader: number;
      readonly value: number;
    }
  /** A transaction did not find its own appends, and only those, at the end of a list that it read after them. */
  | {
      readonly kind: "internal";
      readonly key: number;
      readonly reader: number;
      readonly own: readonly number[];
      readonly list: readonly number[];
    }
  /** Read what an aborted transaction had written. */
  | {
      readonly kind: "G1a";
      readonly key: number;
      readonly reader: number;
      readonly writer: number;
      readonly value: number;
    }
  /** Read what a transaction had written before it wrote more to the same key. */
  | {
      readonly kind: "G1b";
      readonly key: number;
      readonly reader: number;
      readonly writer: number;
      readonly value: number;
    }
  /** Did not show what had been acknowledged as applied before the reader began: stale, or lost. */
  | {
      readonly kind: "stale read";
      readonly key: number;
      readonly reader: number;
      readonly writer: number;
      readonly value: number;
    }
  /** Shows one part of a transaction and not another. */
  | {
      readonly kind: "fractured read";
      readonly reader: number;
      readonly writer: number;
      readonly seenKey: number;
      readonly missedKey: number;
      readonly views: readonly [seen: View, missed: View];
      readonly isOneShard: boolean;
    }
  /** Two transactions read the same list and both appended to it. */
  | {
      readonly kind: "lost update";
      readonly key: number;
      readonly first: number;
      readonly second: number;
      readonly read: number;
      readonly view: View;
    };

/** As it is told: circles by their own names. */
export type AnomalyName = CycleName | Exclude<Anomaly["kind"], "cycle">;

export function nameOf(anomaly: Anomaly): AnomalyName {
  return anomaly.kind === "cycle" ? anomaly.name : anomaly.kind;
}
