/**
 * The gate of a coordinator's HTTP face: who asks, and may he? It is passed before anything is read but the head of a request.
 *
 *   /livez, /readyz           everybody: supervisors carry no tokens
 *   /internal/…               nodes of this cluster, by certificate or by what only they know; by both, if both are configured
 *   everything else           a bearer token of the clients' file; without such a file everybody is an operator, which
 *                             is for loopback alone (config.ts sees to that)
 */
import type { IncomingMessage } from "node:http";
import { SynodError } from "../../../shared/model/errors.ts";
import type { Clock } from "../../../shared/model/ports.ts";
import { CLUSTER_HEADER, type ClusterSecret } from "../../../shared/runtime/cluster-secret.ts";
import type { NodeTls } from "../../../shared/runtime/node-certificate.ts";
import { HOPS_HEADER } from "../forwarding.ts";
import type { Client, Clients, Role } from "./clients.ts";
import { RateLimits } from "./rate-limits.ts";

export interface Principal {
  readonly id: string;
  readonly role: Role;
}

export interface GateOptions {
  /** Undefined: whoever reaches the port may do everything. */
  readonly clients: Clients | undefined;
  readonly secret: ClusterSecret | undefined;
  readonly tls?: NodeTls | undefined;
  readonly clock: Clock;
}

const EVERYBODY: Principal = { id: "", role: "operator" };
const SUPERVISOR: Principal = { id: "", role: "observer" };
const OPEN_PATHS: ReadonlySet<string> = new Set(["/livez", "/readyz"]);
const BEARER = /^Bearer ([\w.~+/-]{1,512}=*)$/i;

export class Gate {
  readonly #options: GateOptions;
  readonly #rates: RateLimits;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#rates = new RateLimits(options.clock);
  }

  /** Throws a SynodError: unauthenticated, forbidden, too-many-requests. */
  pass(request: IncomingMessage): Principal {
    const { url = "/", method, headers } = request;
    const [path = "/"] = url.split("?", 1);
    if (OPEN_PATHS.has(path)) return SUPERVISOR;
    if (path.startsWith("/internal/")) return this.#node(request);
    const { clients } = this.#options;
    if (clients === undefined) return EVERYBODY;
    const client = clientOf(clients, headers.authorization);
    const isLooking = method === "GET" || method === "HEAD";
    if (client.role === "observer" && !isLooking) {
      throw new SynodError("forbidden", `client ${client.id} may only look`);
    }
    // The node that was asked first has counted it.
    if (headers[HOPS_HEADER] === undefined || !this.#isNode(request)) {
      this.#rates.take(client);
    }
    return client;
  }

  #node(request: IncomingMessage): Principal {
    const { secret, tls } = this.#options;
    if ((secret ?? tls) === undefined || this.#isNode(request)) return EVERYBODY;
    throw new SynodError("unauthenticated", "this path is for the nodes of the cluster");
  }

  #isNode({ headers, socket }: IncomingMessage): boolean {
    const { secret, tls } = this.#options;
    if ((secret ?? tls) === undefined) return false;
    const isKnown = secret?.isHttpToken(headers[CLUSTER_HEADER]) ?? true;
    return isKnown && (tls?.isNode(socket) ?? true);
  }
}

function clientOf(clients: Clients, authorization: string | undefined): Client {
  const token = BEARER.exec(authorization ?? "")?.[1];
  const client = token === undefined ? undefined : clients.withToken(token);
  if (client !== undefined) return client;
  const sentence =
    authorization === undefined
      ? "a bearer token is needed: Authorization: Bearer …"
      : "the bearer token is not known here";
  throw new SynodError("unauthenticated", sentence);
}
