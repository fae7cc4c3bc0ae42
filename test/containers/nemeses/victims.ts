/** Whom a nemesis picks. */
import type { Cluster, Coordinator, Member } from "../cluster.ts";

export type Victim = (cluster: Cluster) => Promise<Member>;

export const leader: Victim = (cluster) => cluster.leader();

export const follower: Victim = async (cluster) => {
  const { id } = await cluster.leader();
  return first(cluster.coordinators.filter((node: Coordinator) => node.id !== id));
};

export const participant: Victim = (cluster) => Promise.resolve(first(cluster.participants));

export const postgres: Victim = (cluster) => Promise.resolve(first(cluster.databases));

function first(members: readonly Member[]): Member {
  const [member] = members;
  if (member === undefined) throw new Error("the cluster has no such member");
  return member;
}
