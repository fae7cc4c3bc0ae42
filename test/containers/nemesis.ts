/** A nemesis does one kind of harm to a cluster, and knows how to end it. */
import type { Cluster } from "./cluster.ts";

export interface Nemesis {
  readonly name: string;
  /** Whether it cuts or spoils the network of one member; such a nemesis needs members with networks of their own. */
  readonly needsNetworks: boolean;
  inject(cluster: Cluster): Promise<Fault>;
}

export interface Fault {
  /** To whom it was done. */
  readonly victim: string;
  /** How many members were killed. */
  readonly kills: number;
  /** Resolves when every member is ready again. */
  heal(): Promise<void>;
}
