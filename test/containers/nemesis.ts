/** A nemesis does one kind of harm to a cluster, and knows how to end it. */
import type { Cluster } from "./cluster.ts";

export interface Nemesis {
  readonly name: string;
  /**
   * What a cluster must have for it: `networks`, one of each member's own; `containers`, members that can be made anew; `disk`,
   * a coordinator whose disk can be filled.
   */
  readonly needs: readonly Need[];
  /** Whether its victims are killed and started again, and nothing else. */
  readonly kills: boolean;
  inject(cluster: Cluster): Promise<Fault>;
}

export type Need = "networks" | "containers" | "disk";

export interface Fault {
  /** To whom it was done. */
  readonly victim: string;
  /** Another nemesis' name, where this one cannot be had and that one was done. */
  readonly instead?: string;
  /** Of the members that were killed, the roles. */
  readonly kills: readonly Role[];
  /** Resolves when every member is ready again. */
  readonly heal: () => Promise<void>;
}

export const ROLES = ["leader", "follower", "participant", "postgres"] as const;
export type Role = (typeof ROLES)[number];
