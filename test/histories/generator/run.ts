/** The evidence of an honest run, made from a seed: of several shards and of one, committed, aborted, and with lost answers. */
import { SeededRandom } from "../../simulation/world/seeded-random.ts";
import type { Decision, Evidence, NodeLog, Row, ShardEvidence } from "../audit/evidence.ts";

type Writable<Whole> = { -readonly [Key in keyof Whole]: Whole[Key] };
type MutableLog = Writable<Omit<NodeLog, "decisions">> & { decisions: Decision[] };
type MutableShard = Pick<ShardEvidence, "shard"> & {
  rows: Writable<Row>[];
  prepared: { gid: string; xid: string | null }[];
  endings: Writable<ShardEvidence["endings"][number]>[];
};

/** Evidence that can be falsified. */
export interface MadeRun extends Evidence {
  readonly asked: { transaction: string; writes: string[] }[];
  readonly sayings: Evidence["sayings"][number][];
  readonly logs: MutableLog[];
  readonly shards: MutableShard[];
}

const SHARDS = ["s1", "s2", "s3"] as const;

export function makeRun(seed: number, transactions: number): MadeRun {
  const random = new SeededRandom(seed);
  const run: MadeRun = {
    asked: [],
    sayings: [],
    logs: ["node 1", "node 2", "node 3"].map((node, at) => {
      return { node, isComplete: at === 0, decisions: [] };
    }),
    shards: SHARDS.map((shard) => ({ shard, rows: [], prepared: [], endings: [] })),
  };
  for (let number = 1; number <= transactions; number += 1) addTransaction(run, number, random);
  return run;
}

function addTransaction(run: MadeRun, number: number, random: SeededRandom): void {
  const transaction = `t${number}`;
  const first = random.integer(SHARDS.length);
  const count = random.pick([1, 2, 2, 3]);
  const writes = SHARDS.map((_, at) => SHARDS[(first + at) % SHARDS.length]!).slice(0, count);
  run.asked.push({ transaction, writes });
  const isCommitted = random.chance(0.8);
  const branches = writes.map((shard, at) => {
    return { shard, gid: `synod_c_1-1-${number}_${shard}`, xid: String(number * 10 + at) };
  });
  const isVoid = !isCommitted && random.chance(0.5);
  if (writes.length > 1 && (isCommitted || isVoid)) {
    const outcome = isCommitted ? "committed" : "void";
    const common = { carrier: `1-1-${number}`, transactions: [transaction] };
    for (const { decisions } of run.logs) decisions.push({ ...common, outcome, branches });
    for (const { shard, xid } of branches) {
      const status = isCommitted ? "committed" : "aborted";
      shardIn(run, shard).endings.push({ xid, status });
    }
  }
  if (isCommitted) {
    for (const { shard, xid } of branches) shardIn(run, shard).rows.push({ transaction, xid });
  }
  if (random.chance(0.2)) return;
  const outcome = isCommitted ? "committed" : "aborted";
  run.sayings.push({ by: `the answer to process ${number % 7}`, transaction, outcome });
  if (random.chance(0.3)) run.sayings.push({ by: "the status from node 2", transaction, outcome });
}

export function shardIn(run: MadeRun, shard: string): MutableShard {
  return run.shards.find((it) => it.shard === shard)!;
}
