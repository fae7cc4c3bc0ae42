/** A minute of load whose leader is killed and whose second shard is cut off, as a report shows it. */
import { SeededRandom } from "../../simulation/world/seeded-random.ts";
import type { ShardSample } from "../audit/in-doubt.ts";
import type { HistoryEvent } from "../history/event.ts";
import type { ReportInput } from "../report/input.ts";

const CLIENTS = 8;
const END_MS = 60_000;
export const KILL = { kind: "kill leader", target: "node 1", fromMs: 20_000, untilMs: 26_000 };
const CUT = { kind: "cut off a shard", target: "s2", fromMs: 40_000, untilMs: 45_000 };
/** From the kill until somebody leads again. */
const BLIND_MS = 900;

export function makeOutage(seed: number): ReportInput {
  const random = new SeededRandom(seed);
  const events = Array.from({ length: CLIENTS }, (_, process) => eventsOf(process, random)).flat();
  return {
    title: "A minute with two faults",
    facts: [["seed", String(seed)]],
    events: events.sort((one, other) => one.atMs - other.atMs),
    faults: [KILL, CUT],
    leaders: [
      { atMs: 0, leader: "node 1" },
      { atMs: KILL.fromMs, leader: null },
      { atMs: KILL.fromMs + BLIND_MS, leader: "node 2" },
    ],
    samples: ["s1", "s2"].flatMap(samplesOf),
    verdicts: [
      { checker: "list-append", holds: true, findings: [] },
      { checker: "atomicity", holds: false, findings: ["t1 is done on s1,\nand not on s2"] },
    ],
  };
}

function eventsOf(process: number, random: SeededRandom): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  let nowMs = process;
  for (let number = 1; nowMs < END_MS; number += 1) {
    const transaction = `${process}-${number}`;
    const common = { process, transaction };
    const operations = [{ kind: "append" as const, shard: "s1", key: transaction, value: 1 }];
    const endMs = nowMs + latencyAt(nowMs, random);
    events.push({ event: "invoke", ...common, atMs: nowMs, operations });
    const end = { ...common, atMs: endMs };
    const roll = random.fraction();
    if (roll < 0.02) events.push({ event: "fail", ...end, reason: "deadlock" });
    else if (roll < 0.03) events.push({ event: "info", ...end, reason: "outcome-unknown" });
    else events.push({ event: "ok", ...end, acknowledged: "applied", operations });
    nowMs = endMs + 0.5;
  }
  return events;
}

/** Nothing ends while nobody leads; a shard that is cut off makes a third of the calls slow. */
function latencyAt(nowMs: number, random: SeededRandom): number {
  const usualMs = 30 + random.exponential(30);
  const isCut = nowMs > CUT.fromMs && nowMs < CUT.untilMs && random.chance(0.3);
  const ends = nowMs + usualMs * (isCut ? 20 : 1);
  const isBlind = nowMs < KILL.fromMs + BLIND_MS && ends >= KILL.fromMs;
  return (isBlind ? KILL.fromMs + BLIND_MS + usualMs : ends) - nowMs;
}

/** Every 100 ms; each of four branches lasts from the kill, or the cut, to the second sample after its end. */
function samplesOf(shard: string): readonly ShardSample[] {
  return Array.from({ length: END_MS / 100 }, (_, index): ShardSample => {
    const atMs = index * 100;
    const sinceKillMs = atMs - KILL.fromMs;
    if (shard === CUT.target && atMs > CUT.fromMs && atMs < CUT.untilMs) {
      return { kind: "unreachable", shard, atMs };
    }
    const isInDoubt = sinceKillMs >= 0 && sinceKillMs <= BLIND_MS;
    const isKept = shard === CUT.target && atMs === CUT.fromMs;
    const gids = isInDoubt ? ["a", "b", "c", "d"] : isKept ? ["e"] : [];
    const preparedForMs = isKept ? 20 : sinceKillMs + 10;
    const branches = gids.map((gid) => ({ gid: `${gid}-${shard}`, xid: "7", preparedForMs }));
    return { kind: "prepared", shard, atMs, branches };
  });
}
