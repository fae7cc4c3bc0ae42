/**
 * What goes wrong and when: each fault is a stream of its own, as dense as the seed's knobs say, until `stop`. Then
 * everything heals: no fault is left, and what is down starts.
 */
import type { ShardId } from "../../shared/model/ids.ts";
import type { Tally } from "./checkers/tally.ts";
import type { Knobs } from "./knobs.ts";
import { drawLastingFaults, type LastingFaults } from "./lasting-faults.ts";
import { between, bothWays, drawPartition, type Wall } from "./partitions.ts";
import type { CoordinatorHost } from "./world/coordinator-host.ts";
import type { Incarnation } from "./world/incarnation.ts";
import type { ParticipantHost } from "./world/participant-host.ts";
import type { Scheduler } from "./world/scheduler.ts";
import type { SeededRandom } from "./world/seeded-random.ts";
import type { SimulatedNetwork } from "./world/simulated-network.ts";
import type { Trace } from "./world/trace.ts";

export interface FaultTargets {
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly trace: Trace;
  readonly tally: Tally;
  readonly coordinators: readonly CoordinatorHost[];
  readonly participants: readonly ParticipantHost[];
}

/** The longest that a clog lasts. */
const MAX_CLOG_MS = 5_000;
const STORM = { least: 3, most: 10, meanUpMs: 40, meanDownMs: 10 } as const;
const SLOW_DISK = { factor: 30, meanMs: 800 } as const;

export class Faults {
  readonly #targets: FaultTargets;
  readonly #knobs: Knobs;
  readonly #random: SeededRandom;
  #stopped = false;
  #lasting: LastingFaults;

  constructor(targets: FaultTargets, knobs: Knobs, random: SeededRandom) {
    this.#targets = targets;
    this.#knobs = knobs;
    this.#random = random;
    this.#lasting = { broken: [], kept: targets.coordinators };
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get lasting(): LastingFaults {
    return this.#lasting;
  }

  start(): void {
    const { faults } = this.#knobs;
    this.#estrange();
    this.#stream("coordinator crash", faults.coordinatorCrashIntervalMs, (random) => {
      random.pick(this.#targets.coordinators).crash("fault");
    });
    this.#stream("leader crash", faults.leaderCrashIntervalMs, () => {
      this.#leader()?.crash("fault, leader");
    });
    this.#stream("participant crash", faults.participantCrashIntervalMs, (random) => {
      random.pick(this.#targets.participants).crash("fault");
    });
    this.#stream("shard crash", faults.shardCrashIntervalMs, (random) => {
      random.pick(this.#targets.participants).crashDatabase();
    });
    this.#stream("sabotage", faults.sabotageIntervalMs, (random) => {
      this.#count("sabotage");
      random.pick(this.#targets.participants).sabotage(random);
    });
    this.#stream("blackout", faults.blackoutIntervalMs, () => {
      this.#targets.trace.line("world", "BLACKOUT");
      this.#count("blackout");
      for (const host of this.#targets.coordinators) host.crash("blackout");
      for (const host of this.#targets.participants) {
        host.crash("blackout");
        host.crashDatabase();
      }
    });
    this.#stream("shut down", faults.shutDownIntervalMs, (random) => {
      const { coordinators, participants } = this.#targets;
      random.pick([...coordinators, ...participants]).shutDown();
    });
    this.#stream("pause", faults.pauseIntervalMs, (random) => {
      this.#pause(random);
    });
    this.#stream("partition", faults.partitionIntervalMs, (random) => {
      this.#drawPartition(random);
    });
    this.#stream("leader isolation", faults.leaderIsolationIntervalMs, (random) => {
      this.#isolateLeader(random);
    });
    this.#stream("clog", faults.clogIntervalMs, (random) => {
      this.#clog(random);
    });
    this.#stream("restart storm", faults.restartStormIntervalMs, (random) => {
      this.#restartStorm(random);
    });
    this.#stream("slow disk", faults.slowDiskIntervalMs, (random) => {
      this.#slowDisk(random);
    });
    this.#stream("link cut", faults.linkCutIntervalMs, (random) => {
      this.#count("link cut");
      random.pick(this.#targets.coordinators).cutLink(random.pick(this.#shards()));
    });
  }

  #estrange(): void {
    const [one, other] = (this.#knobs.faults.estranged ?? []).map(
      (place) => this.#targets.coordinators[place],
    );
    if (one === undefined || other === undefined) return;
    this.#build(bothWays([one.machine], [other.machine]));
    this.#count("two estranged from the start");
  }

  /** The end of all faults but those that last. */
  stop(): void {
    this.#stopped = true;
    const { coordinators, trace } = this.#targets;
    trace.line("world", "ALL FAULTS END");
    this.#heal();
    const random = this.#random.fork("lasting");
    const { lasting } = this.#knobs.faults;
    this.#lasting = drawLastingFaults(random, lasting, coordinators, this.#shards());
    for (const { host, how, walls } of this.#lasting.broken) {
      trace.line("world", `but ${host.machine} stays ${how}`);
      this.#count(`${how} to the end`);
      this.#build(walls);
      if (how === "frozen" && host.process !== undefined) host.process.paused = true;
      if (how !== "down") continue;
      host.staysDown = true;
      host.crash("lasting fault");
    }
  }

  /** Now they end as well. */
  end(): void {
    this.#targets.trace.line("world", "NO FAULT IS LEFT");
    this.#lasting = { broken: [], kept: this.#targets.coordinators };
    for (const host of this.#targets.coordinators) host.staysDown = false;
    this.#heal();
  }

  #heal(): void {
    const { network, coordinators, participants } = this.#targets;
    network.heal();
    for (const host of coordinators) {
      host.diskFactor = 0;
      if (host.process !== undefined) this.#resume(host.process);
      host.start();
    }
    for (const host of participants) {
      if (host.process !== undefined) this.#resume(host.process);
      host.restartDatabase();
      host.start();
    }
  }

  #build(walls: readonly Wall[]): void {
    for (const [from, to] of walls) this.#targets.network.block(from, to);
  }

  #count(kind: string): void {
    this.#targets.tally.count(`fault: ${kind}`);
  }

  #stream(name: string, intervalMs: number, strike: (random: SeededRandom) => void): void {
    if (intervalMs === 0) return;
    const random = this.#random.fork(name);
    const next = (): void => {
      this.#targets.scheduler.after(random.exponential(intervalMs), undefined, () => {
        if (this.#stopped) return;
        strike(random);
        next();
      });
    };
    next();
  }

  #shards(): readonly ShardId[] {
    return this.#targets.participants.map(({ shard }) => shard);
  }

  #machines(): readonly string[] {
    const { coordinators, participants } = this.#targets;
    return [...coordinators.map(({ machine }) => machine), ...participants.map((p) => p.shard)];
  }

  #leader(): CoordinatorHost | undefined {
    return this.#targets.coordinators.find(
      ({ node }) => node?.replica.state?.role.kind === "leader",
    );
  }

  #clog(random: SeededRandom): void {
    const { network, trace } = this.#targets;
    const from = random.pick(this.#machines());
    const to = random.pick(this.#machines().filter((machine) => machine !== from));
    const forMs = Math.min(MAX_CLOG_MS, random.exponential(this.#knobs.faults.meanClogMs));
    this.#count("clog");
    trace.line("world", `CLOG of ${from}>${to} for ${forMs.toFixed(0)} ms`);
    network.clog(from, to, forMs);
  }

  #restartStorm(random: SeededRandom): void {
    const { coordinators, participants, trace, scheduler } = this.#targets;
    const host = random.chance(0.4)
      ? (this.#leader() ?? random.pick(coordinators))
      : random.pick([...coordinators, ...participants]);
    let left = Math.floor(random.between(STORM.least, STORM.most + 1));
    this.#count("restart storm");
    trace.line("world", `RESTART STORM, ${left} times`);
    const strike = (): void => {
      if (this.#stopped || left === 0) return;
      left -= 1;
      host.crash("restart storm");
      scheduler.after(random.exponential(STORM.meanDownMs), undefined, () => {
        host.start();
      });
      scheduler.after(random.exponential(STORM.meanUpMs), undefined, strike);
    };
    strike();
  }

  #slowDisk(random: SeededRandom): void {
    const { coordinators, trace, scheduler } = this.#targets;
    const host = this.#leader() ?? random.pick(coordinators);
    const forMs = random.exponential(SLOW_DISK.meanMs);
    this.#count("slow disk");
    trace.line(host.machine, `SLOW DISK for ${forMs.toFixed(0)} ms`);
    host.diskFactor = SLOW_DISK.factor;
    scheduler.after(forMs, undefined, () => {
      host.diskFactor = 1;
    });
  }

  #pause(random: SeededRandom): void {
    const { coordinators, participants, trace, scheduler } = this.#targets;
    const host = random.chance(0.3)
      ? (this.#leader() ?? random.pick(coordinators))
      : random.pick([...coordinators, ...participants]);
    const { process } = host;
    if (process === undefined || process.paused) return;
    const pauseMs = random.exponential(this.#knobs.faults.meanPauseMs);
    this.#count("pause");
    trace.line(process.name, `PAUSE for ${pauseMs.toFixed(0)} ms`);
    process.paused = true;
    scheduler.after(pauseMs, undefined, () => {
      // Whoever is frozen to the end stays so.
      if (!this.#stopped) this.#resume(process);
    });
  }

  #resume(process: Incarnation): void {
    if (!process.paused) return;
    process.paused = false;
    this.#targets.trace.line(process.name, "goes on");
    this.#targets.scheduler.resumed(process);
  }

  #isolateLeader(random: SeededRandom): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    const others = this.#targets.coordinators.filter((host) => host !== leader);
    this.#count("leader isolated");
    const [self, rest] = [[leader.machine], others.map(({ machine }) => machine)];
    this.#partition(
      random,
      random.pick([between(self, rest), between(rest, self), bothWays(self, rest)]),
    );
  }

  #drawPartition(random: SeededRandom): void {
    const { shape, walls } = drawPartition(random, {
      nodes: this.#targets.coordinators.map(({ machine }) => machine),
      shards: this.#shards(),
      leader: this.#leader()?.machine,
    });
    this.#count(`partition, ${shape}`);
    this.#partition(random, walls);
  }

  #partition(random: SeededRandom, walls: readonly Wall[]): void {
    const { network, trace, scheduler } = this.#targets;
    const forMs = random.exponential(this.#knobs.faults.meanPartitionMs);
    const shown = walls.map(([from, to]) => `${from}>${to}`).join(" ");
    trace.line("world", `PARTITION for ${forMs.toFixed(0)} ms: ${shown}`);
    for (const [from, to] of walls) {
      network.block(from, to);
      if (random.chance(0.5)) this.#cutBetween(from, to);
    }
    scheduler.after(forMs, undefined, () => {
      if (this.#stopped) return;
      trace.line("world", `partition ends: ${shown}`);
      for (const [from, to] of walls) network.unblock(from, to);
    });
  }

  #cutBetween(from: string, to: string): void {
    for (const host of this.#targets.coordinators) {
      for (const shard of this.#shards()) {
        const isBetween =
          (host.machine === from && shard === to) || (host.machine === to && shard === from);
        if (isBetween) host.cutLink(shard);
      }
    }
  }
}
