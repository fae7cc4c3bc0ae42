/**
 * Certificates for the nodes of a cluster, and the authority that signs them. What a node is, stands in its certificate as a URI
 * (shared/runtime/node-certificate.ts reads it); hosts are named for clients of the public API, which check them.
 */
import { generateKeyPair, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import forge from "node-forge";

export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

export interface NodeRequest {
  readonly role: "coordinator" | "participant";
  readonly id: string;
  /** Names and addresses at which clients reach it. */
  readonly hosts: readonly string[];
  readonly days: number;
}

const MODULUS_BITS = 2_048;
const SERIAL_BYTES = 16;
const MS_PER_DAY = 86_400_000;
/** Clocks differ. */
const BACKDATED_MS = 300_000;
const ORGANIZATION = "Synod";
const URI = 6;
const DNS = 2;
const ADDRESS = 7;

export async function createAuthority(clusterId: string, days: number): Promise<Pair> {
  const { certificate, key, pem } = await draft(clusterId, days);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    { name: "subjectKeyIdentifier" },
  ]);
  certificate.sign(key, forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), key: pem };
}

/** The cluster is the authority's. Throws an Error for what is no authority of ours. */
export async function issueCertificate(authority: Pair, request: NodeRequest): Promise<Pair> {
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  const clusterId = clusterOf(issuer);
  const { role, id, hosts, days } = request;
  const { certificate, pem } = await draft(`${role} ${id}`, days);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: "basicConstraints", cA: false, critical: true },
    { name: "keyUsage", digitalSignature: true, critical: true },
    { name: "extKeyUsage", serverAuth: true, clientAuth: true },
    // Authorities of one cluster have the same name: this tells which of two is meant, while one takes over from the other.
    {
      name: "authorityKeyIdentifier",
      keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes(),
    },
    {
      name: "subjectAltName",
      altNames: [
        { type: URI, value: `synod://${clusterId}/${role}/${id}` },
        ...hosts.map((host) =>
          /^[\d.]+$|:/.test(host) ? { type: ADDRESS, ip: host } : { type: DNS, value: host },
        ),
      ],
    },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority.key), forge.md.sha256.create());
  // Throws unless the key is the authority's.
  issuer.verify(certificate);
  return { certificate: forge.pki.certificateToPem(certificate), key: pem };
}

function clusterOf(authority: forge.pki.Certificate): string {
  const field = (name: string): unknown =>
    (authority.subject.getField(name) as { value?: unknown } | null)?.value;
  const clusterId = field("CN");
  if (field("O") === ORGANIZATION && typeof clusterId === "string") return clusterId;
  throw new Error("the authority was not made by `synod cert init`");
}

interface Draft {
  readonly certificate: forge.pki.Certificate;
  readonly key: forge.pki.rsa.PrivateKey;
  readonly pem: string;
}

async function draft(commonName: string, days: number): Promise<Draft> {
  const { publicKey, privateKey: pem } = await promisify(generateKeyPair)("rsa", {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  // A serial number is positive.
  certificate.serialNumber = `00${randomBytes(SERIAL_BYTES).toString("hex")}`;
  const now = Date.now();
  certificate.validity.notBefore = new Date(now - BACKDATED_MS);
  certificate.validity.notAfter = new Date(now + days * MS_PER_DAY);
  certificate.setSubject([
    { shortName: "O", value: ORGANIZATION },
    { shortName: "CN", value: commonName },
  ]);
  return { certificate, key: forge.pki.privateKeyFromPem(pem), pem };
}
