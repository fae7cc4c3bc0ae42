/**
 * What an acceptor must not forget. Records are replayed in the order they were written (recover.ts); a later record
 * of a slot replaces an earlier one.
 */
import type { Ballot, Slot } from "../../shared/model/ids.ts";
import type { Value } from "./message.ts";

export type DurableRecord =
  | { readonly kind: "promised"; readonly ballot: Ballot }
  | {
      readonly kind: "accepted";
      readonly ballot: Ballot;
      readonly slot: Slot;
      readonly value: Value;
    }
  /** A chosen value that came from a peer, not through an accept of our own. */
  | { readonly kind: "learned"; readonly slot: Slot; readonly value: Value }
  /** Everything up to here was known to be chosen when this was written. A hint: it may lag, it never leads. */
  | { readonly kind: "chosenUpTo"; readonly slot: Slot }
  | SnapshotRecord;

/**
 * A durable snapshot of everything up to `slot` stands beside the log; slots up to `truncatedUpTo`, which is not above `slot`,
 * are no longer in it. The promise is repeated, because the record that gave it may be removed with them.
 */
export interface SnapshotRecord {
  readonly kind: "snapshot";
  readonly slot: Slot;
  readonly truncatedUpTo: Slot;
  readonly promised: Ballot;
}
