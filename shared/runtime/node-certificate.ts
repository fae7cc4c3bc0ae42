/**
 * Mutual TLS between the nodes of a cluster. The cluster has an authority of its own; a certificate of it names one node by a URI,
 *
 *   synod://<cluster>/coordinator/<node id>        synod://<cluster>/participant/<shard>
 *
 * and is good for that node alone: each end of a connection checks authority, cluster, role and id of the other. Names of hosts
 * do not count between nodes; they are for clients of the public API, which show no certificate. So servers ask for one and take
 * connections without: what needs one (a channel, an internal path) looks, and refuses with a sentence.
 *
 * The files are read once, at start. Sessions are not resumed: every connection shows its certificate.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { TLSSocket, type ConnectionOptions, type TlsOptions } from "node:tls";
import { ConfigError } from "./config-reading.ts";

export type NodeRole = "coordinator" | "participant";

export interface NodeName {
  readonly clusterId: string;
  readonly role: NodeRole;
  readonly id: string;
}

export interface TlsFiles {
  readonly SYNOD_TLS_CA?: string | undefined;
  readonly SYNOD_TLS_CERT?: string | undefined;
  readonly SYNOD_TLS_KEY?: string | undefined;
}

/** The server's certificate names somebody else. */
export class ForeignCertificate extends Error {
  override readonly name = "ForeignCertificate";
}

const OLDEST_TLS = "TLSv1.3";
const NAME_PATTERN = /^URI:synod:\/\/([^/]+)\/(coordinator|participant)\/([^/]+)$/;

/** Undefined when none of the files is named. Throws ConfigError. */
export function readNodeTls(files: TlsFiles, own: NodeName): NodeTls | undefined {
  const names = ["SYNOD_TLS_CA", "SYNOD_TLS_CERT", "SYNOD_TLS_KEY"] as const;
  const missing = names.filter((name) => files[name] === undefined);
  if (missing.length === names.length) return undefined;
  if (missing.length > 0) {
    throw new ConfigError(missing.map((name) => `${name} is not set, but another SYNOD_TLS_ is`));
  }
  const [ca, cert, key] = names.map((name) => readPem(name, files[name] ?? ""));
  return new NodeTls({ ca: ca ?? "", cert: cert ?? "", key: key ?? "" }, own);
}

function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([`${name} cannot be read: ${(error as Error).message}`]);
  }
}

export interface TlsMaterial {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export class NodeTls {
  readonly #material: TlsMaterial;
  readonly #clusterId: string;

  /** Throws ConfigError unless the certificate is the node's own. */
  constructor(material: TlsMaterial, own: NodeName) {
    this.#material = material;
    this.#clusterId = own.clusterId;
    const problem = problemOfOwn(material, own);
    if (problem !== undefined) throw new ConfigError([problem]);
  }

  get server(): TlsOptions {
    return {
      ...this.#material,
      ...{ minVersion: OLDEST_TLS, requestCert: true, rejectUnauthorized: false },
    };
  }

  /** How to connect to a node, and to no other; without an id to any of that role. */
  dial(role: NodeRole, id?: string): ConnectionOptions {
    return {
      ...this.#material,
      minVersion: OLDEST_TLS,
      checkServerIdentity: (_, { subjectaltname }) => {
        const sentence = this.#strangeness(subjectaltname, role, id);
        return sentence === undefined ? undefined : new ForeignCertificate(sentence);
      },
    };
  }

  /** Why the other end of a connection to our server is not that node; undefined when it is. */
  refusal(socket: Socket, role: NodeRole, id?: string): string | undefined {
    if (!(socket instanceof TLSSocket)) return "this connection is not encrypted";
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return "a certificate of the cluster is needed";
    if (!socket.authorized) {
      return `the certificate is not good here: ${String(socket.authorizationError)}`;
    }
    return this.#strangeness(certificate.subjectAltName, role, id);
  }

  /** Any node of the cluster. */
  isNode(socket: Socket): boolean {
    const roles = ["coordinator", "participant"] as const;
    return roles.some((role) => this.refusal(socket, role) === undefined);
  }

  #strangeness(names: string | undefined, role: NodeRole, id?: string): string | undefined {
    const name = nameIn(names);
    if (name === undefined) return "the certificate names no node";
    const isMeant =
      name.clusterId === this.#clusterId && name.role === role && (id ?? name.id) === name.id;
    const meant = uriOf({ clusterId: this.#clusterId, role, id: id ?? "…" });
    return isMeant ? undefined : `the certificate is of ${uriOf(name)}, not of ${meant}`;
  }
}

function problemOfOwn({ cert, key, ca }: TlsMaterial, own: NodeName): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
    if (!new X509Certificate(ca).ca)
      return "SYNOD_TLS_CA is no authority, but a node's certificate";
  } catch (error) {
    return `SYNOD_TLS_CERT or SYNOD_TLS_CA is no certificate: ${(error as Error).message}`;
  }
  const name = nameIn(certificate.subjectAltName);
  const found = name === undefined ? "no node" : uriOf(name);
  if (found !== uriOf(own)) return `SYNOD_TLS_CERT is of ${found}, but this is ${uriOf(own)}`;
  try {
    if (certificate.checkPrivateKey(createPrivateKey(key))) return undefined;
  } catch (error) {
    return `SYNOD_TLS_KEY is no private key: ${(error as Error).message}`;
  }
  return "SYNOD_TLS_KEY is not the key of SYNOD_TLS_CERT";
}

function uriOf({ clusterId, role, id }: NodeName): string {
  return `synod://${clusterId}/${role}/${id}`;
}

/** Undefined, too, for a certificate that names several. */
function nameIn(subjectAltName: string | undefined): NodeName | undefined {
  const uris = (subjectAltName ?? "").split(", ").filter((part) => part.startsWith("URI:"));
  const [, clusterId, role, id] = NAME_PATTERN.exec(uris[0] ?? "") ?? [];
  if (uris.length !== 1 || clusterId === undefined || id === undefined) return undefined;
  return { clusterId, role: role as NodeRole, id };
}
