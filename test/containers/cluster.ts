/**
 * What a scenario knows of the cluster that it disturbs, whether that runs in containers or as processes of this machine.
 *
 * Every member can be killed, frozen and started again. Network faults need a member with a network of its own, which only a
 * container has.
 */

export interface Cluster {
  readonly backend: Backend;
  /** What runs, for people: which image, which build. */
  readonly description: string;
  readonly coordinators: readonly Coordinator[];
  readonly participants: readonly Member[];
  readonly databases: readonly Database[];
  /** Who leads now, or as soon as a majority names somebody who runs; throws when that takes too long. */
  leader(): Promise<Coordinator>;
  /** Resolves when every coordinator reaches every shard. */
  awaitShards(): Promise<void>;
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
}

export interface Coordinator extends Member {
  readonly id: number;
  /** As clients reach it. */
  readonly url: string;
}

export interface Database extends Member {
  readonly shard: string;
  /** As a superuser reaches it, past the cluster. */
  readonly url: string;
}

export interface MemberNetwork {
  /** Out of every network; connections that exist go dead without a word. */
  disconnect(): Promise<void>;
  connect(): Promise<void>;
  /** Of the packets from other members, this share (0 to 1) is lost on arrival; 0 ends it. What it sends is not touched. */
  loseIncoming(share: number): Promise<void>;
}
