/**
 * The gate of a coordinator's HTTP face: who asks, and may he? It is passed before anything is read but the head of a request.
 *
 *   /livez, /readyz           everybody: supervisors carry no tokens
 *   /docs, /openapi.json      everybody: browsers carry none either, and what stands there is the same in every cluster
 *   /internal/…               nodes of this cluster, by certificate or by what only they know; by both, if both are configured
 *   everything else           a bearer token of the clients' file; without such a file everybody is an operator, which
 *                             is for loopback alone (config.ts sees to that)
 */
import type { IncomingMessage } from "node:http";
import { assert } from "../../../shared/model/assert.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { TransactionId } from "../../../shared/model/ids.ts";
import type { Clock } from "../../../shared/model/ports.ts";
import type { AnswerHeaders } from "../../../shared/runtime/http.ts";
import { isAskedByNode, type Proofs } from "../../../shared/runtime/node-proof.ts";
import type { Owner } from "../../transactions/owner.ts";
import { HOPS_HEADER } from "../forwarding.ts";
import { CLIENT_ID_PATTERN, ROLES, type Client, type Clients, type Role } from "./clients.ts";
import { Ownership } from "./ownership.ts";
import { RateLimits } from "./rate-limits.ts";
import { ALL_RIGHTS, type Rights } from "./rights.ts";
import { pathOf } from "./target.ts";

/** Who asks. */
export interface Principal {
  /** Empty where nobody has a name. */
  readonly id: string;
  readonly role: Role;
  readonly rights: Rights;
  /** A node asks for the client, and has judged its rights: the request is answered here or refused. */
  readonly isForwarded: boolean;
  /** Of what it begins; undefined where all is everybody's. */
  readonly owner: Owner | undefined;
  /** May it know of the transaction? */
  readonly sees: (id: TransactionId) => boolean;
}

export interface GateOptions extends Proofs {
  /** Undefined: whoever reaches the port may do everything. */
  readonly clients: Clients | undefined;
  readonly clock: Clock;
}

/** On forwarded requests: whom the node that was asked first has let in. Believed only from nodes. */
const CLIENT_HEADER = "synod-client";
const CLIENT_PATTERN = new RegExp(
  `^(${ROLES.join("|")}) (${CLIENT_ID_PATTERN.source.slice(1, -1)})$`,
);

const EVERYBODY: Principal = {
  ...{ id: "", role: "operator", rights: ALL_RIGHTS, isForwarded: false, owner: undefined },
  sees: () => true,
};
const SUPERVISOR: Principal = { ...EVERYBODY, role: "observer" };
const TARGET_SENTENCE =
  "the request's target must be a path that begins with /, in visible ASCII without # and backslashes";
const OPEN_PATHS = /^\/(?:livez|readyz|openapi\.json|docs(?:\/[\w.-]*)?)$/;
const BEARER = /^Bearer ([\w.~+/-]{1,512}=*)$/i;

export class Gate {
  readonly #options: GateOptions;
  readonly #rates: RateLimits;
  readonly #ownership: Ownership | undefined;
  readonly #passed = new WeakMap<IncomingMessage, Principal>();

  constructor(options: GateOptions) {
    assert(
      options.clients === undefined || options.secret !== undefined,
      "where clients are told apart, nodes can prove that they are nodes",
    );
    this.#options = options;
    this.#rates = new RateLimits(options.clock);
    this.#ownership = options.secret === undefined ? undefined : new Ownership(options.secret);
  }

  /** Throws a SynodError: invalid-request, unauthenticated, forbidden, too-many-requests. */
  pass(request: IncomingMessage): void {
    this.#passed.set(request, this.#judge(request));
  }

  /** Who made a request that has passed. */
  caller(request: IncomingMessage): Principal {
    const principal = this.#passed.get(request);
    assert(principal !== undefined, "a request is answered after it has passed the gate");
    return principal;
  }

  #judge(request: IncomingMessage): Principal {
    const { url = "/", method, headers } = request;
    const path = pathOf(url);
    if (path === undefined) throw new SynodError("invalid-request", TARGET_SENTENCE);
    if (OPEN_PATHS.test(path)) return SUPERVISOR;
    if (path.startsWith("/internal/")) return this.#node(request);
    const isForwarded = headers[HOPS_HEADER] !== undefined && isAskedByNode(request, this.#options);
    const { clients } = this.#options;
    if (clients === undefined) return isForwarded ? { ...EVERYBODY, isForwarded } : EVERYBODY;
    if (isForwarded) return this.#named(clientToldBy(headers[CLIENT_HEADER]), isForwarded);
    const client = clientOf(clients, headers.authorization);
    const isLooking = method === "GET" || method === "HEAD";
    if (client.role === "observer" && !isLooking) {
      throw new SynodError("forbidden", `client ${client.id} may only look`);
    }
    this.#rates.take(client);
    return this.#named({ id: client.id, role: client.role, rights: client }, isForwarded);
  }

  #named(who: Pick<Principal, "id" | "role" | "rights">, isForwarded: boolean): Principal {
    const ownership = this.#ownership;
    assert(ownership !== undefined, "who has a name can own something");
    const { id, role } = who;
    return {
      ...{ ...who, isForwarded, owner: ownership.ownerNamed(id) },
      sees: (transaction) => role !== "client" || ownership.owns(id, transaction),
    };
  }

  #node(request: IncomingMessage): Principal {
    if (isAskedByNode(request, this.#options)) return EVERYBODY;
    throw new SynodError("unauthenticated", "this path is for the nodes of the cluster");
  }
}

/** For a request that this node forwards. */
export function clientHeaders({ id, role }: Principal): AnswerHeaders {
  return id === "" ? {} : { [CLIENT_HEADER]: `${role} ${id}` };
}

function clientToldBy(
  header: string | string[] | undefined,
): Pick<Principal, "id" | "role" | "rights"> {
  const [, role, id] = CLIENT_PATTERN.exec(String(header)) ?? [];
  if (role === undefined || id === undefined) {
    throw new SynodError("unauthenticated", "the forwarding node does not say who asks");
  }
  return { id, role: role as Role, rights: ALL_RIGHTS };
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
