/** `GET /v1/cluster`: the group and the shards as this node sees them. */
import type { NodeId } from "../../shared/model/ids.ts";
import { ownerOf, roundOf } from "../../shared/model/ids.ts";
import type { Incident, NodeView } from "../transactions/gateway.ts";
import type { ApiContext } from "./context.ts";

export interface ClusterAnswer {
  /** The node that answers. */
  readonly node: NodeId;
  readonly leader: NodeId | null;
  /** On the leader: its barrier is applied. Elsewhere: a leader was heard within the election timeout. */
  readonly serving: boolean;
  readonly ballot: { readonly round: number; readonly node: NodeId | null };
  readonly chosenUpTo: number;
  readonly appliedUpTo: number;
  readonly inFlight: number;
  readonly members: readonly Member[];
  readonly shards: readonly { readonly shard: string; readonly reachable: boolean }[];
  readonly incidents: readonly Incident[];
}

interface Member {
  readonly id: NodeId;
  readonly url: string;
  /** `unknown`: this node hears no leader, and can speak only of itself. */
  readonly role: NodeView["role"] | "unknown";
}

export function describeCluster(context: ApiContext): ClusterAnswer {
  const { self, coordinators, gateway, links } = context;
  const view = gateway.view();
  return {
    node: self,
    leader: view.leader ?? null,
    serving: view.serving,
    ballot: { round: roundOf(view.ballot), node: ownerOf(view.ballot) ?? null },
    chosenUpTo: view.chosenUpTo,
    appliedUpTo: view.appliedUpTo,
    inFlight: view.inFlight,
    members: [...coordinators].map(([id, url]) => ({ id, url, role: roleOf(id, self, view) })),
    shards: links.shards.map((shard) => {
      return { shard, reachable: links.connected(shard) !== undefined };
    }),
    incidents: view.incidents,
  };
}

function roleOf(id: NodeId, self: NodeId, { role, leader }: NodeView): Member["role"] {
  if (id === self) return role;
  if (leader === undefined) return "unknown";
  return id === leader ? "leader" : "follower";
}
