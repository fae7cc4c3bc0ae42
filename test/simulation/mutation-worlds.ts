/**
 * For each safety rule that can be switched off: the world in which its absence shows soonest. The same world with the rule
 * in force is clean, which the suite also checks.
 */
import type { FaultKnobs, Knobs } from "./knobs.ts";
import type { Mutation } from "./mutation.ts";

const NO_FAULTS: FaultKnobs = {
  coordinatorCrashIntervalMs: 0,
  leaderCrashIntervalMs: 0,
  participantCrashIntervalMs: 0,
  shardCrashIntervalMs: 0,
  shutDownIntervalMs: 0,
  pauseIntervalMs: 0,
  partitionIntervalMs: 0,
  estranged: null,
  leaderIsolationIntervalMs: 0,
  clogIntervalMs: 0,
  meanClogMs: 500,
  restartStormIntervalMs: 0,
  slowDiskIntervalMs: 0,
  linkCutIntervalMs: 0,
  sabotageIntervalMs: 0,
  blackoutIntervalMs: 0,
  lasting: [],
  crashAtEffectChance: 0,
  crashAfterPromiseChance: 0,
  crashAfterAcceptChance: 0,
  crashAfterProposalChance: 0,
  meanDownMs: 50,
  meanPauseMs: 100,
  meanPartitionMs: 300,
};

/** Plain transfers by a few clients, and nothing goes wrong but what a mutation's own world adds. */
export function quiet(knobs: Knobs, faults: Partial<FaultKnobs>): Knobs {
  return {
    ...knobs,
    coordinators: 3,
    shards: 2,
    activeMs: 6_000,
    network: { lossChance: 0, duplicateChance: 0, minDelayMs: 0.5, meanDelayMs: 2 },
    paxos: {
      ...knobs.paxos,
      windowSlots: 16,
      electionTimeoutMs: 150,
      heartbeatIntervalMs: 30,
      tickIntervalMs: 10,
    },
    faults: { ...NO_FAULTS, ...faults },
    disk: { meanAppendMs: 1, hangChance: 0, failChance: 0 },
    database: { meanStatementMs: 1, loseChance: 0, lateChance: 0, silentFailureChance: 0 },
    participant: { ...knobs.participant, maxBranches: 64, inquiryAfterMs: 200 },
    workload: {
      ...knobs.workload,
      clients: 4,
      meanThinkMs: 60,
      itemsPerShard: 16,
      hotChance: 0,
      oneShardChance: 0,
      readOnlyChance: 0,
      refusedChance: 0,
      noteChance: 0,
    },
  };
}

/** Two that may lead but cannot hear each other, and between them one that forgets whom it has promised. */
function forgetful(knobs: Knobs): Knobs {
  const world = quiet(knobs, {
    estranged: [0, 1],
    leaderCrashIntervalMs: 400,
    crashAfterPromiseChance: 0.6,
    meanDownMs: 5,
  });
  return {
    ...world,
    network: { ...world.network, meanDelayMs: 8 },
    paxos: { ...world.paxos, heartbeatIntervalMs: 50 },
  };
}

const WORLDS: Readonly<Record<Exclude<Mutation, "none">, (knobs: Knobs) => Knobs>> = {
  "no floor": (knobs) =>
    quiet(knobs, {
      leaderIsolationIntervalMs: 150,
      leaderCrashIntervalMs: 600,
      meanPartitionMs: 400,
    }),
  "promises forgotten": forgetful,
  // The same, with disks so slow that what was promised or accepted is not on them when the power goes.
  "told before durable": (knobs) => {
    const world = forgetful(knobs);
    return {
      ...world,
      disk: { ...world.disk, meanAppendMs: 20 },
      faults: { ...world.faults, crashAfterAcceptChance: 0.05 },
    };
  },
  "any tag is a vote": (knobs) => {
    const world = quiet(knobs, {});
    return { ...world, database: { ...world.database, silentFailureChance: 0.1 } };
  },
  "absence is evidence": (knobs) => quiet(knobs, { sabotageIntervalMs: 200 }),
};

/** What the seed drew, or the world of a mutation. */
export function worldFor(mutation: Mutation, drawn: Knobs): Knobs {
  return mutation === "none" ? drawn : WORLDS[mutation](drawn);
}
