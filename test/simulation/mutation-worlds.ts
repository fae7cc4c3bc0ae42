/**
 * For each safety rule that can be switched off: the world in which its absence shows soonest. The same world with the rule
 * in force is clean, which the suite also checks.
 */
import type { FaultKnobs, Knobs } from "./knobs.ts";
import type { Mutation, SeededMutation } from "./mutation.ts";

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
    disk: { meanAppendMs: 1, hangChance: 0, failChance: 0, damageChance: 0 },
    database: { meanStatementMs: 1, loseChance: 0, lateChance: 0, silentFailureChance: 0 },
    participant: { ...knobs.participant, maxBranches: 64, inquiryAfterMs: 200 },
    workload: {
      ...knobs.workload,
      clients: 4,
      readers: 0,
      interactiveClients: 0,
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

/** Leaders are cut off and crash, so that commits hang between two ballots, and who is in doubt asks soon. */
function contested(knobs: Knobs): Knobs {
  const world = quiet(knobs, {
    leaderIsolationIntervalMs: 150,
    leaderCrashIntervalMs: 600,
    meanPartitionMs: 400,
  });
  return { ...world, workload: { ...world.workload, keyedChance: 1 } };
}

/** Clients that give up early and ask again under the same key, somewhere else. */
function impatient(knobs: Knobs, faults: Partial<FaultKnobs>): Knobs {
  const world = quiet(knobs, faults);
  return {
    ...world,
    workload: { ...world.workload, keyedChance: 1, impatientChance: 0.5, meanThinkMs: 20 },
  };
}

/** Participants that come and go, and requests that arrive again and late. */
function repeating(knobs: Knobs, faults: Partial<FaultKnobs>): Knobs {
  const world = quiet(knobs, faults);
  return {
    ...world,
    activeMs: 3_000,
    network: { ...world.network, duplicateChance: 0.5 },
    workload: { ...world.workload, meanThinkMs: 60 },
  };
}

/** So many clients that their transactions share carriers, and some of them fail. */
function sharing(knobs: Knobs): Knobs {
  const world = quiet(knobs, {});
  const workload = { clients: 16, meanThinkMs: 5, itemsPerShard: 64, refusedChance: 0.05 };
  return { ...world, workload: { ...world.workload, ...workload, timeoutsMs: [2_000] } };
}

const WORLDS: Readonly<Record<SeededMutation, (knobs: Knobs) => Knobs>> = {
  "no floor": contested,
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
  "reports ignored": contested,
  "cut before durable": (knobs) => {
    const world = snapping(knobs, { coordinatorCrashIntervalMs: 100, meanDownMs: 20 });
    return { ...world, disk: { ...world.disk, meanAppendMs: 10 } };
  },
  "snapshot not restored": (knobs) => snapping(knobs, { coordinatorCrashIntervalMs: 500 }),
  "answers not kept": (knobs) => impatient(knobs, {}),
  "a key for each node": (knobs) => impatient(knobs, { leaderCrashIntervalMs: 300 }),
  // A second attempt at whoever was replaced while it stood still or was cut off, while the first runs under its successor.
  "aborted without proof": (knobs) => {
    const world = impatient(knobs, {
      pauseIntervalMs: 100,
      meanPauseMs: 400,
      leaderIsolationIntervalMs: 300,
      meanPartitionMs: 300,
      clogIntervalMs: 200,
      meanClogMs: 400,
    });
    return {
      ...world,
      activeMs: 12_000,
      database: { ...world.database, meanStatementMs: 20 },
      workload: { ...world.workload, impatientChance: 0.9, clients: 16 },
    };
  },
  "aborts forgotten": (knobs) => heldUp(knobs, {}),
  "unknown told as aborted": contested,
  "aborted before the barrier": (knobs) => {
    const world = contested(knobs);
    return {
      ...world,
      disk: { ...world.disk, meanAppendMs: 30 },
      participant: { ...world.participant, inquiryAfterMs: 10, tickIntervalMs: 5 },
    };
  },
  "undecided is aborted": contested,
  "own ballot aborted": (knobs) => {
    const world = quiet(knobs, { linkCutIntervalMs: 30 });
    return { ...world, disk: { ...world.disk, meanAppendMs: 20 } };
  },
  "silence is a confirmation": (knobs) => quiet(knobs, { linkCutIntervalMs: 100 }),
  "any tag is a vote": (knobs) => {
    const world = quiet(knobs, {});
    return { ...world, database: { ...world.database, silentFailureChance: 0.1 } };
  },
  "absence is evidence": (knobs) => quiet(knobs, { sabotageIntervalMs: 200 }),
  "receipt left out": (knobs) => {
    const world = impatient(knobs, {});
    return { ...world, workload: { ...world.workload, oneShardChance: 1 } };
  },
  "carriers forgotten": (knobs) => repeating(knobs, {}),
  "any incarnation": (knobs) => repeating(knobs, { participantCrashIntervalMs: 80, meanDownMs: 2 }),
  "a member is left out": sharing,
  "waits both ways": crowded,
  "decides alone": contested,
  "snapshots not compared": reading,
  // A leader is cut off while what it asked of a shard is held up; its successor commits meanwhile.
  "read without proof": (knobs) => {
    const world = reading(knobs);
    const faults = {
      leaderIsolationIntervalMs: 400,
      meanPartitionMs: 1_500,
      clogIntervalMs: 40,
      meanClogMs: 300,
    };
    return {
      ...world,
      activeMs: 12_000,
      faults: { ...world.faults, ...faults },
      workload: { ...world.workload, readers: 8, clients: 6 },
    };
  },
};

/** Many who count while others transfer. */
function reading(knobs: Knobs): Knobs {
  const world = quiet(knobs, {});
  return { ...world, workload: { ...world.workload, readers: 3, meanThinkMs: 10 } };
}

/** Requests wait on their way to the leader while their clients ask elsewhere, for rows that are often locked. */
function heldUp(knobs: Knobs, faults: Partial<FaultKnobs>): Knobs {
  const world = impatient(knobs, { clogIntervalMs: 30, meanClogMs: 500, ...faults });
  return {
    ...world,
    database: { ...world.database, meanStatementMs: 15 },
    workload: { ...world.workload, impatientChance: 0.9, clients: 12, hotChance: 0.8 },
  };
}

/** Snapshots all the time, and nothing is kept of the log below them. */
function snapping(knobs: Knobs, faults: Partial<FaultKnobs>): Knobs {
  const world = quiet(knobs, faults);
  return { ...world, paxos: { ...world.paxos, snapshotIntervalSlots: 1, trailingSlots: 0 } };
}

/** Many that want the same two rows, in either order, and hold them for long. */
function crowded(knobs: Knobs): Knobs {
  const world = quiet(knobs, {});
  return {
    ...world,
    database: { ...world.database, meanStatementMs: 20 },
    workload: { ...world.workload, clients: 8, meanThinkMs: 10, hotChance: 0.8 },
  };
}

/** What the seed drew, or the world of a mutation. */
export function worldFor(mutation: Mutation, drawn: Knobs): Knobs {
  const isDrawn = mutation === "none" || mutation === "meant for anybody";
  return isDrawn ? drawn : WORLDS[mutation](drawn);
}
