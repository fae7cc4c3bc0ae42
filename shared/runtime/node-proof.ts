/** Over HTTP: does a node of the cluster ask? By its certificate, by what only nodes know, or by both where both are configured. */
import type { IncomingMessage } from "node:http";
import { CLUSTER_HEADER, type ClusterSecret } from "./cluster-secret.ts";
import type { NodeTls } from "./node-certificate.ts";

export interface Proofs {
  readonly secret: ClusterSecret | undefined;
  readonly tls?: NodeTls | undefined;
}

/** Where nodes have nothing to prove it with, everybody on this machine is believed to be one. */
export function isAskedByNode(
  { headers, socket }: IncomingMessage,
  { secret, tls }: Proofs,
): boolean {
  const knowsSecret = secret?.isHttpToken(headers[CLUSTER_HEADER]) ?? true;
  return knowsSecret && (tls?.isNode(socket) ?? true);
}
