/**
 * What kind of world a seed makes: every fault has a strength that the seed draws, and many seeds leave many faults out,
 * because faults hide each other (swarm testing). Intervals are means in virtual milliseconds; 0 is never.
 */
import type { ParticipantLimits } from "../../participant/participant-node.ts";
import type { NetworkCharacter } from "./world/simulated-network.ts";
import type { SeededRandom } from "./world/seeded-random.ts";

export interface PaxosKnobs {
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly tickIntervalMs: number;
  readonly windowSlots: number;
  readonly pageSlots: number;
  /** Slots from one snapshot to the next; 0 is never. Of those before it so many are kept in the log. */
  readonly snapshotIntervalSlots: number;
  readonly trailingSlots: number;
}

/** So many clients that transactions share carriers. */
const CROWD_CHANCE = 0.15;
/** What stays broken, each at one node, when all else has healed; lasting-faults.ts says what they are. */
const LASTING_FAULTS = ["down", "frozen", "deaf", "mute", "cut", "alone", "estranged"] as const;
export type LastingFault = (typeof LASTING_FAULTS)[number];

export interface FaultKnobs {
  readonly coordinatorCrashIntervalMs: number;
  readonly leaderCrashIntervalMs: number;
  readonly participantCrashIntervalMs: number;
  readonly shardCrashIntervalMs: number;
  /** A coordinator or participant is shut down in good order, and started again. */
  readonly shutDownIntervalMs: number;
  readonly pauseIntervalMs: number;
  readonly partitionIntervalMs: number;
  /** Two coordinators that cannot hear each other until all faults end, by their places in the group. */
  readonly estranged: readonly [number, number] | null;
  /** The leader is cut off from the other coordinators, but not from participants and clients. */
  readonly leaderIsolationIntervalMs: number;
  readonly clogIntervalMs: number;
  readonly meanClogMs: number;
  /** One process is killed and started again many times in a row. */
  readonly restartStormIntervalMs: number;
  /** One coordinator's disk takes many times as long for a while. */
  readonly slowDiskIntervalMs: number;
  readonly linkCutIntervalMs: number;
  /** Somebody rolls back a prepared branch by hand: never in an ordinary world, because the books cannot survive it. */
  readonly sabotageIntervalMs: number;
  /** Everything crashes at once: all coordinators, participants and databases. */
  readonly blackoutIntervalMs: number;
  /** At most as many as a minority has nodes; "estranged" comes alone. */
  readonly lasting: readonly LastingFault[];
  /** Chance that a coordinator or participant ends at any one of its effects. */
  readonly crashAtEffectChance: number;
  /** Chance that a coordinator ends right after it gave a promise, accepted, or proposed to one of the others. */
  readonly crashAfterPromiseChance: number;
  readonly crashAfterAcceptChance: number;
  readonly crashAfterProposalChance: number;
  readonly meanDownMs: number;
  readonly meanPauseMs: number;
  readonly meanPartitionMs: number;
}

export interface DiskKnobs {
  readonly meanAppendMs: number;
  /** Chance that an append hangs for a while. */
  readonly hangChance: number;
  /** Chance that an append fails, and the process with it. */
  readonly failChance: number;
  /** Chance that a chunk of a snapshot cannot be read when a peer wants it. */
  readonly damageChance: number;
}

export interface DatabaseKnobs {
  /** Mean time that one round trip takes. */
  readonly meanStatementMs: number;
  /** Chance that the connection breaks before or after any one effect. */
  readonly loseChance: number;
  /** Chance that it breaks, and the effect happens all the same, later. */
  readonly lateChance: number;
  /** Chance that the server has rolled the transaction back, without an error, before PREPARE. */
  readonly silentFailureChance: number;
}

export type ParticipantKnobs = ParticipantLimits;

export interface WorkloadKnobs {
  readonly clients: number;
  /** Who only count the money, all of it at once. */
  readonly readers: number;
  /** Clients that run their transactions statement by statement. */
  readonly interactiveClients: number;
  readonly meanThinkMs: number;
  readonly itemsPerShard: number;
  /** Chance that an operation goes to the one hot item of its shard. */
  readonly hotChance: number;
  readonly timeoutsMs: readonly number[];
  readonly keyedChance: number;
  readonly oneShardChance: number;
  readonly readOnlyChance: number;
  readonly refusedChance: number;
  /** Chance that a call also inserts a row that can be inserted only once. */
  readonly noteChance: number;
  readonly decidedChance: number;
  /** Chance that a client waits less than its transaction may take. */
  readonly impatientChance: number;
}

export interface Knobs {
  readonly coordinators: 3 | 5;
  readonly shards: 2 | 3;
  readonly activeMs: number;
  /** How far clocks may run too fast or too slow: 0.1 is a tenth. */
  readonly clockSpread: number;
  readonly network: NetworkCharacter;
  readonly paxos: PaxosKnobs;
  readonly faults: FaultKnobs;
  readonly disk: DiskKnobs;
  readonly database: DatabaseKnobs;
  readonly participant: ParticipantKnobs;
  readonly workload: WorkloadKnobs;
}

function drawPaxos(random: SeededRandom): PaxosKnobs {
  const electionTimeoutMs = random.between(200, 800);
  const heartbeatIntervalMs = electionTimeoutMs / random.between(4, 8);
  return {
    electionTimeoutMs,
    heartbeatIntervalMs,
    tickIntervalMs: heartbeatIntervalMs / 2,
    windowSlots: random.pick([1, 2, 4, 16]),
    pageSlots: random.pick([1, 2, 16, 64]),
    snapshotIntervalSlots: random.pick([0, 1, 3, 10, 40]),
    trailingSlots: random.pick([0, 2, 10]),
  };
}

/** Most often a whole minority, so that the quorum that is kept has nobody to spare. */
function drawLasting(random: SeededRandom, coordinators: number): readonly LastingFault[] {
  if (random.chance(0.2)) return [];
  const first = random.pick(LASTING_FAULTS);
  if (coordinators === 3 || first === "estranged" || random.chance(0.2)) return [first];
  return [first, random.pick(LASTING_FAULTS.filter((kind) => kind !== "estranged"))];
}

function drawFaults(random: SeededRandom, coordinators: number): FaultKnobs {
  const interval = (low: number, high: number): number =>
    random.chance(0.5) ? 0 : random.between(low, high);
  return {
    coordinatorCrashIntervalMs: interval(600, 4_000),
    leaderCrashIntervalMs: interval(800, 4_000),
    participantCrashIntervalMs: interval(800, 4_000),
    shardCrashIntervalMs: interval(1_000, 5_000),
    shutDownIntervalMs: interval(1_000, 5_000),
    pauseIntervalMs: interval(600, 4_000),
    partitionIntervalMs: interval(600, 4_000),
    estranged: random.chance(0.9) ? null : [0, 1],
    leaderIsolationIntervalMs: interval(600, 4_000),
    clogIntervalMs: interval(300, 3_000),
    meanClogMs: random.pick([100, 500, 2_000]),
    restartStormIntervalMs: random.chance(0.7) ? 0 : random.between(1_500, 6_000),
    slowDiskIntervalMs: random.chance(0.7) ? 0 : random.between(800, 4_000),
    linkCutIntervalMs: interval(200, 3_000),
    sabotageIntervalMs: 0,
    blackoutIntervalMs: random.chance(0.8) ? 0 : random.between(2_000, 6_000),
    lasting: drawLasting(random, coordinators),
    crashAtEffectChance: random.chance(0.6) ? 0 : random.between(0, 0.003),
    crashAfterPromiseChance: random.knob(0.2, 0.7),
    crashAfterAcceptChance: random.knob(0.02, 0.7),
    crashAfterProposalChance: random.knob(0.01, 0.7),
    meanDownMs: random.pick([50, 300, 1_000]),
    meanPauseMs: random.pick([100, 500, 1_500]),
    meanPartitionMs: random.pick([100, 500, 1_500]),
  };
}

function drawWorkload(random: SeededRandom): WorkloadKnobs {
  const isCrowd = random.chance(CROWD_CHANCE);
  return {
    clients: isCrowd ? 12 + random.integer(25) : 1 + random.integer(8),
    meanThinkMs: isCrowd ? 2 : random.pick([5, 30, 100]),
    itemsPerShard: random.pick(isCrowd ? [16, 64, 256] : [2, 4, 16]),
    hotChance: random.knob(isCrowd ? 0.2 : 0.8),
    timeoutsMs: isCrowd ? [2_000, 2_000, 2_000, 500] : [100, 500, 2_000],
    keyedChance: random.pick([0.5, 0.8, 1]),
    oneShardChance: isCrowd ? 0.1 : random.knob(0.6, 0.2),
    readOnlyChance: random.knob(0.3),
    refusedChance: random.knob(isCrowd ? 0.02 : 0.3),
    noteChance: random.knob(0.5),
    decidedChance: random.knob(isCrowd ? 0.1 : 0.5),
    impatientChance: random.knob(0.3),
    readers: random.pick([0, 0, 1, 2]),
    interactiveClients: random.chance(0.5) ? 0 : 1 + random.integer(3),
  };
}

export function drawKnobs(random: SeededRandom): Knobs {
  const coordinators = random.chance(0.85) ? 3 : 5;
  return {
    coordinators,
    clockSpread: random.knob(0.1, 0.3),
    shards: random.chance(0.75) ? 2 : 3,
    activeMs: random.between(3_000, 12_000),
    network: {
      lossChance: random.knob(0.3),
      duplicateChance: random.knob(0.5),
      minDelayMs: random.between(0, 2),
      meanDelayMs: random.pick([0.5, 2, 8, 25]),
    },
    paxos: drawPaxos(random),
    faults: drawFaults(random, coordinators),
    disk: {
      meanAppendMs: random.pick([0.1, 1, 8]),
      hangChance: random.knob(0.03, 0.6),
      failChance: random.knob(0.003, 0.7),
      damageChance: random.knob(0.3, 0.7),
    },
    database: {
      meanStatementMs: random.pick([0.2, 1, 5]),
      loseChance: random.knob(0.02, 0.6),
      lateChance: random.knob(0.05, 0.6),
      silentFailureChance: random.knob(0.05, 0.6),
    },
    participant: {
      maxBranches: random.pick([2, 8, 64]),
      inquiryAfterMs: random.pick([200, 1_000]),
      tickIntervalMs: random.pick([20, 50]),
      rescanIntervalMs: random.pick([500, 5_000]),
      drainTimeoutMs: 1_000,
    },
    workload: drawWorkload(random),
  };
}
