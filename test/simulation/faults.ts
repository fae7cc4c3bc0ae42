/**
 * What goes wrong and when: each fault is a stream of its own, as dense as the seed's knobs say, until `stop`. Then
 * everything heals: no fault is left, and what is down starts.
 */
import type { ShardId } from "../../shared/model/ids.ts";
import type { Knobs } from "./knobs.ts";
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
  readonly coordinators: readonly CoordinatorHost[];
  readonly participants: readonly ParticipantHost[];
}

/** One direction of one wall. */
type Wall = readonly [from: string, to: string];

export class Faults {
  readonly #targets: FaultTargets;
  readonly #knobs: Knobs;
  readonly #random: SeededRandom;
  #stopped = false;

  constructor(targets: FaultTargets, knobs: Knobs, random: SeededRandom) {
    this.#targets = targets;
    this.#knobs = knobs;
    this.#random = random;
  }

  get stopped(): boolean {
    return this.#stopped;
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
      random.pick(this.#targets.participants).sabotage(random);
    });
    this.#stream("blackout", faults.blackoutIntervalMs, () => {
      this.#targets.trace.line("world", "BLACKOUT");
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
      this.#partition(random, this.#drawWalls(random));
    });
    this.#stream("leader isolation", faults.leaderIsolationIntervalMs, (random) => {
      this.#isolateLeader(random);
    });
    this.#stream("clog", faults.clogIntervalMs, (random) => {
      const [from, to] = this.#twoMachines(random);
      this.#targets.network.clog(from, to, random.exponential(500));
    });
    this.#stream("link cut", faults.linkCutIntervalMs, (random) => {
      random.pick(this.#targets.coordinators).cutLink(random.pick(this.#shards()));
    });
  }

  #estrange(): void {
    const [one, other] = (this.#knobs.faults.estranged ?? []).map(
      (place) => this.#targets.coordinators[place],
    );
    if (one !== undefined && other !== undefined) this.#block([one], [other]);
  }

  /** The end of all faults but the one that lasts. */
  stop(): void {
    this.#stopped = true;
    this.#targets.trace.line("world", "ALL FAULTS END");
    this.#heal();
    const { lasting } = this.#knobs.faults;
    if (lasting === "none") return;
    const random = this.#random.fork("lasting");
    const { coordinators, trace } = this.#targets;
    const leader = this.#leader();
    const victim = leader !== undefined && random.chance(0.5) ? leader : random.pick(coordinators);
    const others = coordinators.filter((host) => host !== victim);
    trace.line("world", `but ${victim.machine} stays ${lasting}`);
    switch (lasting) {
      case "down":
        victim.staysDown = true;
        victim.crash("lasting fault");
        return;
      case "deaf":
        this.#blockOneWay(others, [victim]);
        return;
      case "mute":
        this.#blockOneWay([victim], others);
        return;
      case "estranged":
        this.#block([victim], [random.pick(others)]);
        return;
    }
  }

  /** Now that one ends as well. */
  end(): void {
    this.#targets.trace.line("world", "THE LASTING FAULT ENDS");
    for (const host of this.#targets.coordinators) host.staysDown = false;
    this.#heal();
  }

  #heal(): void {
    const { network, coordinators, participants } = this.#targets;
    network.heal();
    for (const host of coordinators) {
      host.slowDisk = false;
      if (host.process !== undefined) this.#resume(host.process);
      host.start();
    }
    for (const host of participants) {
      if (host.process !== undefined) this.#resume(host.process);
      host.restartDatabase();
      host.start();
    }
  }

  #block(left: readonly CoordinatorHost[], right: readonly CoordinatorHost[]): void {
    this.#blockOneWay(left, right);
    this.#blockOneWay(right, left);
  }

  #blockOneWay(from: readonly CoordinatorHost[], to: readonly CoordinatorHost[]): void {
    for (const { machine } of from) {
      for (const host of to) this.#targets.network.block(machine, host.machine);
    }
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

  #twoMachines(random: SeededRandom): Wall {
    const from = random.pick(this.#machines());
    return [from, random.pick(this.#machines().filter((machine) => machine !== from))];
  }

  #pause(random: SeededRandom): void {
    const { coordinators, participants, trace, scheduler } = this.#targets;
    const host = random.chance(0.3)
      ? (this.#leader() ?? random.pick(coordinators))
      : random.pick([...coordinators, ...participants]);
    const { process } = host;
    if (process === undefined || process.paused) return;
    const pauseMs = random.exponential(this.#knobs.faults.meanPauseMs);
    trace.line(process.name, `PAUSE for ${pauseMs.toFixed(0)} ms`);
    process.paused = true;
    scheduler.after(pauseMs, undefined, () => {
      this.#resume(process);
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
    const out = others.map(({ machine }): Wall => [leader.machine, machine]);
    const back = others.map(({ machine }): Wall => [machine, leader.machine]);
    this.#partition(random, random.pick([out, back, [...out, ...back]]));
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

  #drawWalls(random: SeededRandom): readonly Wall[] {
    const machines = this.#machines();
    const nodes = this.#targets.coordinators.map(({ machine }) => machine);
    const between = (left: readonly string[], right: readonly string[]): Wall[] =>
      left.flatMap((from) => right.map((to): Wall => [from, to]));
    const others = (all: readonly string[], one: string): readonly string[] =>
      all.filter((machine) => machine !== one);
    const leader = this.#leader()?.machine;
    const one = leader !== undefined && random.chance(0.5) ? leader : random.pick(nodes);
    switch (random.integer(5)) {
      case 0:
        return [...between([one], others(machines, one)), ...between(others(machines, one), [one])];
      case 1:
        return between([one], others(nodes, one));
      case 2:
        return between(others(nodes, one), [one]);
      case 3: {
        const left = machines.filter(() => random.chance(0.5));
        const right = machines.filter((machine) => !left.includes(machine));
        return [...between(left, right), ...between(right, left)];
      }
      default: {
        const [from, to] = this.#twoMachines(random);
        return random.chance(0.5)
          ? [[from, to]]
          : [
              [from, to],
              [to, from],
            ];
      }
    }
  }
}
