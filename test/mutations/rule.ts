/** A safety rule that is removed from the outside, to show that its absence is noticed. */
import { explore } from "../paxos/explorer.ts";
import { report } from "../paxos/explorer/report.ts";
import type { Scope } from "../paxos/explorer/scope.ts";

export interface Noticed {
  /** What stopped it: an assertion of the production code, or the one who looks on. */
  readonly by: "own assertion" | "model check" | "disk of the log" | "replicated ledgers";
  readonly what: string;
  /** How far one had to look. */
  readonly after: string;
}

export interface RemovedRule {
  /** As SPEC.md calls it. */
  readonly mutation: string;
  readonly expected: RegExp;
  /** Undefined when nobody notices. */
  readonly look: () => Promise<Noticed | undefined>;
}

/** Explores until somebody notices, and prints the shortest history that shows it. */
export function inModel(mutation: string, expected: RegExp, scope: Scope): RemovedRule {
  return {
    mutation,
    expected,
    look: () => {
      const exploration = report(`MUTATION ${mutation}`, explore(scope));
      const { violation, states, depth } = exploration;
      if (violation === undefined) return Promise.resolve(undefined);
      const { what } = violation;
      const by = / halts: /.test(what) ? "own assertion" : "model check";
      return Promise.resolve({ by, what, after: `${states} states, depth ${depth}` });
    },
  };
}
