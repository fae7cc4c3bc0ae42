/**
 * What a scenario knows of the cluster that it disturbs, whether that runs in containers or as processes of this machine.
 *
 * Every member can be killed, frozen and started again. Network faults need a member with a network of its own, which only a
 * container has; a disk that can be filled needs root on this machine.
 */

export interface Cluster {
  readonly backend: Backend;
  readonly clusterId: string;
  /** What runs, for people: which image, which build. */
  readonly description: string;
  readonly coordinators: readonly Coordinator[];
  readonly participants: readonly Member[];
  /** In the order of the participants in front of them. */
  readonly databases: readonly Database[];
  /** Who leads now, or as soon as a majority names somebody who runs; throws when that takes too long. */
  leader(): Promise<Coordinator>;
  /** Who leads now, if a majority names somebody who runs. */
  leaderNow(): Promise<Coordinator | undefined>;
  /** Resolves when somebody leads and every coordinator reaches every shard. */
  awaitWhole(): Promise<void>;
  /** Every member's log and every coordinator's data, for whoever must find out what went wrong. */
  keepTraces(directory: string): Promise<void>;
  /** Ends everything, and removes it with its data. */
  remove(): Promise<void>;
}

export const BACKENDS = ["containers", "processes"] as const;
export type Backend = (typeof BACKENDS)[number];

export interface Member {
  readonly name: string;
  isRunning(): boolean;
  /** Resolves when nothing of it runs any more. SIGQUIT is what Postgres calls an immediate shutdown. */
  crash(signal: "SIGKILL" | "SIGQUIT"): Promise<void>;
  /** Starts it again on its old data; ends it politely before, if it runs. Resolves when it is ready. */
  restart(): Promise<void>;
  /** Stands still with all its processes, connections open. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  readonly network: MemberNetwork | undefined;
  /** Something new, with nothing of the old one's, takes its place; undefined where members cannot be made anew. */
  readonly replace: (() => Promise<void>) | undefined;
}

export interface Coordinator extends Member {
  readonly id: number;
  /** As clients reach it. */
  readonly url: string;
  /** Copies its data directory as it is at this moment, also while it runs. */
  copyData(into: string): Promise<void>;
  readonly disk: MemberDisk | undefined;
  /** Moves its wall clock, and nobody else's, from where it should be. 0 puts it right. */
  shiftClock(byMs: number): Promise<void>;
}

export interface Database extends Member {
  readonly shard: string;
  /** As a superuser reaches it, past the cluster. */
  readonly url: string;
}

/** Of a data directory. */
export interface MemberDisk {
  fill(): Promise<void>;
  free(): Promise<void>;
}

export interface MemberNetwork {
  /** Out of every network; connections that exist go dead without a word. */
  disconnect(): Promise<void>;
  connect(): Promise<void>;
  /** Nothing passes between this member and those, either way. */
  cutFrom(others: readonly Member[]): Promise<void>;
  /** Nothing that comes from outside of the cluster's networks arrives: clients, and the probes of the suite. */
  cutFromClients(): Promise<void>;
  /** Of the packets from other members, this share (0 to 1) is lost on arrival. What it sends is not touched. */
  loseIncoming(share: number): Promise<void>;
  /** What it sends leaves so much later. Throws where the kernel has no queue for that (`canDelay`). */
  delay(byMs: number): Promise<void>;
  canDelay(): Promise<boolean>;
  /** Ends cuts, loss and delay; tells how many packets met one. */
  restore(): Promise<number>;
}
