/**
 * What the nodes of a cluster know and no stranger does. It never travels: each end of a connection proves that it knows it by
 * a keyed hash over what both have just made up (challenge and response, HMAC-SHA-256), so a proof that was listened to is worth
 * nothing on another connection. It does not hide what is said afterwards: that takes a network of one's own, or TLS.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { assert } from "../model/assert.ts";

export const MIN_SECRET_CHARACTERS = 32;
/** Over HTTP, carries `httpToken`. */
export const CLUSTER_HEADER = "synod-cluster-token";
const NONCE_BYTES = 24;
export const NONCE_PATTERN = /^[\w-]{32}$/;

export const newNonce = (): string => randomBytes(NONCE_BYTES).toString("base64url");

/** Whose word it is: one that is thrown back at its speaker proves nothing. */
export type Speaker = "server" | "client";

export interface Exchange {
  /** Of the path that was asked for: a proof for one kind of channel opens no other. */
  readonly path: string;
  readonly clientNonce: string;
  readonly serverNonce: string;
}

export class ClusterSecret {
  readonly #key: Buffer;

  constructor(text: string) {
    assert(text.length >= MIN_SECRET_CHARACTERS, "a cluster secret is long enough to be one");
    this.#key = createHmac("sha256", "synod cluster secret 1").update(text).digest();
  }

  /** `said` is what the proof vouches for beside who says it. */
  prove(speaker: Speaker, { path, clientNonce, serverNonce }: Exchange, said: Uint8Array): string {
    const context = JSON.stringify([speaker, path, clientNonce, serverNonce]);
    const hmac = createHmac("sha256", this.#key);
    return hmac.update(context).update("\n").update(said).digest("base64url");
  }

  verifies(proof: unknown, speaker: Speaker, exchange: Exchange, said: Uint8Array): boolean {
    return typeof proof === "string" && isSame(proof, this.prove(speaker, exchange, said));
  }

  /** A keyed hash in hex that only nodes can make, for what they want to know again; never the same for two purposes. */
  mark(purpose: string, over: readonly string[]): string {
    const hmac = createHmac("sha256", this.#key).update(JSON.stringify(["mark", purpose, ...over]));
    return hmac.digest("hex");
  }

  /** What nodes say to each other's HTTP ports: whoever has it is one of them. */
  get httpToken(): string {
    return createHmac("sha256", this.#key).update("http").digest("base64url");
  }

  isHttpToken(text: unknown): boolean {
    return typeof text === "string" && isSame(text, this.httpToken);
  }
}

/** Takes the same time wherever they differ. */
function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}
