/**
 * Who may ask this node for what, as the operator's file says it:
 *
 *   {"clients": [{"id": "billing", "role": "client", "tokens": ["<sha256 of a token, in hex>"], "requestsPerSecond": 200,
 *                 "shards": ["s1"], "statementClasses": ["select", "update"], "rawSql": false}]}
 *
 * Of a token only its hash is kept, so whoever reads the file can ask for nothing. A client may have several tokens, so that one
 * can take the place of another without a moment in which none is good. Tokens are looked up by their hash: to guess at it byte by
 * byte one would need the token first.
 *
 * A client's id is who it is: its transactions and its idempotency keys are those of this id, whatever token it shows.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { SHARD_ID_PATTERN } from "../../../shared/model/ids.ts";
import { STATEMENT_CLASSES } from "../../../shared/runtime/sql-rules.ts";
import { readFileAs } from "./file.ts";

/** `observer` only looks, `client` begins and asks for its own, `operator` may do all. */
export const ROLES = ["observer", "client", "operator"] as const;
export type Role = (typeof ROLES)[number];

export const CLIENT_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const TOKEN_HASH_PATTERN = /^[0-9a-f]{64}$/;
const MAX_CLIENTS = 10_000;
const MAX_TOKENS = 8;
const MAX_REQUESTS_PER_SECOND = 1_000_000;

const Client = z.strictObject({
  id: z.string().regex(CLIENT_ID_PATTERN, "must be 1 to 63 of A-Z, a-z, 0-9, . _ and -"),
  role: z.enum(ROLES),
  tokens: z
    .array(
      z.string().regex(TOKEN_HASH_PATTERN, "must be the SHA-256 of a token, in lower-case hex"),
    )
    .min(1)
    .max(MAX_TOKENS),
  requestsPerSecond: z.int().min(1).max(MAX_REQUESTS_PER_SECOND).optional(),
  /** Rights: access/rights.ts. */
  shards: z
    .array(
      z.string().regex(SHARD_ID_PATTERN, "must be the name of a shard, as in SYNOD_PARTICIPANTS"),
    )
    .optional(),
  statementClasses: z.array(z.enum(STATEMENT_CLASSES)).optional(),
  rawSql: z.boolean().optional(),
});
export type Client = z.infer<typeof Client>;

const ClientsFile = z
  .strictObject({ clients: z.array(Client).min(1).max(MAX_CLIENTS) })
  .superRefine(({ clients }, context) => {
    const ids = new Set<string>();
    const tokens = new Set<string>();
    for (const [index, { id, tokens: own }] of clients.entries()) {
      const path = ["clients", index];
      if (ids.has(id)) context.addIssue({ code: "custom", path, message: `${id} comes twice` });
      if (own.some((token) => tokens.has(token))) {
        context.addIssue({ code: "custom", path, message: `${id} has a token of somebody else` });
      }
      ids.add(id);
      for (const token of own) tokens.add(token);
    }
  });

export const hashOf = (token: string): string => createHash("sha256").update(token).digest("hex");

export class Clients {
  readonly #byHash = new Map<string, Client>();

  /** Every shard that a client's rights name. */
  readonly shards: ReadonlySet<string>;

  constructor(clients: readonly Client[]) {
    for (const client of clients) for (const hash of client.tokens) this.#byHash.set(hash, client);
    this.shards = new Set(clients.flatMap(({ shards = [] }) => shards));
  }

  /** Throws an Error with one sentence that names the place; never quotes a token. */
  static parse(text: string): Clients {
    return new Clients(readFileAs(ClientsFile, text).clients);
  }

  withToken(token: string): Client | undefined {
    const hash = hashOf(token);
    const client = this.#byHash.get(hash);
    const isTheirs = client?.tokens.some((kept) => isSame(kept, hash)) ?? false;
    return isTheirs ? client : undefined;
  }
}

function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one, "hex"), Buffer.from(other, "hex")];
  return left.length === right.length && timingSafeEqual(left, right);
}
