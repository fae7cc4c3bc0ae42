/**
 * The floor rule (design: a commit of a ballot below the last barrier is void): with it no participant is ever told two
 * things, without it one is; and where exactly the danger begins.
 */
import { report } from "../paxos/explorer/report.ts";
import type { Exploration } from "../paxos/explorer/scope.ts";
import { explorePresumedAbort, type PresumedAbortScope } from "./presumed-abort-explorer.ts";

const PATIENCE_MS = 240_000;

/** Two commits on their way at once, two more campaigns by anybody: the smallest scope with a danger. */
const DANGEROUS = { commits: 2, ballots: 3, slots: 3, windowSlots: 2 } as const;

function explored(title: string, scope: PresumedAbortScope): Exploration {
  return report(`presumed abort, ${title}`, explorePresumedAbort(scope));
}

test(
  "without the floor rule a participant is told aborted, and the same transaction commits later",
  () => {
    const scope = { ...DANGEROUS, voidsCommitsBelowFloor: false };
    const { violation } = explored("MUTATION floor rule off", scope);
    expect(violation?.what).toBe("1-1-2 was called aborted and committed");
    const schedule = violation?.schedule.join("\n") ?? "";
    expect(schedule).toMatch(/barrier of ballot 2\.2/);
    expect(schedule).toMatch(/answers: 1-1-2 is aborted/);
  },
  PATIENCE_MS,
);

test(
  "with the floor rule what a participant is told stays true in every history",
  () => {
    const exploration = explored("floor rule on", { ...DANGEROUS, voidsCommitsBelowFloor: true });
    expect(exploration.violation).toBeUndefined();
    expect(exploration.complete).toBe(true);
    expect(exploration.sights).toContain("a value of an older ballot is proposed again");
    expect(exploration.sights).toContain("a slot is chosen before an earlier one");
  },
  PATIENCE_MS,
);

test(
  "the danger needs two changes of leader: with one, even the missing rule does no harm",
  () => {
    const scope = { ...DANGEROUS, ballots: 2, voidsCommitsBelowFloor: false };
    const exploration = explored("floor rule off, one change of leader", scope);
    expect(exploration.violation).toBeUndefined();
    expect(exploration.complete).toBe(true);
  },
  PATIENCE_MS,
);

test(
  "the danger needs two slots in flight: with one at a time, even the missing rule does no harm",
  () => {
    const scope = { ...DANGEROUS, windowSlots: 1, voidsCommitsBelowFloor: false };
    const exploration = explored("floor rule off, one slot in flight", scope);
    expect(exploration.violation).toBeUndefined();
    expect(exploration.complete).toBe(true);
  },
  PATIENCE_MS,
);
