/** What can be wrong with the evidence of a run, and how it is told. */
import { unreachable } from "../../../shared/model/assert.ts";

export type Finding =
  /** Its outcome was written twice, differently. */
  | {
      readonly kind: "split outcome";
      readonly transaction: string;
      readonly committedBy: string;
      readonly abortedBy: string;
    }
  /** Two nodes' logs decide one carrier differently, or with other branches. */
  | {
      readonly kind: "logs disagree";
      readonly carrier: string;
      readonly nodes: readonly [string, string];
    }
  /** Decided to commit under two carriers. */
  | {
      readonly kind: "committed twice";
      readonly transaction: string;
      readonly carriers: readonly [string, string];
    }
  /** Committed, by the word of somebody, and nowhere to be found. */
  | { readonly kind: "lost"; readonly transaction: string; readonly by: string }
  /** Done on some of its shards, neither done nor prepared on others. */
  | {
      readonly kind: "half done";
      readonly transaction: string;
      readonly on: readonly string[];
      readonly notOn: readonly string[];
    }
  /** Called aborted, and done. */
  | {
      readonly kind: "undead";
      readonly transaction: string;
      readonly by: string;
      readonly on: readonly string[];
    }
  /** Done more than once on a shard; a branch that is still prepared there counts. */
  | {
      readonly kind: "duplicated";
      readonly transaction: string;
      readonly shard: string;
      readonly times: number;
    }
  /** Done where nobody asked for it. */
  | { readonly kind: "stranger"; readonly transaction: string; readonly shard: string }
  /** Several shards' work was committed, and a complete log does not know of it. */
  | { readonly kind: "undecided"; readonly transaction: string; readonly on: readonly string[] }
  /** Done by another branch than the one that was voted for. */
  | {
      readonly kind: "wrong branch";
      readonly transaction: string;
      readonly shard: string;
      readonly voted: string;
      readonly found: string;
    }
  /** Postgres' record of a branch is not what the log decided. */
  | {
      readonly kind: "contradicted";
      readonly carrier: string;
      readonly shard: string;
      readonly xid: string;
      readonly decided: "committed" | "void";
      readonly status: "committed" | "aborted";
    }
  /** Decided to commit, and still prepared. */
  | {
      readonly kind: "unfinished";
      readonly carrier: string;
      readonly shard: string;
      readonly gid: string;
    }
  /** Prepared, and no log has decided to commit it. */
  | { readonly kind: "orphan"; readonly shard: string; readonly gid: string };

export type FindingKind = Finding["kind"];

export function tellFinding(it: Finding): string {
  switch (it.kind) {
    case "split outcome":
      return `${it.transaction} is committed by the word of ${it.committedBy}, and aborted by that of ${it.abortedBy}`;
    case "logs disagree":
      return `the logs of ${it.nodes[0]} and ${it.nodes[1]} decide ${it.carrier} differently`;
    case "committed twice":
      return `${it.transaction} was decided to commit as ${it.carriers[0]} and as ${it.carriers[1]}`;
    case "lost":
      return `${it.transaction} is committed by the word of ${it.by}, and on no shard`;
    case "half done":
      return `${it.transaction} is done on ${list(it.on)}, and neither done nor prepared on ${list(it.notOn)}`;
    case "undead":
      return `${it.transaction} is aborted by the word of ${it.by}, and done on ${list(it.on)}`;
    case "duplicated":
      return `${it.transaction} is done ${it.times} times on ${it.shard}`;
    case "stranger":
      return `${it.transaction} is done on ${it.shard}, where nobody asked for it`;
    case "undecided":
      return `${it.transaction} is done on ${list(it.on)}, and no log has decided it`;
    case "wrong branch":
      return `${it.transaction} was done on ${it.shard} by xid ${it.found}; the vote was of ${it.voted}`;
    case "contradicted":
      return `${it.carrier} is ${it.decided} by the log; its xid ${it.xid} is ${it.status} on ${it.shard}`;
    case "unfinished":
      return `${it.carrier} is decided to commit, and ${it.gid} is still prepared on ${it.shard}`;
    case "orphan":
      return `${it.gid} is still prepared on ${it.shard}, and no log has decided to commit it`;
    default:
      return unreachable(it);
  }
}

function list(names: readonly string[]): string {
  return names.join(", ");
}
