/** `GET /v1/cluster`: the group and the shards as this node sees them. */
import type { ClusterAnswer } from "../../shared/model/answers.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import { ownerOf, roundOf } from "../../shared/model/ids.ts";
import type { NodeView } from "../transactions/gateway.ts";
import type { ApiContext } from "./context.ts";

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
    incidents: [...view.incidents],
  };
}

function roleOf(
  id: NodeId,
  self: NodeId,
  { role, leader }: NodeView,
): ClusterAnswer["members"][number]["role"] {
  if (id === self) return role;
  if (leader === undefined) return "unknown";
  return id === leader ? "leader" : "follower";
}
