/** One false entry of each kind, made in an honest run. */
import type { SeededRandom } from "../../simulation/world/seeded-random.ts";
import type { Decision } from "../audit/evidence.ts";
import type { FindingKind } from "../audit/findings.ts";
import { type MadeRun, shardIn } from "./run.ts";

interface Misdeed {
  /** Who must be named when it is told. */
  readonly names: readonly string[];
  /** What cannot but be found with it. */
  readonly alsoFound: readonly FindingKind[];
}

export const MISDEEDS: Readonly<
  Record<FindingKind, (run: MadeRun, random: SeededRandom) => Misdeed>
> = {
  "split outcome": (run, random) => {
    const { transaction } = random.pick(run.sayings.filter((it) => it.outcome === "aborted"));
    run.sayings.push({ by: "node 3 to client 9", transaction, outcome: "committed" });
    return { names: [transaction, "node 3 to client 9"], alsoFound: ["lost"] };
  },
  "logs disagree": (run, random) => {
    const decision = pickDecided(run, random);
    const [first, ...rest] = decision.branches;
    const branches = [{ ...first!, xid: "5" }, ...rest];
    const { decisions } = run.logs[2]!;
    const at = decisions.findIndex(({ carrier }) => carrier === decision.carrier);
    decisions[at] = { ...decision, branches };
    return { names: [decision.carrier, "node 1", "node 3"], alsoFound: [] };
  },
  "committed twice": (run, random) => {
    const { carrier, transactions } = pickDecided(run, random);
    const again = { carrier: "9-1-1", outcome: "committed" as const, transactions, branches: [] };
    for (const { decisions } of run.logs) decisions.push(again);
    return { names: [carrier, "9-1-1", transactions[0]!], alsoFound: [] };
  },
  lost: (run, random) => {
    const { transactions, branches } = pickDecided(run, random);
    for (const { shard } of branches) removeRow(run, shard, transactions[0]!);
    return { names: [transactions[0]!], alsoFound: [] };
  },
  "half done": (run, random) => {
    const { transactions, branches } = pickDecided(run, random);
    removeRow(run, branches[0]!.shard, transactions[0]!);
    return { names: [transactions[0]!, branches[0]!.shard, branches[1]!.shard], alsoFound: [] };
  },
  undead: (run, random) => {
    const told = run.sayings.filter(({ outcome }) => outcome === "aborted");
    const single = told.filter(({ transaction }) => writesOf(run, transaction).length === 1);
    const { transaction } = random.pick(single);
    const [shard] = writesOf(run, transaction);
    shardIn(run, shard!).rows.push({ transaction, xid: "6" });
    return { names: [transaction, shard!], alsoFound: [] };
  },
  duplicated: (run, random) => {
    const { rows, shard } = random.pick(run.shards);
    const row = random.pick(rows);
    rows.push({ ...row });
    return { names: [row.transaction, shard, "2 times"], alsoFound: [] };
  },
  stranger: (run, random) => {
    const { rows, shard } = random.pick(run.shards);
    rows.push({ transaction: "nobody", xid: "6" });
    return { names: ["nobody", shard], alsoFound: [] };
  },
  undecided: (run, random) => {
    const { carrier, transactions } = pickDecided(run, random);
    for (const log of run.logs) {
      log.decisions = log.decisions.filter((it) => it.carrier !== carrier);
    }
    return { names: [transactions[0]!], alsoFound: [] };
  },
  "wrong branch": (run, random) => {
    const { transactions, branches } = pickDecided(run, random);
    const { shard, xid } = branches[0]!;
    const row = shardIn(run, shard).rows.find((it) => it.transaction === transactions[0])!;
    row.xid = "6";
    return { names: [transactions[0]!, shard, xid, "6"], alsoFound: [] };
  },
  contradicted: (run, random) => {
    const { carrier, branches, outcome } = random.pick(run.logs[0]!.decisions);
    const { shard, xid } = branches[0]!;
    const ending = shardIn(run, shard).endings.find((it) => it.xid === xid)!;
    ending.status = outcome === "committed" ? "aborted" : "committed";
    return { names: [carrier, shard, xid, ending.status], alsoFound: [] };
  },
  unfinished: (run, random) => {
    const { carrier, transactions, branches } = pickDecided(run, random);
    const { shard, gid, xid } = branches[0]!;
    removeRow(run, shard, transactions[0]!);
    shardIn(run, shard).prepared.push({ gid, xid });
    return { names: [carrier, shard, gid], alsoFound: [] };
  },
  orphan: (run, random) => {
    const { prepared, shard } = random.pick(run.shards);
    prepared.push({ gid: "synod_c_8-1-1_x", xid: "9" });
    return { names: [shard, "synod_c_8-1-1_x"], alsoFound: [] };
  },
};

function pickDecided(run: MadeRun, random: SeededRandom): Decision {
  return random.pick(run.logs[0]!.decisions.filter(({ outcome }) => outcome === "committed"));
}

function writesOf(run: MadeRun, transaction: string): readonly string[] {
  return run.asked.find((it) => it.transaction === transaction)!.writes;
}

function removeRow(run: MadeRun, shard: string, transaction: string): void {
  const { rows } = shardIn(run, shard);
  rows.splice(
    rows.findIndex((row) => row.transaction === transaction),
    1,
  );
}
