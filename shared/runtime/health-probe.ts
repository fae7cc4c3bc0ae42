/**
 * `node dist/shared/runtime/health-probe.js`: ends with 0 when the coordinator or participant of the same environment says that it is
 * ready. For the health checks of containers, whose images have no other HTTP client.
 *
 * It asks this machine's own port. Over TLS it trusts the cluster's authority, but no host name: certificates name nodes.
 */
import { readFileSync } from "node:fs";
import { request as requestPlain, type RequestOptions } from "node:http";
import { request as requestSecure } from "node:https";
import { formatAddress, readAddress, type Address } from "./config-reading.ts";

const TIMEOUT_MS = 10_000;
const OK = 200;
const EVERY_INTERFACE = ["0.0.0.0", "::"];

function ownAddress(): Address {
  const text = process.env["SYNOD_HTTP_LISTEN"] ?? process.env["SYNOD_LISTEN"] ?? "";
  const address = readAddress(text);
  if (address === undefined) throw new Error("SYNOD_HTTP_LISTEN or SYNOD_LISTEN must be host:port");
  return EVERY_INTERFACE.includes(address.host) ? { ...address, host: "127.0.0.1" } : address;
}

function readiness(address: Address, authority: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = { ...address, path: "/readyz", timeout: TIMEOUT_MS };
    const request =
      authority === undefined
        ? requestPlain(options)
        : requestSecure({
            ...options,
            ca: readFileSync(authority),
            checkServerIdentity: () => undefined,
          });
    request.once("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.once("timeout", () => {
      request.destroy(new Error(`no answer from ${formatAddress(address)} in ${TIMEOUT_MS} ms`));
    });
    request.once("error", reject);
    request.end();
  });
}

try {
  const status = await readiness(ownAddress(), process.env["SYNOD_TLS_CA"]);
  console.log(`/readyz: ${status}`);
  process.exitCode = status === OK ? 0 : 1;
} catch (error) {
  console.log((error as Error).message);
  process.exitCode = 1;
}
