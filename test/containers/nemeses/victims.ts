/** Whom a nemesis picks. */
import type { Cluster, Coordinator, Member } from "../cluster.ts";
import type { Role } from "../nemesis.ts";

export interface Victim {
  readonly role: Role;
  /** As it reads behind the harm. */
  readonly called: string;
  readonly pick: (cluster: Cluster) => Promise<Member>;
}

export const leader: Victim = {
  role: "leader",
  called: "the leader",
  pick: (cluster) => cluster.leader(),
};

export const follower: Victim = { role: "follower", called: "a follower", pick: aFollower };

export const participant: Victim = {
  role: "participant",
  called: "a participant",
  pick: (cluster) => Promise.resolve(any(cluster.participants)),
};

export const postgres: Victim = {
  role: "postgres",
  called: "Postgres",
  pick: (cluster) => Promise.resolve(any(cluster.databases)),
};

export async function aFollower(cluster: Cluster): Promise<Coordinator> {
  const { id } = await cluster.leader();
  return any(cluster.coordinators.filter((node) => node.id !== id));
}

function any<It>(members: readonly It[]): It {
  const member = members[Math.floor(Math.random() * members.length)];
  if (member === undefined) throw new Error("the cluster has no such member");
  return member;
}
